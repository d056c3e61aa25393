"""Images from a user's own label maps and images: files, folders, sizes, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pygan.apps.sample import load_model
from pygan.cli import main
from pygan.data import build_pairs
from pygan.data.pair_source import Pair, PairSource, SourcePair
from pygan.data.scenes import scenes
from pygan.training import make_condition
from pygan.training.grid import to_pixels

TINY = ["--channel-base", 4, "--channel-max", 8, "--d-channel-base", 4, "--d-layers", 1]
TINY += ["--kimg", 0.004, "--batch", 2, "--workers", 0, "--grid", "3x1", "--threads", 1]


def command(*words: Any) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("generate")


@pytest.fixture(scope="module")
def of_labels(folder: Path) -> Path:
    """A run on scenes of 16 x 16 with instances."""
    data = build_pairs(scenes(4, 16), folder / "scenes.zip").dest
    assert command("train", "pix2pix", "--data", data, "--out", folder / "labels", *TINY) == 0
    return folder / "labels"


@pytest.fixture(scope="module")
def of_images(folder: Path) -> Path:
    """A run on pairs of a grey source and an RGB image."""

    def pair() -> Pair:
        pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
        image = Image.fromarray(pixels)
        return Pair(image, source=image.convert("L"))

    source = PairSource("tiny", 4, lambda: (SourcePair(f"{i}", pair) for i in range(4)))
    data = build_pairs(source, folder / "grey.zip", source_channels=1).dest
    assert command("train", "pix2pix", "--data", data, "--out", folder / "images", *TINY) == 0
    return folder / "images"


def write_map(path: Path, size: tuple[int, int] = (16, 16), top: int = 9, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    ids = np.random.default_rng(seed).integers(0, top + 1, (height, width)).astype(np.uint8)
    ids[0, 0] = top
    Image.fromarray(ids).save(path)
    return path


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_one_map_makes_the_image_that_render_makes(of_labels: Path, tmp_path: Path) -> None:
    file = write_map(tmp_path / "map.png")
    instances = write_map(tmp_path / "instances.png", top=3, seed=1)
    out = tmp_path / "made" / "photo.png"
    words = ["generate", of_labels, "--labels", file, "--instances", instances]
    assert command(*words, "--out", out) == 0
    model = load_model(of_labels)
    condition = make_condition(pixels(file)[np.newaxis], pixels(instances)[np.newaxis])
    expected = model.algorithm.render(model.networks, model.config, [0], condition)
    found = pixels(out)
    np.testing.assert_array_equal(found, to_pixels(expected.numpy())[0].transpose(1, 2, 0))
    # Without an instance map, every class is an instance.
    assert command("generate", of_labels, "--labels", file, "--out", out) == 0
    condition = make_condition(pixels(file)[np.newaxis], pixels(file)[np.newaxis])
    expected = model.algorithm.render(model.networks, model.config, [0], condition)
    np.testing.assert_array_equal(pixels(out), to_pixels(expected.numpy())[0].transpose(1, 2, 0))


def test_folders_seeds_and_grids(of_labels: Path, tmp_path: Path) -> None:
    for i, name in enumerate(("b", "a")):
        write_map(tmp_path / "maps" / f"{name}.png", (20, 12), seed=i)
    out = tmp_path / "made"
    words = ["generate", of_labels, "--labels", tmp_path / "maps", "--out", out, "--size", "16x32"]
    assert command(*words, "--seeds", "3,5", "--grid") == 0
    names = {path.name for path in out.iterdir()}
    expected = {f"{name}_seed{seed:04d}.png" for name in "ab" for seed in (3, 5)}
    assert names == expected | {"grid.png"}
    grid = pixels(out / "grid.png")
    assert grid.shape == (2 * 32, 3 * 16, 3)
    np.testing.assert_array_equal(grid[32:, 32:], pixels(out / "b_seed0005.png"))
    first, second = pixels(out / "a_seed0003.png"), pixels(out / "a_seed0005.png")
    assert (first != second).any()  # dropout
    assert command(*words, "--seeds", "3,5", "--dropout", "off", "--norm-stats", "running") == 0
    plain = pixels(out / "a_seed0003.png")
    np.testing.assert_array_equal(plain, pixels(out / "a_seed0005.png"))
    assert (plain != first).any()


def test_images_of_any_colours_become_sources(of_images: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    image = Image.fromarray(rng.integers(0, 256, (32, 16, 3)).astype(np.uint8))
    (tmp_path / "photos").mkdir()
    image.save(tmp_path / "photos" / "colour.png")
    image.convert("L").save(tmp_path / "photos" / "grey.png")
    assert command("generate", of_images, "--image", tmp_path / "photos") == 0
    made = [pixels(of_images / "generated" / f"{name}.png") for name in ("colour", "grey")]
    assert made[0].shape == (32, 16, 3)
    np.testing.assert_array_equal(*made)


def test_colourisation_takes_plain_images(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for i in range(3):
        image = Image.fromarray(rng.integers(0, 256, (16, 16, 3)).astype(np.uint8))
        image.save(tmp_path / "photos" / f"{i}.png")
    run = tmp_path / "run"
    words = ["train", "pix2pix-colorization", "--data", tmp_path / "photos", "--out", run]
    assert command(*words, *TINY) == 0
    assert pixels(run / "samples_000000.png").shape == (16, 48, 3)
    grey = write_map(tmp_path / "grey.png", (16, 32), 255)
    assert command("generate", run, "--image", grey, "--out", tmp_path / "made.png") == 0
    assert pixels(tmp_path / "made.png").shape == (32, 16, 3)


def test_what_does_not_fit_is_refused(
    of_labels: Path, of_images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write_map(tmp_path / "maps" / "good.png")
    wrong = write_map(tmp_path / "wrong.png", top=10)
    small = write_map(tmp_path / "small.png", (8, 8))
    odd = write_map(tmp_path / "odd.png", (20, 18))

    def refused(run: Path, *words: Any) -> str:
        assert command("generate", run, *words) == 2
        return capsys.readouterr().err.replace(str(tmp_path), "")

    assert "/wrong.png: has label 10 at pixel x=0, y=0; legal are 0 to 9" in refused(
        of_labels, "--labels", wrong
    )
    assert "must be multiples of 16: 16, 32, 48, ... " in refused(of_labels, "--labels", odd)
    assert "--size resizes it" in refused(of_labels, "--labels", odd)
    assert "--labels is required: this model makes images from label maps" in refused(of_labels)
    assert "--image: this model takes none" in refused(of_labels, "--labels", good, "--image", good)
    assert "--image is required" in refused(of_images)
    assert "--labels: this model takes none" in refused(
        of_images, "--image", good, "--labels", good
    )
    assert "--instances: this model takes none" in refused(
        of_images, "--image", good, "--instances", good
    )
    assert "--style: pix2pix takes no style" in refused(
        of_labels, "--labels", good, "--style", good
    )
    assert "/small.png is 8x8, but the label map is 16x16" in refused(
        of_labels, "--labels", good, "--instances", small
    )
    assert "/none.png does not exist" in refused(of_labels, "--labels", tmp_path / "none.png")
    assert "is one file, but there are more to write" in refused(
        of_labels, "--labels", good, "--out", tmp_path / "x.png", "--seeds", "0-1"
    )
    assert "/maps/good.png is an input" in refused(
        of_labels, "--labels", good.parent, "--out", good.parent
    )
    assert "--instances: /small.png is a file, but --labels is a folder" in refused(
        of_labels, "--labels", good.parent, "--instances", small
    )
    write_map(tmp_path / "others" / "other.png")
    assert "--instances: /others has no image good" in refused(
        of_labels, "--labels", good.parent, "--instances", tmp_path / "others"
    )
    assert "--size: size must be N or WIDTHxHEIGHT" in refused(
        of_labels, "--labels", good, "--size", "big"
    )
    (tmp_path / "text.png").write_text("no picture")
    assert "is not an image in a known format" in refused(
        of_labels, "--labels", tmp_path / "text.png"
    )
