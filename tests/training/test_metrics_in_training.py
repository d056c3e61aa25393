"""Metrics of images during training: deterministic, unnoticed by training, and resumed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy
from programs import newest_checkpoint

sys.path.append(str(Path(__file__).resolve().parents[1] / "metrics"))

from features import TinyExtractor

from pygan.errors import InputError
from pygan.metrics.cache import StatisticsCache
from pygan.metrics.evaluator import MetricsEvaluator
from pygan.training import checkpoint as checkpoints
from pygan.training.run import find_run, resume, start

# 40 iterations, a checkpoint and a measurement every 10.
OPTIONS = {"kimg": 0.32, "tick": 0.08, "snapshot": 1, "keep": 1, "metrics_samples": 20}


class Watched(TinyExtractor):
    """Images of 4 x 4 grey pixels; counts how often it was opened."""

    opened = 0


def evaluator(config: toy.ToyConfig, cache: Path, data: Any) -> MetricsEvaluator:
    def open_extractor() -> Watched:
        Watched.opened += 1
        return Watched()

    names = config.metrics.split(",")
    return MetricsEvaluator(names, toy.Toy, config, data, open_extractor, StatisticsCache(cache))


def train(folder: Path, metrics: str = "", **options: Any) -> Path:
    data = toy.MemoryDataset()
    config = toy.ToyConfig(
        data="memory", out=str(folder), metrics=metrics, **{**OPTIONS, **options}
    )
    measure = evaluator(config, folder.parent / "cache", data) if metrics else None
    start(config, toy.Toy, data, evaluator=measure)
    return folder


def go_on(folder: Path, **options: Any) -> Path:
    data = toy.MemoryDataset()
    _, config, saved = find_run(folder, lambda name: toy.Toy)
    config = toy.ToyConfig.from_dict({**config.to_dict(), **options})
    measure = evaluator(config, folder.parent / "cache", data)
    resume(config, toy.Toy, data, saved, evaluator=measure)
    return folder


def assert_same_weights(run: Path, other: Path) -> None:
    for path in newest_checkpoint(other).glob("*.safetensors"):
        found = checkpoints.load(newest_checkpoint(run)).arrays(path.stem)
        expected = checkpoints.load(path.parent).arrays(path.stem)
        assert found.keys() == expected.keys()
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def results(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").open()]


def test_training_does_not_notice(tmp_path: Path) -> None:
    plain = train(tmp_path / "plain")
    measured = train(tmp_path / "measured", "kid,fid,pr,is")
    assert_same_weights(measured, plain)
    lines = results(measured)
    assert [line["iteration"] for line in lines] == [10, 20, 30, 40]
    names = ["kd_tiny", "fd_tiny", "precision_tiny", "recall_tiny", "is_tiny"]
    assert [name for name in lines[0] if name not in ("kimg", "iteration")] == names
    assert len({line["fd_tiny"] for line in lines}) == 4
    best = min(lines, key=lambda line: line["kd_tiny"])
    assert json.loads((measured / "best" / "metrics.json").read_text()) == best


def test_a_resumed_run_measures_the_same(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", "fid")
    halves = go_on(train(tmp_path / "halves", "fid", kimg=0.16), kimg=0.32)
    assert_same_weights(halves, whole)
    assert results(halves) == results(whole)
    later = go_on(train(tmp_path / "later", kimg=0.16), kimg=0.32, metrics="fid")
    assert_same_weights(later, whole)
    assert results(later)[-2:] == results(whole)[-2:]


def test_real_statistics_outlive_the_process(tmp_path: Path) -> None:
    train(tmp_path / "one", "fid")
    (file,) = (tmp_path / "cache").iterdir()
    written = file.stat().st_mtime_ns
    Watched.opened = 0
    train(tmp_path / "two", "fid", seed=1)
    assert Watched.opened == 1
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [file.name]
    assert file.stat().st_mtime_ns == written


def test_only_images_that_are_trained_on_are_real(tmp_path: Path) -> None:
    """Another subset has other statistics."""
    train(tmp_path / "whole", "fid")
    train(tmp_path / "part", "fid", subset=20)
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_conditional(tmp_path: Path) -> None:
    assert "kd_tiny" in results(train(tmp_path / "run", "kid", conditional=True, kimg=0.08))[0]


def test_the_best_precision_is_the_highest(tmp_path: Path) -> None:
    run = train(tmp_path / "run", "pr")
    lines = results(run)
    best = json.loads((run / "best" / "metrics.json").read_text())
    assert best["precision_tiny"] == max(line["precision_tiny"] for line in lines)


def test_too_few_samples_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pr: the search for 3 neighbours needs at least 4 images"):
        train(tmp_path / "run", "fid,pr", metrics_samples=3)
    with pytest.raises(InputError, match=r"pr: .* at least 4 images, there are 2"):
        train(tmp_path / "run", "fid,pr", subset=2)
    assert not (tmp_path / "run").exists()
