"""Whole runs of a tiny StyleGAN2: resume, distribution, learning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
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
from shapes import write_shapes

from pygan.cli import main

TINY = ["--channel-base", 256, "--channel-max", 16, "--z-dim", 16, "--w-dim", 16]
TINY += ["--mapping-layers", 2, "--batch", 8, "--mbstd-group", 4, "--grid", "2x2"]


def command(*words: Any) -> list[str]:
    return [str(word) for word in words]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes")


def test_killed_and_resumed_run_ends_with_the_same_bytes(data: Path, tmp_path: Path) -> None:
    # 33 iterations: all four phases, a third round of R1, two epochs and more.
    options = ["--data", data, "--kimg", 0.264, "--tick", 0.04, "--snapshot", 1, *TINY]
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert main(command("train", "stylegan2", "--out", whole, *options, "--mirror")) == 0
    words = ["-m", "pygan", "train", "stylegan2", "--out", run, *options, "--mirror"]
    kill_after_a_checkpoint(run, *words)
    assert newest_checkpoint(run).name < newest_checkpoint(whole).name, "it was not killed in time"
    finish(spawn("-m", "pygan", "resume", run))
    assert checkpoint_bytes(run) == checkpoint_bytes(whole)


def test_two_processes_and_accumulation_equal_one_process(data: Path, tmp_path: Path) -> None:
    # Five iterations: path length twice, R1 once.
    options = ["--data", data, "--kimg", 0.04, "--mbstd-group", 2, "--conditional", *TINY[:-4]]
    options += ["--grid", "2x2", "--threads", 1]
    runs = {name: tmp_path / name for name in ("one", "rounds", "two")}
    words = ["train", "stylegan2", "--out"]
    assert main(command(*words, runs["one"], *options)) == 0
    assert main(command(*words, runs["rounds"], *options, "--accumulate", 2)) == 0
    launch(ROOT / "pygan" / "__main__.py", *words, runs["two"], *options, log_dir=tmp_path / "log")
    for name in ("rounds", "two"):
        arrays = assert_same_weights(runs["one"], runs[name], rtol=1e-3, atol=1e-4)
        assert {"G/mapping.w_avg", "state/pl_mean", "G_ema/mapping.w_avg"} <= set(arrays)


def test_it_learns(data: Path, tmp_path: Path) -> None:
    """The averaged generator's images come close to the data's mean and deviation."""
    from pygan.apps.sample import load_model
    from pygan.data import open_dataset

    run = tmp_path / "run"
    options = ["--data", data, "--kimg", 1.6, "--tick", 0.8, "--ema-kimg", 0.2, "--gamma", 0.1]
    options += ["--g-lr", 0.005, "--d-lr", 0.005]
    assert main(command("train", "stylegan2", "--out", run, *options, *TINY)) == 0
    reals = open_dataset(str(data)).load(range(40))[0].astype(np.float64)
    fakes = load_model(run).sample(range(64)).astype(np.float64)
    for statistic, limit in ((lambda x: x.mean(axis=(0, 2, 3)), 30), (np.std, 30)):
        assert np.abs(statistic(fakes) - statistic(reals)).max() < limit
    assert fakes.std(axis=0).mean() > 10  # not one image for all seeds
    last = json.loads((run / "stats.jsonl").read_text().splitlines()[-1])
    assert last["pl_mean"] > 0
    assert 0 < last["loss/D_main"] < 2
