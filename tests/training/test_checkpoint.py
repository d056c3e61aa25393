"""Checkpoints on disk."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pygan.errors import InputError, TrainingError
from pygan.training import checkpoint as checkpoints

ARRAYS = {"a": {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "y": np.array(2, np.float32)}}


def test_round_trip(tmp_path: Path) -> None:
    path = checkpoints.save(tmp_path, 12, ARRAYS, {"nimg": 96}, keep=2)
    saved = checkpoints.load(path)
    assert saved.manifest["nimg"] == 96
    assert saved.arrays("a").keys() == ARRAYS["a"].keys()
    for name, array in saved.arrays("a").items():
        np.testing.assert_array_equal(array, ARRAYS["a"][name], strict=True)
    arrays, manifest = checkpoints.read_weights(path / "a.safetensors")
    assert manifest == {"file": "a", "nimg": 96}
    np.testing.assert_array_equal(arrays["x"], ARRAYS["a"]["x"])


def test_the_same_state_gives_the_same_bytes(tmp_path: Path) -> None:
    manifest = {"nimg": 96, "config": {"b": 1, "a": None}}
    paths = [checkpoints.save(tmp_path / str(i), 1, ARRAYS, manifest, keep=1) for i in range(3)]
    contents = [{p.name: p.read_bytes() for p in path.iterdir()} for path in paths]
    assert contents[0] == contents[1] == contents[2]


def test_a_crash_while_writing_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = checkpoints.save(tmp_path, 1, ARRAYS, {}, keep=1)

    def crash(source: object, target: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.save(tmp_path, 2, ARRAYS, {}, keep=1)
    found = checkpoints.newest(tmp_path, pytest.fail)
    assert found is not None
    assert found.path == first
    second = checkpoints.save(tmp_path, 2, ARRAYS, {}, keep=1)
    assert sorted(tmp_path.iterdir()) == [second]


def test_values_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    bad = {"G": {"weight": np.array([1, np.inf], dtype=np.float32)}}
    with pytest.raises(TrainingError, match="weight of G"):
        checkpoints.save(tmp_path, 1, bad, {}, keep=1)
    assert checkpoints.newest(tmp_path, pytest.fail) is None


def test_missing_files_and_other_formats_are_told(tmp_path: Path) -> None:
    path = checkpoints.save(tmp_path, 1, ARRAYS, {}, keep=1)
    (path / "a.safetensors").unlink()
    with pytest.raises(InputError, match=r"a\.safetensors is missing"):
        checkpoints.load(path)
    later = checkpoints.save(tmp_path, 2, ARRAYS, {"format": 99}, keep=2)
    with pytest.raises(InputError, match="format 99"):
        checkpoints.load(later)


def test_pickles_are_not_weights(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"\x80\x04\x95" + bytes(64))
    with pytest.raises(InputError, match="not weights that pygan saved"):
        checkpoints.read_weights(path)
