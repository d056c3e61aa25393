"""The tuner's decisions on disk."""

from __future__ import annotations

import json
import multiprocessing
import warnings
from pathlib import Path
from typing import Any

import pytest

from pygan.ops._tune_cache import TuneCache
from pygan.ops._tuner import COMPOSED, NATIVE
from tests.ops.tuner_bench import GPU, Bench, image


def test_the_next_process_reads_the_decision(bench: Bench) -> None:
    bench.operator.seconds[COMPOSED] = 1e-6
    bench.choose()
    bench.fresh()
    assert not bench.timed()
    assert bench.choose() == COMPOSED
    (entry,) = bench.tuner.report()
    assert entry["source"] == "cache"
    assert entry["composition_ms"] == pytest.approx(1e-3)


@pytest.mark.parametrize("fact", sorted(GPU))
def test_another_machine_or_version_times_anew(bench: Bench, fact: str) -> None:
    bench.choose()
    bench.fresh()
    bench.device.facts = {**GPU, fact: "another"}
    assert bench.timed()


def test_force_times_once_per_process(bench: Bench) -> None:
    bench.choose()
    bench.operator.seconds[NATIVE] = 1.0
    bench.fresh(mode="force")
    assert bench.timed()
    assert bench.choose() == COMPOSED
    assert not bench.timed()
    bench.fresh()
    assert bench.choose() == COMPOSED  # and what it found is kept


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"schema": 99, "entries": {}}',
        b"[" * 100000,
    ],
)
def test_a_damaged_file_counts_as_empty(bench: Bench, damage: bytes) -> None:
    bench.choose()
    path = TuneCache(bench.folder).path(GPU)
    path.write_bytes(damage)
    bench.fresh()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bench.timed()
    bench.fresh()
    assert not bench.timed()


@pytest.mark.parametrize(
    "entry",
    [None, 3, {}, {"choice": "native"}, {"choice": "faster", "native_ms": 1, "composition_ms": 1},
     {"choice": "native", "native_ms": "1", "composition_ms": 1},
     {"choice": "native", "native_ms": float("nan"), "composition_ms": 1},
     {"choice": "native", "native_ms": float("inf"), "composition_ms": 1},
     {"choice": "native", "native_ms": True, "composition_ms": 1},
     {"choice": "native", "native_ms": -1, "composition_ms": 1}],
)  # fmt: skip
def test_a_damaged_entry_is_timed_again(bench: Bench, entry: Any) -> None:
    bench.choose()
    path = TuneCache(bench.folder).path(GPU)
    content = json.loads(path.read_text())
    (name,) = content["entries"]
    content["entries"][name] = entry
    path.write_text(json.dumps(content))
    bench.fresh()
    assert bench.timed()


def test_a_number_that_no_float_holds_does_no_harm(bench: Bench) -> None:
    bench.choose()
    path = TuneCache(bench.folder).path(GPU)
    content = json.loads(path.read_text())
    (entry,) = content["entries"].values()
    entry["native_ms"] = 10**400
    path.write_text(json.dumps(content))
    bench.fresh()
    assert bench.choose() == entry["choice"]


def test_a_folder_that_cannot_be_written_costs_one_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    bench = Bench(tmp_path / "file" / "tune")
    with pytest.warns(UserWarning, match="PYGAN_TUNE_CACHE"):
        assert bench.choose() == NATIVE
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bench.choose(image((1, 1))) == NATIVE


def _add(folder: Path, who: int, barrier: Any) -> None:
    cache = TuneCache(folder)
    barrier.wait()
    for i in range(20):
        cache.add(GPU, f"{who}/{i}", {"choice": "native", "native_ms": 1, "composition_ms": 2})


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    writers = [context.Process(target=_add, args=(tmp_path, who, barrier)) for who in range(3)]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
        assert process.exitcode == 0
    assert len(TuneCache(tmp_path).read(GPU)) == 60
    assert not list(tmp_path.glob("*.tmp"))
