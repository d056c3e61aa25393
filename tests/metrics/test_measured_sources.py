"""Images from files and from generators, as metrics see them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, Optional

import numpy as np
import paddle
import pytest
from PIL import Image

from pygan.data import open_dataset
from pygan.errors import InputError
from pygan.metrics.sources import (
    dataset_images,
    generated_images,
    on_white,
    open_images,
    to_uint8,
)
from pygan.training.algorithm import DataSpec


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of several kinds and sizes; in the order of their names."""
    random = np.random.RandomState(0)
    shapes = [(6, 4, 3), (6, 4, 3), (5, 5), (8, 4, 4), (6, 4, 3)]
    for i, shape in enumerate(shapes):
        save(tmp_path / "images" / f"{i}.png", random.randint(0, 256, shape).astype(np.uint8))
    return tmp_path / "images"


def test_a_folder_of_any_images(folder: Path) -> None:
    images = open_images(folder)
    assert (images.count, images.labels) == (5, None)
    batches = list(images.batches(4))
    assert [batch.shape for batch in batches] == [
        (2, 3, 6, 4),
        (1, 1, 5, 5),
        (1, 3, 8, 4),
        (1, 3, 6, 4),
    ]
    first = np.asarray(Image.open(folder / "0.png")).transpose(2, 0, 1)
    np.testing.assert_array_equal(batches[0][0], first)
    canvas = Image.new("RGBA", (4, 8), "white")
    canvas.alpha_composite(Image.open(folder / "3.png"))
    seen = np.asarray(canvas.convert("RGB")).transpose(2, 0, 1)
    np.testing.assert_array_equal(batches[2][0], seen)
    assert [len(batch) for batch in images.batches(1)] == [1] * 5


def test_the_key_is_of_the_contents(folder: Path, tmp_path: Path) -> None:
    key = open_images(folder).key
    copy = tmp_path / "copy.zip"
    with zipfile.ZipFile(copy, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    assert open_images(copy).key == key  # neither the path nor the container
    assert open_images(folder, limit=3).key != key
    assert open_images(folder, limit=3, seed=1).key != open_images(folder, limit=3).key
    assert open_images(folder, limit=5).key == key
    pixels = np.asarray(Image.open(folder / "1.png")).copy()
    pixels[0, 0, 0] ^= 1
    save(folder / "1.png", pixels)
    assert open_images(folder).key != key


def test_a_limit_chooses_by_the_seed(folder: Path) -> None:
    all_images = [batch[0] for batch in open_images(folder).batches(1)]
    some = [batch[0] for batch in open_images(folder, limit=3, seed=5).batches(1)]
    places = [next(i for i, x in enumerate(all_images) if np.array_equal(x, y)) for y in some]
    assert len(places) == 3
    assert places == sorted(set(places))
    record = {"images": str(folder), "count": 3, "of": 5, "seed": 5}
    assert open_images(folder, limit=3, seed=5).record == record
    assert "seed" not in open_images(folder, seed=5).record
    found = set()
    for seed in range(8):
        found.add(
            tuple(batch.sum() for batch in open_images(folder, limit=2, seed=seed).batches(1))
        )
    assert len(found) > 2


def test_labels_follow_the_choice(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for i in range(6):
        save(tmp_path / "set" / f"{i}.png", np.full((4, 4, 3), 40 * i, np.uint8))
    table = ", ".join(f'["{i}.png", {i % 3}]' for i in range(6))
    (tmp_path / "set" / "dataset.json").write_text(f'{{"labels": [{table}]}}')
    images = open_images(tmp_path / "set", limit=4, seed=2)
    assert images.labels is not None
    numbers = [int(batch[0, 0, 0, 0]) // 40 for batch in images.batches(1)]
    assert images.labels.tolist() == [number % 3 for number in numbers]


def test_a_dataset_without_its_mirror_images(folder: Path) -> None:
    for name in ("2.png", "3.png"):
        (folder / name).unlink()
    dataset = open_dataset(folder, mirror=True)
    assert len(dataset) == 6
    images = dataset_images(dataset)
    (batch,) = images.batches(8)
    np.testing.assert_array_equal(batch, dataset.load([0, 1, 2])[0])
    assert dataset_images(dataset, limit=2).key != images.key


def test_the_embedded_emoji() -> None:
    images = open_images("emoji", limit=3)
    assert images.count == 3
    assert images.labels is not None
    assert [batch.shape for batch in images.batches(8)] == [(3, 3, 64, 64)]


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing"):
        open_images(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="contains no images"):
        open_images(tmp_path / "empty")
    save(tmp_path / "bad" / "0.png", np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "bad" / "1.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"1\.png"):
        list(open_images(tmp_path / "bad").batches(2))
    with pytest.raises(InputError, match="limit of 0"):
        open_images(tmp_path / "bad", limit=0)


class Drawing:
    """An algorithm whose images tell their seed and label."""

    @staticmethod
    def sample(
        networks: Any, config: Any, seeds: list[int], labels: Optional[np.ndarray], **_: Any
    ) -> paddle.Tensor:
        x = np.stack([np.random.RandomState(seed).uniform(-1, 1, (3, 2, 2)) for seed in seeds])
        if labels is not None:
            x[:, 0] = labels[:, None, None] / 10
        return paddle.to_tensor(x)


def drawn(count: int, batch: int, seed: int = 0, classes: tuple[int, ...] = ()) -> np.ndarray:
    images = generated_images(Drawing, {}, None, DataSpec((3, 2, 2), classes), count, seed=seed)
    return np.concatenate(list(images.batches(batch)))


def test_generated_images_do_not_depend_on_the_batch() -> None:
    for classes in ((), (3, 5, 2)):
        whole = drawn(10, 10, classes=classes)
        assert whole.dtype == np.uint8
        for batch in (1, 3, 64):
            np.testing.assert_array_equal(drawn(10, batch, classes=classes), whole)
        np.testing.assert_array_equal(drawn(6, 6, classes=classes), whole[:6])
        assert np.any(drawn(10, 10, seed=1, classes=classes) != whole)


def test_labels_are_distributed_as_in_the_data() -> None:
    labels = drawn(3000, 1000, classes=(3, 0, 7))[:, 0, 0, 0]
    values, counts = np.unique(labels, return_counts=True)
    assert len(values) == 2
    assert counts / 3000 == pytest.approx([0.3, 0.7], abs=0.03)


def test_pixels() -> None:
    x = np.array([-3, -1, -0.5, 0, 1 / 255, 1, 7], dtype=np.float32).reshape(1, 1, 1, 7)
    assert to_uint8(x).reshape(-1).tolist() == [0, 0, 64, 128, 128, 255, 255]
    with pytest.raises(InputError, match="NaN or infinity"):
        to_uint8(np.full([1, 1, 2, 2], np.nan))
    with pytest.raises(InputError, match="1, 3 or 4 channels, got 2"):
        to_uint8(np.zeros([1, 2, 2, 2]))


def test_transparent_pixels_as_pillow_shows_them() -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (40, 40, 4)).astype(np.uint8)
    canvas = Image.new("RGBA", (40, 40), "white")
    canvas.alpha_composite(Image.fromarray(pixels))
    expected = np.asarray(canvas.convert("RGB")).astype(int)
    found = on_white(pixels.transpose(2, 0, 1)[None])[0].transpose(1, 2, 0).astype(int)
    assert np.abs(found - expected).max() <= 1


def test_a_count_of_none() -> None:
    with pytest.raises(InputError, match="a count of 0"):
        drawn(0, 1)
