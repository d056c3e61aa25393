"""Tiny models: weights from a seed, and a run that was trained for an instant."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

from apps_models import SIZES, make_model
from shapes import write_shapes

from pygan.apps.sample import TrainedModel, load_model
from pygan.cli import main


@pytest.fixture(scope="session")
def model() -> TrainedModel:
    return make_model()


def _train(folder: Path, *words: str) -> Path:
    data = write_shapes(folder / "shapes", count=8)
    arguments = ["train", "stylegan2", "--data", str(data), "--out", str(folder / "run"), *words]
    arguments += ["--kimg", "0.004", "--batch", "4", "--grid", "2x2"]
    for name, value in SIZES.items():
        arguments += [f"--{name.replace('_', '-')}", str(value)]
    assert main(arguments) == 0
    return folder / "run"


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without labels; 16x16, 8 layers."""
    return _train(tmp_path_factory.mktemp("apps"))


@pytest.fixture(scope="session")
def conditional_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with four classes."""
    return _train(tmp_path_factory.mktemp("apps_conditional"), "--conditional")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """A model that has learnt something: 800 images, three seconds."""
    folder = tmp_path_factory.mktemp("apps_trained")
    data = write_shapes(folder / "shapes", count=16)
    words = ["train", "stylegan2", "--data", str(data), "--out", str(folder / "run")]
    words += ["--kimg", "0.8", "--batch", "8", "--gamma", "0.5", "--ema-kimg", "0.2"]
    words += ["--channel-base", "128", "--channel-max", "16", "--z-dim", "8", "--w-dim", "16"]
    assert main([*words, "--mapping-layers", "2", "--grid", "2x2"]) == 0
    return load_model(folder / "run")
