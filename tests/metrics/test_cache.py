"""The cache of statistics: what comes back, what does not, and damaged files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from features import blobs

from pygan.metrics.cache import StatisticsCache, default_folder, statistics_key
from pygan.metrics.statistics import FeatureCollector, FeatureStatistics, statistics_of

KEY = "k" * 64


def moments(count: int = 40, dim: int = 5) -> FeatureStatistics:
    collector = FeatureCollector()
    collector.add(blobs(count, dim))
    return collector.result()


@pytest.mark.parametrize(("count", "dim"), [(40, 5), (4, 9)])
def test_features_come_back(tmp_path: Path, count: int, dim: int) -> None:
    stored = statistics_of(blobs(count, dim).astype(np.float32))
    StatisticsCache(tmp_path / "new").store(KEY, stored)
    found = StatisticsCache(tmp_path / "new").load(KEY, features=True)
    assert found is not None
    assert found.features is not None
    assert found.features.dtype == np.float32
    np.testing.assert_array_equal(found.features, stored.features)
    np.testing.assert_array_equal(found.covariance(), stored.covariance())
    assert [path.name for path in (tmp_path / "new").iterdir()] == [f"{KEY}.npz"]


def test_moments_do_for_those_that_need_no_features(tmp_path: Path) -> None:
    StatisticsCache(tmp_path).store(KEY, moments())
    assert StatisticsCache(tmp_path).load(KEY, features=True) is None
    found = StatisticsCache(tmp_path).load(KEY, features=False)
    assert found is not None
    np.testing.assert_array_equal(found.covariance(), moments().covariance())


def test_damaged_files_count_as_missing(tmp_path: Path) -> None:
    StatisticsCache(tmp_path).store(KEY, statistics_of(blobs(40, 5)))
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for damaged in (b"", whole[:100], whole[:-30], whole[:700] + b"\0\1\2" + whole[703:]):
        path.write_bytes(damaged)
        assert StatisticsCache(tmp_path).load(KEY, features=False) is None
    np.savez(path, count=np.array(40), mean=np.zeros(5), scatter=np.zeros([4, 4]))
    assert StatisticsCache(tmp_path).load(KEY, features=False) is None
    np.savez(path, count=np.array(40), mean=np.zeros(5))
    assert StatisticsCache(tmp_path).load(KEY, features=False) is None


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = StatisticsCache(tmp_path / "file" / "statistics")
    cache.store(KEY, moments())
    assert cache.load(KEY, features=False) is not None  # from memory


def test_keys() -> None:
    parts = ("images", "net", "sha", "pool", "bicubic")
    keys = {statistics_key(*parts)}
    for i in range(5):
        keys.add(statistics_key(*(part + "x" * (i == j) for j, part in enumerate(parts))))
    assert len(keys) == 6


def test_the_folder_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYGAN_CACHE", str(tmp_path))
    assert default_folder() == tmp_path / "statistics"
    monkeypatch.delenv("PYGAN_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache" / "pygan" / "statistics"
