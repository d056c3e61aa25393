"""Runs that are killed, interrupted, damaged or go wrong."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import toy
from programs import (
    TOY,
    checkpoint_bytes,
    finish,
    newest_checkpoint,
    run_toy,
    spawn,
    wait_until_larger,
)

from pygan.errors import InputError
from pygan.training.run import find_run, resume

OPTIONS = ("--kimg", 0.8, "--tick", 0.08, "--snapshot", 1)
SLOWLY = ("--delay", 0.01)


def wait_for_checkpoint(run: Path, after: Path) -> None:
    deadline = time.monotonic() + 60
    while newest_checkpoint(run) == after:
        assert time.monotonic() < deadline, f"{run} has no new checkpoint"
        time.sleep(0.002)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 100 iterations."""
    run = tmp_path_factory.mktemp("uninterrupted") / "run"
    assert run_toy("train", run, *OPTIONS, *SLOWLY) == 0
    return run


def test_killed_at_random_moments_ends_with_the_same_bytes(
    tmp_path: Path, uninterrupted: Path
) -> None:
    moments = random.Random(0)
    run, log = tmp_path / "run", tmp_path / "run" / "log.txt"
    process = spawn(TOY, "train", run, *OPTIONS, *SLOWLY)
    written = kills = 0
    while kills < 4:
        wait_until_larger(log, written)  # it trains
        time.sleep(moments.uniform(0.02, 0.4))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
        written = log.stat().st_size
        process = spawn(TOY, "resume", run)
    assert kills >= 2, "it ended before it could be killed"
    finish(process)
    assert checkpoint_bytes(run) == checkpoint_bytes(uninterrupted)
    iterations = [json.loads(line)["iteration"] for line in (run / "stats.jsonl").open()]
    assert iterations == list(range(10, 101, 10))
    assert not list((run / "checkpoints").glob(".*"))


def test_signals_save_and_resume_goes_on(tmp_path: Path, uninterrupted: Path) -> None:
    run = tmp_path / "run"
    process = spawn(TOY, "train", run, *OPTIONS, *SLOWLY)
    for number in (signal.SIGTERM, signal.SIGINT):
        wait_for_checkpoint(run, after=newest_checkpoint(run))
        process.send_signal(number)
        out, err = finish(process, 128 + number)
        assert f"{number.name}: finishing this step" in err
        assert "stopped by a signal" in out
        assert str(newest_checkpoint(run)) in out
        process = spawn(TOY, "resume", run)
    finish(process)
    assert checkpoint_bytes(run) == checkpoint_bytes(uninterrupted)


def test_damaged_checkpoint_is_reported_and_the_one_before_used(
    tmp_path: Path, uninterrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(uninterrupted, run)
    weights = newest_checkpoint(run) / "G.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert run_toy("resume", run, "--delay", 0.01) == 0
    said = capsys.readouterr()
    assert "iter-00000100: G.safetensors is damaged" in said.err
    assert f"resuming from {run / 'checkpoints' / 'iter-00000090'}" in said.out
    assert checkpoint_bytes(run) == checkpoint_bytes(uninterrupted)


def test_truncated_manifests_are_damage_too(
    tmp_path: Path, uninterrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(uninterrupted, run)
    for folder in (run / "checkpoints").iterdir():
        manifest = folder / "manifest.json"
        manifest.write_text(manifest.read_text()[:100])
    assert run_toy("resume", run) == 2
    assert "none of the 3 checkpoints is intact" in capsys.readouterr().err


def test_changed_manifest_is_damage(tmp_path: Path, uninterrupted: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(uninterrupted, run)
    manifest = newest_checkpoint(run) / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"nimg": 800', '"nimg": 900'))
    assert run_toy("resume", run, "--delay", 0.01) == 0
    assert checkpoint_bytes(run) == checkpoint_bytes(uninterrupted)


def test_resume_can_lengthen_a_run(tmp_path: Path, uninterrupted: Path) -> None:
    longer, run = tmp_path / "longer", tmp_path / "run"
    shutil.copytree(uninterrupted, run)
    assert run_toy("resume", run, "--kimg", 0.88) == 0
    assert run_toy("train", longer, *OPTIONS, *SLOWLY, "--kimg", 0.88) == 0
    assert newest_checkpoint(run).name == "iter-00000110"
    assert checkpoint_bytes(run) == checkpoint_bytes(longer)


def test_resume_before_the_first_checkpoint_starts_again(
    tmp_path: Path, uninterrupted: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(uninterrupted, run)
    shutil.rmtree(run / "checkpoints")
    assert run_toy("resume", run) == 0
    iterations = [json.loads(line)["iteration"] for line in (run / "stats.jsonl").open()]
    assert iterations == list(range(10, 101, 10))
    assert checkpoint_bytes(run) == checkpoint_bytes(uninterrupted)


def test_start_refuses_a_folder_with_a_run(
    uninterrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = checkpoint_bytes(uninterrupted)
    assert run_toy("train", uninterrupted, *OPTIONS) == 2
    assert f"pygan resume {uninterrupted}" in capsys.readouterr().err
    assert checkpoint_bytes(uninterrupted) == before


def test_only_the_last_checkpoints_are_kept(uninterrupted: Path) -> None:
    names = sorted(path.name for path in (uninterrupted / "checkpoints").iterdir())
    assert names == ["iter-00000080", "iter-00000090", "iter-00000100"]


def test_nan_stops_with_step_network_and_last_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert run_toy("train", run, *OPTIONS, "--poison", 15) == 1
    error = capsys.readouterr().err
    last = newest_checkpoint(run)
    assert last.name == "iter-00000010"
    for part in ("iteration 15", "phase G_main", "network G", "nan", str(last)):
        assert part in error


def test_gradients_that_overflow_end_the_training_or_are_limited(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, limited = tmp_path / "run", tmp_path / "limited"
    words = ("--kimg", 0.08, "--overflow", 5)
    assert run_toy("train", run, *words) == 1
    assert "iteration 5" in (error := capsys.readouterr().err)
    assert "gradient of network G became nan" in error
    assert run_toy("train", limited, *words, "--limits") == 0
    line = json.loads((limited / "stats.jsonl").read_text())
    assert line["overflows/G_main"] == 1


def test_time_limit_saves_and_stops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert run_toy("train", run, "--kimg", 1000, "--max-minutes", 0.01) == 0
    assert "time is over" in capsys.readouterr().out
    done = json.loads((run / "stats.jsonl").read_text())["iteration"]
    assert newest_checkpoint(run).name == f"iter-{done:08d}"


def test_other_data_is_refused_unless_forced(uninterrupted: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(uninterrupted, run)
    _, config, saved = find_run(run, lambda name: toy.Toy)
    other = toy.MemoryDataset(seed=1)
    with pytest.raises(InputError, match=r"not the dataset.*--force"):
        resume(config, toy.Toy, other, saved)
    assert resume(config, toy.Toy, other, saved, force=True).reason == "finished"
