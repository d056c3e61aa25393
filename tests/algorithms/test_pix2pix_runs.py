"""Whole runs of a tiny Pix2Pix: learning, resuming, distribution."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from programs import (
    ROOT,
    assert_same_weights,
    checkpoint_bytes,
    finish,
    kill_after_a_checkpoint,
    launch,
    newest_checkpoint,
    spawn,
)

from pygan.cli import main
from pygan.data import build_pairs
from pygan.data.scenes import scenes

TINY = ["--channel-base", 4, "--channel-max", 16, "--d-channel-base", 4, "--d-layers", 1]
TINY += ["--grid", "3x2", "--threads", 1, "--workers", 0, "--mirror"]


def command(*words: Any) -> list[str]:
    return [str(word) for word in words]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_pairs(scenes(12, 20), tmp_path_factory.mktemp("data") / "scenes.zip").dest


def test_killed_and_resumed_run_ends_with_the_same_bytes(data: Path, tmp_path: Path) -> None:
    options = ["--data", data, "--crop", 16, "--epochs", 6, "--batch", 2, "--tick", 0.012]
    options += ["--snapshot", 1, *TINY]
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert main(command("train", "pix2pix", "--out", whole, *options)) == 0
    assert newest_checkpoint(whole).name == "iter-00000036"  # of two images, of 12
    kill_after_a_checkpoint(run, "-m", "pygan", "train", "pix2pix", "--out", run, *options)
    assert newest_checkpoint(run).name < newest_checkpoint(whole).name, "it was not killed in time"
    finish(spawn("-m", "pygan", "resume", run))
    assert checkpoint_bytes(run) == checkpoint_bytes(whole)
    rates = [json.loads(line)["lr/G"] for line in (whole / "stats.jsonl").open()]
    assert rates[0] == pytest.approx(2e-4)
    assert rates[-1] < 4e-5


def test_two_processes_and_accumulation_equal_one_process(data: Path, tmp_path: Path) -> None:
    """With instance normalisation, whose statistics do not depend on how a batch is split."""
    options = ["--data", data, "--crop", 16, "--kimg", 0.008, "--batch", 4, "--norm", "instance"]
    options += ["--lr-decay", 0, "--gan", "lsgan", *TINY]
    runs = {name: tmp_path / name for name in ("one", "rounds", "two")}
    words = ["train", "pix2pix", "--out"]
    assert main(command(*words, runs["one"], *options)) == 0
    assert main(command(*words, runs["rounds"], *options, "--accumulate", 2)) == 0
    launch(ROOT / "pygan" / "__main__.py", *words, runs["two"], *options, log_dir=tmp_path / "log")
    for name in ("rounds", "two"):
        # Biases in front of a normalisation have gradients of rounding errors.
        assert_same_weights(runs["one"], runs[name], rtol=1e-3, atol=1e-4, except_for="bias")


def test_it_learns(data: Path, tmp_path: Path) -> None:
    options = ["--data", data, "--load-size", 16, "--kimg", 0.24, "--batch", 4, "--lr", 0.002]
    out = tmp_path / "run"
    assert main(command("train", "pix2pix", "--out", out, *options, *TINY, "--tick", 0.04)) == 0
    lines = [json.loads(line) for line in (out / "stats.jsonl").open()]
    assert lines[-1]["l1"] < 0.7 * lines[0]["l1"]
