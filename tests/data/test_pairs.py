"""Paired datasets: identical geometry of all planes, exact ids, caching, workers, errors."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_images import encoded, random_pixels

from pygan.data import (
    DataError,
    ImageError,
    Loader,
    PairedDataset,
    Placed,
    build_dataset,
    build_pairs,
    open_dataset,
    open_pairs,
)
from pygan.data.idmaps import encode_ids
from pygan.data.pair_source import Pair, PairSource, SourcePair

HEIGHT, WIDTH = 6, 8


def coded(number: int, height: int = HEIGHT, width: int = WIDTH, labels: bool = True) -> Pair:
    """A pair in which every plane says where each pixel was: x, y and number."""
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([x, y, np.full_like(x, number)], axis=2).astype(np.uint8)
    if not labels:
        return Pair(Image.fromarray(rgb), source=Image.fromarray(rgb[:, :, ::-1].copy()))
    return Pair(Image.fromarray(rgb), labels=y * width + x, instances=1000 + y * width + x)


def coded_source(
    count: int = 5, height: int = HEIGHT, width: int = WIDTH, labels: bool = True
) -> PairSource:
    def pairs() -> Iterator[SourcePair]:
        for number in range(count):
            yield SourcePair(f"pair {number}", partial(coded, number, height, width, labels))

    return PairSource("coded", count, pairs, labels, labels)


def opened(path: Path, cache: bool = False, mirror: bool = False) -> PairedDataset:
    dataset = open_dataset(path, cache=cache, mirror=mirror)
    assert isinstance(dataset, PairedDataset)
    return dataset


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return build_pairs(coded_source(), tmp_path / "pairs.zip").dest


def check_coordinates(
    batch: object, items: list[Placed], count: int = 5, width: int = WIDTH
) -> None:
    """All planes of every sample agree on where their pixels come from."""
    images, _, labels, instances, sources = batch  # type: ignore[misc]
    for row, item in enumerate(items):
        height, across = images.shape[2:]
        y, x = np.mgrid[0:height, 0:across]
        x, y = x + item.left, y + item.top
        if item.sample >= count:
            x = x[:, ::-1]
        np.testing.assert_array_equal(images[row, 0], x)
        np.testing.assert_array_equal(images[row, 1], y)
        assert (images[row, 2] == item.sample % count).all()
        if labels is not None:
            np.testing.assert_array_equal(labels[row], y * width + x)
            np.testing.assert_array_equal(instances[row], 1000 + y * width + x)
        if sources is not None:
            np.testing.assert_array_equal(sources[row], images[row, ::-1])


@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("labels", [True, False])
def test_crops_and_flips_are_the_same_for_all_planes(
    tmp_path: Path, cache: bool, workers: int, labels: bool
) -> None:
    path = build_pairs(coded_source(labels=labels), tmp_path / "p.zip").dest
    dataset = opened(path, cache, mirror=True).framed(crop=(4, 3))
    random = np.random.RandomState(0)
    items = [Placed(i, random.randint(0, 3), random.randint(0, 6)) for i in (0, 7, 3, 9, 9, 2, 0)]
    with Loader(dataset.pairs, [items, items[::-1]], workers) as loader:
        for wanted, batch in zip((items, items[::-1]), loader):
            check_coordinates(batch, wanted)
            assert batch.images.shape == (7, 3, 4, 3)
    assert (batch.labelmaps is None) is not labels
    assert (batch.sources is None) is labels


def test_folders_of_an_unpacked_archive_are_the_same_dataset(archive: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tmp_path / "unpacked")
    folder, zipped = opened(tmp_path / "unpacked"), opened(archive)
    assert folder.fingerprint == zipped.fingerprint
    for left, right in zip(
        folder.pairs.load([Placed(1, 0, 0)]), zipped.pairs.load([Placed(1, 0, 0)])
    ):
        np.testing.assert_equal(left, right)


def test_loads_at_another_size_by_nearest_neighbours(archive: Path) -> None:
    dataset = opened(archive).framed(load_size=(HEIGHT * 2, WIDTH * 3))
    batch = dataset.pairs.load([Placed(2, 0, 0)])
    assert batch.labelmaps is not None
    assert batch.instances is not None
    expected = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).repeat(2, axis=0).repeat(3, axis=1)
    np.testing.assert_array_equal(batch.labelmaps[0], expected)
    np.testing.assert_array_equal(batch.instances[0], expected + 1000)
    small = opened(archive).framed(load_size=(4, 5)).pairs.load([Placed(2, 0, 0)])
    assert small.labelmaps is not None
    rows = np.floor((np.arange(4) + 0.5) * HEIGHT / 4).astype(int)  # centres of the new pixels
    columns = np.floor((np.arange(5) + 0.5) * WIDTH / 5).astype(int)
    np.testing.assert_array_equal(small.labelmaps[0], rows[:, None] * WIDTH + columns)


def test_is_a_dataset_of_its_images(archive: Path) -> None:
    dataset = opened(archive, mirror=True)
    assert dataset.image_shape == (3, HEIGHT, WIDTH)
    assert len(dataset) == 10
    assert dataset.originals == 5
    images, labels = dataset.load([3, 8])
    assert labels is None
    np.testing.assert_array_equal(images[0], images[1][:, :, ::-1])
    with Loader(dataset, [[3, 8]], workers=1) as loader:
        np.testing.assert_array_equal(next(loader)[0], images)
    part = dataset.take([4, 1])
    np.testing.assert_array_equal(part.load([1])[0], dataset.load([1])[0])
    assert part.pairs.load([Placed(0, 0, 0)]).images[0, 2, 0, 0] == 4
    middle = dataset.framed(crop=(2, 4)).load([0])[0]
    np.testing.assert_array_equal(middle[0, 0], np.tile(np.arange(2, 6), (2, 1)))
    np.testing.assert_array_equal(middle[0, 1], np.tile([[2], [3]], (1, 4)))


def test_fingerprint_covers_labels_and_frame(archive: Path, tmp_path: Path) -> None:
    dataset = opened(archive)

    def changed(number: int) -> Pair:
        pair = coded(number)
        assert pair.labels is not None
        pair.labels[0, 0] = 1
        return pair

    source = coded_source()
    other = PairSource(
        "coded", 5, lambda: (SourcePair(f"{i}", partial(changed, i)) for i in range(5)), True, True
    )
    assert build_pairs(source, tmp_path / "same.zip").pixels_sha256 == dataset.info["pixels_sha256"]
    assert opened(tmp_path / "same.zip").fingerprint == dataset.fingerprint
    build_pairs(other, tmp_path / "other.zip", label_count=48)
    prints = {dataset.fingerprint, opened(tmp_path / "other.zip").fingerprint}
    prints |= {dataset.framed(crop=(2, 2)).fingerprint, dataset.framed(mirror=True).fingerprint}
    assert len(prints) == 4


def test_built_datasets_leave_conditions_out(archive: Path, tmp_path: Path) -> None:
    assert build_dataset(archive, tmp_path / "plain.zip").count == 5


def test_illegal_ids_are_named_when_the_set_is_built(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as error:
        build_pairs(coded_source(), tmp_path / "p.zip", label_count=19)
    assert str(error.value) == "pair 0: has label 19 at pixel x=3, y=2; legal are 0 to 18"
    assert not list(tmp_path.iterdir())
    with pytest.raises(DataError, match="the classes are 0 to 19, it is 7"):
        build_pairs(coded_source(), tmp_path / "p.zip", label_count=20, dont_care=7)


@pytest.mark.parametrize("workers", [0, 1])
def test_illegal_ids_are_named_when_a_sample_is_read(
    archive: Path, tmp_path: Path, workers: int
) -> None:
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    file = folder / "label" / "00000" / "img00000003.png"
    ids = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    ids[4, 1] = 48
    file.write_bytes(encode_ids(ids))
    dataset = opened(folder)
    batches = [[Placed(2, 0, 0)], [Placed(3, 0, 0)]]
    with Loader(dataset.pairs, batches, workers) as loader:
        next(loader)
        with pytest.raises(ImageError) as error:
            next(loader)
    assert str(error.value) == f"{file}: has label 48 at pixel x=1, y=4; legal are 0 to 47"
    file.write_bytes(encode_ids(ids[1:]))
    with pytest.raises(ImageError, match="is 8x5, but the dataset's images are 8x6"):
        dataset.pairs.load(batches[1])
    file.unlink()
    with pytest.raises(ImageError, match=r"label/00000/img00000003.png: cannot be read"):
        dataset.pairs.load(batches[1])


def test_dont_care_becomes_the_last_class(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    ids = np.array([[0, 255, 3], [3, 2, 255]], dtype=np.uint8)
    folder = make_folder(
        {"label/a.png": ids, "image/a.jpg": encoded(random_pixels(0, 2, 3), "JPEG")}
    )
    build_pairs(open_pairs(folder), tmp_path / "p.zip", dont_care=255)
    dataset = opened(tmp_path / "p.zip")
    assert (dataset.label_count, dataset.dont_care) == (5, 4)
    labels = dataset.pairs.load([Placed(0, 0, 0)]).labelmaps
    np.testing.assert_array_equal(labels, [[[0, 4, 3], [3, 2, 4]]])
    with pytest.raises(ImageError, match=r"label 255 at pixel x=1, y=0; legal are 0 to 3"):
        build_pairs(open_pairs(folder), tmp_path / "q.zip", label_count=4)


def test_frames_that_do_not_fit_are_refused(archive: Path) -> None:
    dataset = opened(archive)
    with pytest.raises(
        DataError, match="9x6 does not fit into pairs of 8x6; legal are widths of 1"
    ):
        dataset.framed(crop=(6, 9))
    framed = dataset.framed(load_size=(7, 9), crop=(7, 9))
    with pytest.raises(IndexError, match=r"a crop of 9x7 at x=1, y=0 is outside the 9x7 sample"):
        framed.pairs.load([Placed(0, 0, 1)])
    with pytest.raises(IndexError, match=r"index 5 is outside the dataset's 0..4"):
        framed.pairs.load([Placed(5, 0, 0)])


def test_many_classes_take_sixteen_bits(tmp_path: Path) -> None:
    source = coded_source(count=2, height=20, width=30)
    assert build_pairs(source, tmp_path / "p.zip").condition == (
        "label maps of 600 classes with instances"
    )
    dataset = opened(tmp_path / "p.zip").framed(crop=(9, 11), mirror=True)
    items = [Placed(3, 10, 19), Placed(0, 11, 0)]
    batch = dataset.pairs.load(items)
    check_coordinates(batch, items, count=2, width=30)


@pytest.mark.parametrize("crop", ["none", "center", "stretch"])
def test_builds_resize_ids_to_their_nearest_neighbours(tmp_path: Path, crop: str) -> None:
    size = (4, 3) if crop == "none" else (3, 3)
    build_pairs(coded_source(count=1), tmp_path / "p.zip", size=size, crop=crop)
    labels = opened(tmp_path / "p.zip").pairs.load([Placed(0, 0, 0)]).labelmaps
    assert labels is not None
    left, wide = {"none": (0, 8), "center": (1, 6), "stretch": (0, 8)}[crop]
    rows = np.floor((np.arange(3) + 0.5) * HEIGHT / 3).astype(int)
    columns = left + np.floor((np.arange(size[0]) + 0.5) * wide / size[0]).astype(int)
    np.testing.assert_array_equal(labels[0], rows[:, None] * WIDTH + columns)


def test_members_of_one_size_only(tmp_path: Path) -> None:
    def odd(number: int) -> Pair:
        pair = coded(number)
        assert pair.labels is not None
        return Pair(pair.image, labels=pair.labels[:, :-1] if number else pair.labels)

    source = PairSource(
        "odd", 2, lambda: (SourcePair(f"{i}.png", partial(odd, i)) for i in range(2)), True
    )
    report = build_pairs(source, tmp_path / "p.zip")
    assert report.count == 1
    assert report.skipped == [
        ("1.png", "is 8x6, but its label map is 7x6; both must have one size")
    ]
    with pytest.raises(DataError, match="crop must be one of none, center, stretch for pairs"):
        build_pairs(source, tmp_path / "q.zip", crop="pad", size=9)


def test_damaged_descriptions_are_refused(archive: Path, tmp_path: Path) -> None:
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    file = folder / "dataset.json"
    good = json.loads(file.read_text())
    for changes, message in (
        ({"label_count": "many"}, "does not describe pairs; build it again"),
        ({"label_count": 0}, "has neither label maps nor source images; build it again"),
        ({"image_shape": [3, 6]}, "records no valid image_shape; build it again"),
        ({"count": 6}, "records 6 images but holds 5; build it again"),
        ({"version": 2}, "has format version 2, this pygan reads 1"),
    ):
        file.write_text(json.dumps({**good, **changes}))
        with pytest.raises(DataError, match=message):
            open_dataset(folder)
    (folder / "image" / "00000" / "img00000001.png").write_bytes(b"no image")
    file.write_text(json.dumps(good))
    with pytest.raises(ImageError, match=r"image/00000/img00000001.png: is not an image"):
        opened(folder).pairs.load([Placed(1, 0, 0)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_count": 0}, "label_count must be at least 1, not 0"),
        ({"label_count": 65537}, "label_count must be from 1 to 65536, not 65537"),
        ({"dont_care": -1}, "dont_care must be an id of at least 0, not -1"),
        ({"source_channels": 2}, "source_channels must be 1, 3 or 4, not 2"),
        ({"encoding": "jpg"}, "encoding must be one of png, webp, not 'jpg'"),
        ({"size": "0"}, "size must be N or WIDTHxHEIGHT"),
    ],
)
def test_illegal_options_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        build_pairs(coded_source(), tmp_path / "p.zip", **options)
    assert not list(tmp_path.iterdir())
    without = coded_source(labels=False)
    with pytest.raises(DataError, match="coded has no label maps: leave out label_count"):
        build_pairs(without, tmp_path / "p.zip", dont_care=255)


def test_sources_without_a_usable_pair_leave_nothing_behind(tmp_path: Path) -> None:
    def broken() -> Pair:
        raise ImageError("x.png", "is broken")

    source = PairSource("two", 2, lambda: (SourcePair("x.png", broken) for _ in range(2)), True)
    with pytest.raises(DataError, match=r"two has no usable pair; the first one, x.png: is broken"):
        build_pairs(source, tmp_path / "p.zip")
    with pytest.raises(ImageError, match="is broken"):
        build_pairs(source, tmp_path / "p.zip", on_error="fail")
    assert not list(tmp_path.iterdir())


def test_builds_stop_after_so_many(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    report = build_pairs(
        coded_source(),
        tmp_path / "p.zip",
        max_images=3,
        encoding="webp",
        progress=lambda done, total: seen.append((done, total)),
    )
    assert report.count == 3
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert "3 images of 8x6, 3 channels, label maps of 48 classes with instances," in str(report)
    check_coordinates(opened(tmp_path / "p.zip").pairs.load([Placed(2, 0, 0)]), [Placed(2, 0, 0)])
