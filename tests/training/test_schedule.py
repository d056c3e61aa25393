"""Learning rates that fall."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from programs import checkpoint_bytes
from toy import MemoryDataset, Toy, ToyConfig

from pygan.training.run import find_run, resume, start
from pygan.training.schedule import linear_decay


def test_the_rate_is_constant_and_then_falls_to_zero() -> None:
    factors = [linear_decay(nimg, 0.2, 0.5) for nimg in (0, 50, 100, 125, 150, 200, 250)]
    assert factors == pytest.approx([1, 1, 1, 0.75, 0.5, 0, 0])
    assert [linear_decay(nimg, 0.2, 1.0) for nimg in (0, 50, 200)] == [1, 0.75, 0]
    assert [linear_decay(nimg, 0.2, 0.0) for nimg in (0, 199, 400)] == [1, 1, 1]


def test_the_loop_sets_the_rates_that_are_named(tmp_path: Path) -> None:
    """In the toy that of D falls in the second half; that of G is not named and stays."""
    config = ToyConfig(out=str(tmp_path), kimg=0.08, tick=0.008, lr_decay=0.5, snapshot=1, keep=10)
    start(config, Toy, MemoryDataset())
    lines = [json.loads(line) for line in (tmp_path / "stats.jsonl").open()]
    # A tick is one iteration here, which has the rate of the images before it.
    falling = [1e-3 * min((10 - i) / 5, 1) for i in range(10)]
    assert [line["lr/D"] for line in lines] == pytest.approx(falling)
    assert len({line["lr/G"] for line in lines}) == 1

    whole = checkpoint_bytes(tmp_path)
    for number in range(8, 11):  # as if it had ended in the fall
        shutil.rmtree(tmp_path / "checkpoints" / f"iter-{number:08d}")
    _, config, saved = find_run(tmp_path, lambda name: Toy)
    assert saved is not None
    assert saved.manifest["iteration"] == 7
    resume(config, Toy, MemoryDataset(), saved)
    assert checkpoint_bytes(tmp_path) == whole
