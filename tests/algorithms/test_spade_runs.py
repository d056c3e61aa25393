"""Whole runs of a tiny SPADE: resume and distribution."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from programs import (
    ROOT,
    checkpoint_arrays,
    checkpoint_bytes,
    finish,
    kill_after_a_checkpoint,
    launch,
    newest_checkpoint,
    spawn,
)

from pygan.cli import main
from pygan.data.pair_build import build_pairs
from pygan.data.scenes import scenes

TINY: dict[str, Any] = {
    "--channel-base": 2,
    "--hidden": 4,
    "--d-channel-base": 4,
    "--d-layers": 2,
    "--e-channel-base": 2,
    "--z-dim": 4,
    "--batch": 4,
    "--perceptual": "none",
    "--epochs": "null",
    "--workers": 0,
    "--grid": "2x2",
    "--threads": 1,
}


def command(*words: Any, **options: Any) -> list[str]:
    given = {**TINY, **{f"--{k.replace('_', '-')}": v for k, v in options.items()}}
    return [str(word) for word in [*words, *(part for pair in given.items() for part in pair)]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "scenes.zip"
    build_pairs(scenes(size=(32, 32), count=12), path)
    return path


def test_killed_and_resumed_run_ends_with_the_same_bytes(data: Path, tmp_path: Path) -> None:
    options = {"data": data, "kimg": 0.024, "tick": 0.004, "snapshot": 1, "vae": "true"}
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert main(command("train", "spade", "--out", whole, **options)) == 0
    kill_after_a_checkpoint(run, "-m", "pygan", *command("train", "spade", "--out", run, **options))
    assert newest_checkpoint(run).name < newest_checkpoint(whole).name, "it was not killed in time"
    finish(spawn("-m", "pygan", "resume", run))
    assert checkpoint_bytes(run) == checkpoint_bytes(whole)


def test_two_processes_equal_one(data: Path, tmp_path: Path) -> None:
    """Synchronised statistics make norms, running averages and gradients those of one process."""
    options = {"data": data, "kimg": 0.008, "tick": 0.004, "vae": "true", "mirror": "true"}
    # Adam as plain descent: else biases that a norm takes out again, whose gradient is rounding
    # alone, would move as far as the others.
    options.update(epsilon=1.0, g_lr=0.03, d_lr=0.03)
    one, two = tmp_path / "one", tmp_path / "two"
    assert main(command("train", "spade", "--out", one, **options)) == 0
    program = ROOT / "pygan" / "__main__.py"
    launch(program, *command("train", "spade", "--out", two, **options), log_dir=tmp_path / "log")
    arrays, others = checkpoint_arrays(one), checkpoint_arrays(two)
    assert arrays.keys() == others.keys()
    for name, array in arrays.items():
        error = abs(array.astype("float64") - others[name]).max()
        assert error <= 2e-3 * abs(array).max() + 1e-6, name
    running = {name: array for name, array in arrays.items() if name.endswith("running_var")}
    assert "G/generator.up_3.norm_0.running_var" in running
    assert all(abs(array - 1).max() > 0.1 for array in running.values())
