"""Metrics during training: what is written, what is kept, and that training does not notice."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy
from programs import TOY, checkpoint_bytes, finish, newest_checkpoint, run_toy, spawn

from pygan.training import checkpoint as checkpoints
from pygan.training.evaluation import Evaluations, higher_is_better

# 40 iterations, a checkpoint and a measurement every 10.
OPTIONS = ("--kimg", 0.32, "--tick", 0.08, "--snapshot", 1, "--keep", 1)
MEASURED = (*OPTIONS, "--metrics", "kid")


def results(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").open()]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that measures nothing."""
    run = tmp_path_factory.mktemp("plain") / "run"
    assert run_toy("train", run, *OPTIONS) == 0
    return run


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("measured") / "run"
    assert run_toy("train", run, *MEASURED) == 0
    return run


def assert_same_state(run: Path, other: Path) -> None:
    """All arrays are the same bits; the configuration differs in the metrics."""
    for path in newest_checkpoint(other).glob("*.safetensors"):
        found = checkpoints.load(newest_checkpoint(run)).arrays(path.stem)
        expected = checkpoints.load(path.parent).arrays(path.stem)
        assert found.keys() == expected.keys()
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_measuring_does_not_change_training(measured: Path, plain: Path) -> None:
    assert_same_state(measured, plain)


def test_results_are_in_three_places(measured: Path) -> None:
    lines = results(measured)
    assert [line["iteration"] for line in lines] == [10, 20, 30, 40]
    assert all(np.isfinite(line["kid"]) and np.isfinite(line["precision"]) for line in lines)
    stats = [json.loads(line) for line in (measured / "stats.jsonl").open()]
    assert [s["metrics/kid"] for s in stats if "metrics/kid" in s] == [s["kid"] for s in lines]
    assert f"kid {lines[-1]['kid']:.5g}" in (measured / "log.txt").read_text()


def test_the_best_checkpoint_outlives_the_rotation(measured: Path) -> None:
    lines = results(measured)
    best = min(lines, key=lambda line: line["kid"])
    saved = checkpoints.load(measured / "best")  # checks every byte
    assert saved.manifest["iteration"] == best["iteration"]
    assert json.loads((measured / "best" / "metrics.json").read_text()) == best
    assert [path.name for path in (measured / "checkpoints").iterdir()] == ["iter-00000040"]
    assert "the best so far" in (measured / "log.txt").read_text()


def test_every_nth_snapshot_and_the_end(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert run_toy("train", run, *MEASURED, "--kimg", 0.4, "--metrics-every", 2) == 0
    assert [line["iteration"] for line in results(run)] == [20, 40, 50]


def test_killed_while_measuring_measures_again(tmp_path: Path, measured: Path, plain: Path) -> None:
    run = tmp_path / "run"
    process = spawn(TOY, "train", run, *MEASURED, "--pause", 60)
    deadline = time.monotonic() + 60
    while newest_checkpoint(run).name != "iter-00000010":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (run / "metrics.jsonl").exists()
    assert run_toy("resume", run, "--pause", 0) == 0
    assert results(run) == results(measured)
    assert_same_state(run, plain)
    assert checkpoint_bytes(run).keys() == checkpoint_bytes(measured).keys()
    iterations = [json.loads(line)["iteration"] for line in (run / "stats.jsonl").open()]
    assert iterations == [10, 10, 20, 20, 30, 30, 40, 40]


def test_a_signal_ends_the_measurement_at_once(tmp_path: Path, measured: Path) -> None:
    run = tmp_path / "run"
    process = spawn(TOY, "train", run, *MEASURED, "--pause", 100)
    deadline = time.monotonic() + 60
    while newest_checkpoint(run).name != "iter-00000010":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    out, err = finish(process, 128 + signal.SIGTERM)
    assert "all is saved" in err
    assert "0.080 kimg, 10 iterations" in out
    assert run_toy("resume", run, "--pause", 0) == 0
    assert results(run) == results(measured)


def test_an_evaluator_that_fails_does_not_end_training(tmp_path: Path, plain: Path) -> None:
    run = tmp_path / "run"
    assert run_toy("train", run, *OPTIONS, "--metrics", "broken") == 0
    assert "the metrics failed (MemoryError: too little of it)" in (run / "log.txt").read_text()
    assert not (run / "best").exists()
    assert_same_state(run, plain)


def test_a_crash_between_the_two_renames_loses_no_best(measured: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(measured, run)
    (run / "best").rename(run / ".best.old")
    shutil.copytree(run / ".best.old", run / ".best.writing")
    Evaluations(run, 40)
    assert checkpoints.load(run / "best").manifest == checkpoints.load(measured / "best").manifest
    assert not list(run.glob(".best*"))


@pytest.mark.parametrize(
    ("metric", "values", "best"),
    [
        ("kid", (3.0, 2.0, 2.5, 1.0), (1, 1, 0, 1)),
        ("kid", (float("nan"), 2.0, float("nan"), 1.0), (0, 1, 0, 1)),
        ("precision", (0.3, 0.2, 0.4), (1, 0, 1)),
    ],
)
def test_which_is_best(
    tmp_path: Path, metric: str, values: tuple[float, ...], best: tuple[int, ...]
) -> None:
    evaluations = Evaluations(tmp_path, 0)
    found = []
    for iteration, value in enumerate(values, start=1):
        saved = checkpoints.save(tmp_path / "checkpoints", iteration, {}, {}, keep=1)
        found.append(evaluations.record({metric: value}, {"iteration": iteration}, saved))
    assert found == [bool(flag) for flag in best]


def test_directions() -> None:
    assert not any(map(higher_is_better, ("kid", "fid", "fid50k_full", "ppl", "isometry")))
    assert all(map(higher_is_better, ("precision", "recall", "is", "is50k", "inception_score")))


def test_the_evaluator_sees_the_averages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def measure(self: object, networks: Any) -> dict[str, float]:
        seen.append({name: layer.first.weight.numpy() for name, layer in networks.items()})
        return {"kid": 0.0}

    monkeypatch.setattr(toy.ToyEvaluator, "__call__", measure)
    run = tmp_path / "run"
    assert run_toy("train", run, "--kimg", 0.08, "--metrics", "kid") == 0
    saved = checkpoints.load(newest_checkpoint(run)).arrays("G_ema")
    assert seen[-1].keys() == {"G"}
    np.testing.assert_array_equal(seen[-1]["G"], saved["first.weight"])
