"""Which networks metrics look through, and what is said where there are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pygan.metrics.extractors
from pygan.apps.metrics import choose_distance, choose_extractor, make_evaluator
from pygan.cli import main
from pygan.errors import InputError
from pygan.metrics.extractors.catalogue import CATALOGUE
from pygan.training.config import TrainConfig


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYGAN_CACHE", str(tmp_path / "cache"))
    for weights in CATALOGUE.values():
        monkeypatch.delenv(weights.variable, raising=False)


@pytest.mark.usefixtures("nothing_installed")
def test_nothing_installed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="none is installed; see 'pygan weights list'"):
        choose_extractor("")
    with pytest.raises(InputError, match="'efficientnet-lite0' are not installed: run 'pygan"):
        choose_extractor("efficientnet-lite0")
    with pytest.raises(InputError, match="'x' is unknown; choose from: inception-2015"):
        choose_extractor("x")
    with pytest.raises(InputError, match="none is installed"):
        choose_distance("")
    assert main(["metrics", str(tmp_path), "--against", "emoji"]) == 2
    words = ["train", "stylegan2", "--data", "emoji", "--out", str(tmp_path / "run")]
    assert main([*words, "--metrics", "fid"]) == 2
    assert capsys.readouterr().err.count("none is installed") == 2
    assert not (tmp_path / "run").exists()


def test_the_first_installed_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    have = ["efficientnet-lite0", "vgg16", "stlpips-alex", "vgg16-unit", "lpips-alex"]
    monkeypatch.setattr(pygan.metrics.extractors, "installed", lambda: have)
    assert choose_extractor("") == "efficientnet-lite0"
    assert choose_distance("") == "lpips-alex"
    assert choose_distance("vgg16") == "vgg16"
    have.append("inception-2015")
    have.append("lpips-vgg")
    assert choose_extractor("") == "inception-2015"
    assert choose_distance("") == "lpips-vgg"


def test_a_damaged_file_of_weights_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "efficientnet-lite0.safetensors").write_bytes(np.zeros(99).tobytes())
    monkeypatch.setenv("PYGAN_CACHE", str(tmp_path))
    assert choose_extractor("efficientnet-lite0") == "efficientnet-lite0"
    words = ["metrics", "emoji", "--against", "emoji", "--extractor", "efficientnet-lite0"]
    assert main(words) == 2
    assert "efficientnet-lite0.safetensors" in capsys.readouterr().err


def test_no_metrics_no_evaluator() -> None:
    assert make_evaluator(None, TrainConfig(), None) is None
