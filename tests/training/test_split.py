"""Subsets and held-out images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from programs import run_toy
from shapes import write_shapes
from toy import MemoryDataset, ToyConfig

from pygan.data import open_dataset
from pygan.errors import InputError
from pygan.training.split import split_dataset


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("data") / "shapes")


def names(part: object) -> list[str]:
    return [Path(part.name(i)).name for i in range(part.originals)]


def test_without_options_the_dataset_is_left_alone() -> None:
    data = MemoryDataset()
    assert split_dataset(data, ToyConfig()) == (data, None)


def test_held_out_images_are_not_trained_on(folder: Path) -> None:
    data = open_dataset(folder, mirror=True)
    training, held_out = split_dataset(data, ToyConfig(validation=0.25, mirror=True))
    assert (training.originals, len(training)) == (30, 60)
    assert (held_out.originals, len(held_out)) == (10, 20)
    assert sorted(names(training) + names(held_out)) == names(data)
    # The first half are the images, the second their mirror images, with their labels.
    images, labels = training.load(range(60))
    np.testing.assert_array_equal(images[30:], images[:30, :, :, ::-1])
    np.testing.assert_array_equal(labels[30:], labels[:30])
    whole, all_labels = data.load(range(40))
    rows = [names(data).index(name) for name in names(training)]
    np.testing.assert_array_equal(images[:30], whole[rows])
    np.testing.assert_array_equal(labels[:30], all_labels[rows])


def test_subset_is_a_function_of_the_seed_and_leaves_validation_alone(folder: Path) -> None:
    data = open_dataset(folder)
    parts = [
        split_dataset(data, ToyConfig(validation=8, subset=n, seed=s))
        for n, s in ((20, 1), (20, 1), (10, 1), (20, 2))
    ]
    first, again, smaller, other = parts
    assert names(first[0]) == names(again[0])
    assert first[0].fingerprint == again[0].fingerprint
    assert first[0].fingerprint not in (smaller[0].fingerprint, other[0].fingerprint)
    assert set(names(smaller[0])) < set(names(first[0]))
    assert names(first[1]) == names(smaller[1])
    assert names(first[0]) != names(other[0])
    assert not set(names(first[0])) & set(names(first[1]))
    assert len(names(first[0])) == 20


def test_classes_that_lose_all_images_stay_classes(folder: Path) -> None:
    training, _ = split_dataset(open_dataset(folder), ToyConfig(subset=2))
    assert training.num_classes == 4
    assert len(set(training.labels.tolist())) <= 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subset": 38}, "--subset: 38 images, but there are only 37"),
        ({"subset": 30, "validation": 8}, "--subset: 30 images, .*29 besides the 8 for validation"),
        ({"validation": 37}, "--validation: 37 of 37 images leaves 37 to hold out and 0"),
        ({"validation": 0.001}, "--validation: 0.001 of 37 images leaves 0 to hold out"),
    ],
)
def test_more_than_there_is(options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        split_dataset(MemoryDataset(), ToyConfig(**options))  # type: ignore[arg-type]


def test_losses_get_held_out_images(tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert run_toy("train", run, "--kimg", 0.08, "--validation", 8) == 0
    (line,) = (json.loads(text) for text in (run / "stats.jsonl").open())
    _, held_out = split_dataset(MemoryDataset(), ToyConfig(validation=8))
    # Ten batches of eight are ten epochs of the eight images.
    mean = held_out.load(range(8))[0].mean() / 127.5 - 1
    assert line["held_out"] == pytest.approx(mean, rel=1e-4)
    assert "29 images of 4 x 4, 1 channels, 8 held out" in (run / "log.txt").read_text()
    assert run_toy("resume", run, "--kimg", 0.16) == 0
