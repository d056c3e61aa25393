"""The same numbers, however a batch is split over processes and rounds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from programs import (
    TOY,
    assert_same_weights,
    launch,
    newest_checkpoint,
    run_toy,
    spawn_launcher,
    wait_until_holds,
    wait_until_larger,
)

# Dropout draws from Paddle's generator, whose numbers do depend on the split.
OPTIONS = ("--kimg", 0.2, "--tick", 0.1, "--dropout", 0, "--snapshot", 1, "--metrics", "kid")


def losses(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "stats.jsonl").open()]
    return [{k: v for k, v in line.items() if k.startswith("loss/")} for line in lines]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process and one round."""
    run = tmp_path_factory.mktemp("one") / "run"
    assert run_toy("train", run, *OPTIONS) == 0
    return run


def test_accumulation_equals_the_full_batch(tmp_path: Path, one: Path) -> None:
    assert run_toy("train", tmp_path / "run", *OPTIONS, "--accumulate", 4) == 0
    # The buffer `calls` counts forward passes.
    arrays = assert_same_weights(one, tmp_path / "run", except_for="/calls")
    assert any(name.endswith("moment1_0") for name in arrays)


def test_two_processes_equal_one(tmp_path: Path, one: Path) -> None:
    launch(TOY, "train", tmp_path / "run", *OPTIONS, log_dir=tmp_path / "log")
    assert_same_weights(one, tmp_path / "run")
    for ours, theirs in zip(losses(tmp_path / "run"), losses(one)):
        assert ours == pytest.approx(theirs, rel=1e-4)
    ours, theirs = ((run / "metrics.jsonl").read_text() for run in (tmp_path / "run", one))
    for line, expected in zip(ours.splitlines(), theirs.splitlines(), strict=True):
        assert json.loads(line) == pytest.approx(json.loads(expected), rel=1e-3)


def test_two_processes_stop_together_and_one_goes_on(tmp_path: Path, one: Path) -> None:
    run = tmp_path / "run"
    words = [TOY, "train", run, *OPTIONS, "--delay", 0.1]
    launcher = spawn_launcher(*words, log_dir=tmp_path / "log")
    wait_until_larger(run / "stats.jsonl", 0)
    launcher.terminate()
    launcher.communicate(timeout=60)
    # The processes outlive the launcher, notice, and save.
    wait_until_holds(run / "log.txt", "stopped by a signal")
    assert newest_checkpoint(run).name < newest_checkpoint(one).name
    assert run_toy("resume", run, "--delay", 0) == 0
    assert_same_weights(one, run)


def test_uneven_split_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_toy("train", tmp_path / "run", "--accumulate", 3) == 2
    assert "--accumulate: must be a divisor of the batch, 8, got 3" in capsys.readouterr().err
