"""Runs on pairs: what losses see, and that it does not depend on how the work is split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paired_toy
import pytest
import toy
from PIL import Image
from programs import assert_same_weights, checkpoint_arrays, checkpoint_bytes

from pygan.data import build_pairs, open_dataset
from pygan.data.idmaps import label_colours
from pygan.data.pair_source import Pair, PairSource, SourcePair
from pygan.data.scenes import CLASSES, scenes
from pygan.errors import InputError
from pygan.training import DataSpec, RealBatch
from pygan.training.loop import Trainer, data_spec
from pygan.training.order import ImageOrder
from pygan.training.paired import crop_corners, framed
from pygan.training.rng import StepRandom

SHORT = ("--kimg", "0.048", "--tick", "0.016", "--snapshot", "1")


def run(command: str, folder: Path, *options: object) -> None:
    paired_toy.main([command, str(folder), *map(str, options)])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "scenes.zip"
    return build_pairs(scenes(10, 12), path).dest


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of twelve iterations on crops."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    run("train", folder, "--data", data, *OPTIONS, *SHORT)
    return folder


OPTIONS = ("--load-size", "14", "--crop", "10x8", "--mirror", "true")


def test_writes_pictures_of_conditions_beside_made_and_real_images(whole: Path, data: Path) -> None:
    with Image.open(whole / "reals.png") as picture:
        assert picture.size == (20, 16)
    with Image.open(whole / "samples_000000.048.png") as picture:
        assert picture.size == (30, 16)  # a triple of 10 x 8 in each of two rows
        pixels = np.asarray(picture)
    pairs = framed(
        open_dataset(str(data)), {"load_size": "14", "crop": "10x8", "mirror": True}
    ).pairs
    order = ImageOrder(len(pairs), 0)([0, 1])
    expected = pairs.load([pairs.centred(index) for index in order])
    for row in (0, 1):
        condition, made, real = np.split(pixels[8 * row : 8 * row + 8], 3, axis=1)
        np.testing.assert_array_equal(condition, label_colours(10)[expected.labelmaps[row]])
        np.testing.assert_array_equal(real, expected.images[row].transpose(1, 2, 0))
        assert (made != real).any()
    assert "with label maps of 10 classes, instances" in (whole / "log.txt").read_text()


def test_resumed_run_sees_the_same_crops(whole: Path, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run("train", folder, "--data", data, *OPTIONS, "--kimg", "0.016", *SHORT[2:])
    run("resume", folder, "--kimg", "0.048", "--workers", "1")
    assert checkpoint_bytes(folder).keys() == checkpoint_bytes(whole).keys()
    for name, array in checkpoint_arrays(whole).items():
        np.testing.assert_array_equal(checkpoint_arrays(folder)[name], array, err_msg=name)


def test_accumulation_sees_the_same_crops(whole: Path, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run("train", folder, "--data", data, *OPTIONS, *SHORT, "--accumulate", "2")
    assert_same_weights(folder, whole)


def test_crops_change_what_is_seen(whole: Path, data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run("train", folder, "--data", data, *OPTIONS, *SHORT, "--validation", "0.3", "--subset", "6")
    other, first = checkpoint_arrays(folder), checkpoint_arrays(whole)
    assert (other["state/seen"][:3] != first["state/seen"][:3]).all()


def test_corners_are_uniform_and_a_function_of_the_sample() -> None:
    samples = range(3000)
    corners = np.array(crop_corners(StepRandom(3, "crop", 5, samples), (12, 9), (10, 9)))
    assert set(corners[:, 1]) == {0}
    np.testing.assert_allclose(np.bincount(corners[:, 0]) / 3000, [1 / 3] * 3, atol=0.04)
    part = crop_corners(StepRandom(3, "crop", 5, range(7, 3000, 9)), (12, 9), (10, 9))
    np.testing.assert_array_equal(part, corners[7::9])
    assert crop_corners(StepRandom(3, "crop", 5, [1, 2]), (4, 4), (4, 4)) == [(0, 0)] * 2


def test_spec_survives_a_checkpoint(data: Path) -> None:
    spec = data_spec(open_dataset(data), False)
    assert spec == DataSpec((3, 12, 12), (), len(CLASSES), None, True, 0)
    assert DataSpec.from_dict(spec.to_dict()) == spec
    assert DataSpec((3, 4, 4)).to_dict() == {"image_shape": [3, 4, 4], "class_counts": []}
    with pytest.raises(InputError, match="the dataset has no labels"):
        data_spec(open_dataset(data), True)


def test_batches_give_tensors_of_their_kind() -> None:
    maps = np.array([[[0, 300], [2, 1]]], dtype=np.uint16)
    pixels = np.full((1, 3, 2, 2), 255, dtype=np.uint8)
    batch = RealBatch(pixels, None, maps, maps * 200, pixels[:, :1] // 255)
    assert str(batch.labelmaps.dtype) == str(batch.instances.dtype) == "paddle.int32"
    np.testing.assert_array_equal(batch.labelmaps.numpy(), maps)
    np.testing.assert_array_equal(batch.instances.numpy(), maps.astype(np.int32) * 200 % 65536)
    np.testing.assert_allclose(
        batch.sources.numpy(), np.full((1, 1, 2, 2), 1 / 127.5 - 1), rtol=1e-6
    )
    np.testing.assert_array_equal(batch.images.numpy(), np.ones((1, 3, 2, 2)))
    with pytest.raises(ValueError, match="the dataset has no label maps"):
        _ = RealBatch(pixels, None).labelmaps


def test_source_images_are_a_condition(tmp_path: Path) -> None:
    def pair() -> Pair:
        image = Image.fromarray(
            np.random.RandomState(0).randint(0, 256, (8, 8, 3)).astype(np.uint8)
        )
        return Pair(image, source=image.convert("L"))

    source = PairSource("tiny", 6, lambda: (SourcePair(f"{i}", pair) for i in range(6)))
    path = build_pairs(source, tmp_path / "p.zip", source_channels=1).dest
    run("train", tmp_path / "run", "--data", path, *SHORT, "--crop", "6")
    with Image.open(tmp_path / "run" / "samples_000000.048.png") as picture:
        assert (picture.size, picture.mode) == ((18, 12), "RGB")
        grey = np.asarray(picture)[:, :6]
        assert (grey == grey[:, :, :1]).all()
    assert checkpoint_arrays(tmp_path / "run")["G/weight"].shape == (3, 1, 1, 1)


def test_other_datasets_are_refused(data: Path, whole: Path, tmp_path: Path) -> None:
    config = paired_toy.PairedToyConfig(out=str(tmp_path / "run"), kimg=1.0)
    with pytest.raises(InputError, match="makes images from label maps or source images, which"):
        Trainer(config, paired_toy.PairedToy, toy.MemoryDataset())
    with pytest.raises(InputError, match="--crop: the dataset holds no pairs"):
        framed(toy.MemoryDataset(), {"crop": "4"})
    with pytest.raises(InputError, match="--crop: crop: 13x13 does not fit into pairs of 12x12"):
        framed(open_dataset(data), {"crop": "13"})
    with pytest.raises(InputError, match="--load-size: size must be N or WIDTHxHEIGHT"):
        paired_toy.PairedToyConfig(load_size="big").validate()
    fewer = build_pairs(scenes(10, 12), tmp_path / "more.zip", label_count=12).dest
    with pytest.raises(InputError, match="with label maps of 12 classes, instances, the networks"):
        run("resume", whole, "--data", fewer)
    assert framed(toy.MemoryDataset(), {"mirror": True}).fingerprint == "memory-37-0"


def test_unconditional_algorithms_train_on_the_images(data: Path) -> None:
    config = toy.ToyConfig(kimg=1.0, batch=4)
    trainer = Trainer(config, toy.Toy, open_dataset(data))
    real, _ = next(trainer._real_batches())
    assert real.images.shape == [4, 3, 12, 12]
    assert vars(real.condition) == {"labelmaps": None, "instances": None, "sources": None}
