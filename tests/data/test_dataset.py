"""Opening datasets: kinds, mirroring, cache, fingerprint, errors."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_images import encoded, random_pixels

from pygan.data import DataError, ImageError, build_dataset, open_dataset
from pygan.data.archive import PixelHash
from pygan.data.emoji import emoji_classes

MakeFolder = Callable[..., Path]


def zipped(folder: Path, dest: Path) -> Path:
    with zipfile.ZipFile(dest, "w", zipfile.ZIP_DEFLATED) as file:
        for path in folder.rglob("*.*"):
            file.write(path, path.relative_to(folder).as_posix())
    return dest


def labelled(folder: Path) -> Path:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    table = {"labels": [[name, i % 4] for i, name in enumerate(names)]}
    (folder / "dataset.json").write_text(json.dumps(table))
    return folder


@pytest.mark.parametrize("kind", ["folder", "zip", "built"])
@pytest.mark.parametrize("cache", [True, False])
def test_load(photos: Path, tmp_path: Path, kind: str, cache: bool) -> None:
    path = labelled(photos)
    if kind == "zip":
        path = zipped(photos, tmp_path / "p.zip")
    elif kind == "built":
        path = build_dataset(photos, tmp_path / "p.zip").dest
    dataset = open_dataset(path, cache=cache)
    assert (len(dataset), dataset.image_shape, dataset.num_classes) == (12, (3, 6, 8), 4)
    assert dataset.cached is cache
    order = [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]
    for _ in range(2):
        images, labels = dataset.load([5, 0, 5])
        assert images.dtype == np.uint8
        assert labels is not None
        assert labels.dtype == np.int64
        assert labels.tolist() == [1, 0, 1]
        for image, index in zip(images, (5, 0, 5)):
            expected = random_pixels(order[index], 6, 8).transpose(2, 0, 1)
            np.testing.assert_array_equal(image, expected)
    images[:] = 0  # the caller's copy, not the cache
    assert dataset.load([0])[0].any()
    empty, labels = dataset.load([])
    assert empty.shape == (0, 3, 6, 8)
    assert labels is not None
    assert labels.shape == (0,)


def test_unlabelled(photos: Path) -> None:
    dataset = open_dataset(photos)
    assert (dataset.num_classes, dataset.labels, dataset.classes) == (0, None, None)
    assert dataset.load([0])[1] is None


@pytest.mark.parametrize("cache", [True, False])
def test_mirror_doubles(photos: Path, cache: bool) -> None:
    plain = open_dataset(labelled(photos))
    both = open_dataset(photos, mirror=True, cache=cache)
    assert len(both) == 2 * len(plain) == 24
    images, labels = plain.load(range(12))
    flipped, flipped_labels = both.load(range(12, 24))
    np.testing.assert_array_equal(flipped, images[..., ::-1])
    np.testing.assert_array_equal(both.load(range(12))[0], images)
    assert labels is not None
    assert flipped_labels is not None
    np.testing.assert_array_equal(labels, flipped_labels)
    assert both.num_classes == plain.num_classes


@pytest.mark.parametrize("index", [-1, 12, 1 << 40])
def test_index_out_of_range(photos: Path, index: int) -> None:
    with pytest.raises(IndexError, match=r"is outside the dataset's 0\.\.11"):
        open_dataset(photos).load([0, index])


def test_cache_limit(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_dataset(photos).cached
    monkeypatch.setattr("pygan.data.dataset.CACHE_BYTES", 12 * 3 * 6 * 8 - 1)
    assert not open_dataset(photos).cached
    assert open_dataset(photos, cache=True).cached
    with pytest.raises(DataError, match="cache must be True, False or 'auto'"):
        open_dataset(photos, cache="yes")


def test_fingerprint_follows_content(photos: Path, tmp_path: Path) -> None:
    first = open_dataset(photos).fingerprint
    assert open_dataset(photos).fingerprint == first
    assert open_dataset(zipped(photos, tmp_path / "p.zip")).fingerprint == first
    assert open_dataset(photos, mirror=True).fingerprint != first
    built = {
        open_dataset(build_dataset(photos, tmp_path / f"{i}.zip", **options).dest).fingerprint
        for i, options in enumerate(
            [{}, {"labels": "folders"}, {"size": (4, 3)}, {"size": (4, 3), "filter": "box"}]
        )
    }
    assert len(built) == 4
    again = build_dataset(photos, tmp_path / "again.zip").dest
    assert open_dataset(again).fingerprint in built

    seen = {first}
    (photos / "a" / "00.png").write_bytes(encoded(random_pixels(99, 6, 8)))
    seen.add(open_dataset(photos).fingerprint)
    (photos / "a" / "00.png").rename(photos / "a" / "01.png")
    seen.add(open_dataset(photos).fingerprint)
    labelled(photos)
    seen.add(open_dataset(photos).fingerprint)
    (photos / "b" / "01.png").unlink()
    labelled(photos)
    seen.add(open_dataset(photos).fingerprint)
    assert len(seen) == 5


def test_mismatch_names_the_file_and_the_remedy(make_folder: MakeFolder) -> None:
    folder = make_folder(
        {f"{i}.png": random_pixels(i, 6, 8) for i in range(3)} | {"3.png": random_pixels(0, 5, 8)}
    )
    with pytest.raises(DataError) as caught:
        open_dataset(folder)
    message = str(caught.value)
    assert f"{folder / '3.png'} is 8x5 RGB, but the first image, 0.png, is 8x6 RGB" in message
    assert f"pygan data build {folder} images-8x6.zip --size 8x6 --crop center" in message
    (folder / "3.png").write_bytes(encoded(random_pixels(0, 6, 8, 1)))
    with pytest.raises(DataError, match="is 8x6 grey, but the first image"):
        open_dataset(folder)
    (folder / "3.png").write_bytes(b"")
    with pytest.raises(ImageError, match=r"3\.png: is not an image"):
        open_dataset(folder)


def test_file_that_breaks_later_is_named(photos: Path, tmp_path: Path) -> None:
    dataset = open_dataset(photos, cache=False)
    (photos / "a" / "03.png").write_bytes(encoded(random_pixels(0, 7, 8)))
    with pytest.raises(ImageError, match=r"03\.png: is 8x7, but the dataset's images are 8x6"):
        dataset.load([0, 1])
    (photos / "a" / "03.png").unlink()
    with pytest.raises(ImageError, match=r"03\.png: cannot be read"):
        dataset.load([0, 1])

    archive = build_dataset(photos, tmp_path / "d.zip").dest
    data = bytearray(archive.read_bytes())
    data[200] ^= 255  # within the first image
    archive.write_bytes(data)
    with pytest.raises(ImageError, match=r"d\.zip:00000/img00000000\.png: cannot be read .*CRC"):
        open_dataset(archive).load([0])


def test_not_found_lists_what_there_is(photos: Path, tmp_path: Path) -> None:
    build_dataset(photos, tmp_path / "photos64.zip")
    with pytest.raises(FileNotFoundError) as caught:
        open_dataset(tmp_path / "photo")
    assert "embedded dataset (emoji)" in str(caught.value)
    assert "photos/, photos64.zip" in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"the folder .* does not exist"):
        open_dataset(tmp_path / "no" / "where.zip")


def test_not_a_dataset(tmp_path: Path, photos: Path) -> None:
    text = tmp_path / "train-images-idx3-ubyte.gz"
    text.write_bytes(b"x")
    with pytest.raises(DataError, match=r"pygan data build .*idx3-ubyte\.gz DATASET\.zip"):
        open_dataset(text)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="contains no images"):
        open_dataset(tmp_path / "empty")


def test_inconsistent_archives_are_refused(photos: Path, tmp_path: Path) -> None:
    build_dataset(photos, tmp_path / "d.zip", labels="folders")
    with zipfile.ZipFile(tmp_path / "d.zip") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}

    def altered(**changes: object) -> Path:
        table = {**json.loads(members["dataset.json"]), **changes}
        dest = tmp_path / "altered.zip"
        with zipfile.ZipFile(dest, "w") as archive:
            for name, data in members.items():
                content = json.dumps(table) if name == "dataset.json" else data
                archive.writestr(name, content)
        return dest

    assert len(open_dataset(altered())) == 12
    for changes, message in (
        ({"version": 2}, "has format version 2, this pygan reads 1"),
        ({"count": 11}, "records 11 images but holds 12"),
        ({"image_shape": [3, 6]}, "records no valid image_shape"),
        ({"classes": ["a", "b"]}, "has label 2, which its class names do not cover"),
    ):
        with pytest.raises(DataError, match=message):
            open_dataset(altered(**changes))
    with pytest.raises(ImageError, match="is 8x6, but the dataset's images are 9x6"):
        open_dataset(altered(image_shape=[3, 6, 9])).load([0])


def test_pickles_and_describes_itself(photos: Path, tmp_path: Path) -> None:
    dataset = open_dataset(build_dataset(photos, tmp_path / "d.zip").dest)
    copy = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(copy.load([3])[0], dataset.load([3])[0])
    assert "12 x [3, 6, 8]" in repr(dataset)
    assert dataset.info["filter"] == "lanczos"
    assert dataset.info["path"] == str(tmp_path / "d.zip")
    assert dataset.name(2).endswith("d.zip:00000/img00000002.png")


def test_embedded_emoji() -> None:
    dataset = open_dataset("emoji")
    assert len(dataset) == 1861
    assert dataset.image_shape == (3, 64, 64)
    assert dataset.classes == list(emoji_classes())
    assert dataset.num_classes == 9
    images, labels = dataset.load(range(len(dataset)))
    assert labels is not None
    counts = np.bincount(labels)
    assert counts.tolist() == [len(codes) for codes in emoji_classes().values()]
    assert counts.tolist() == [166, 362, 152, 133, 218, 85, 261, 223, 261]
    running = PixelHash()
    for image, label in zip(images, labels):
        running.add(running.digest(image.tobytes()), int(label))
    assert running.hexdigest(dataset.image_shape) == dataset.info["pixels_sha256"]
    assert len({image.tobytes() for image in images}) == len(images)
    # On white: the corners are white in nearly every picture, and no picture is blank.
    corners = images[:, :, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners == 255).mean() > 0.9
    assert images.reshape(len(images), -1).std(1).min() > 1


def test_importing_needs_no_paddle() -> None:
    code = "import pygan.data, sys; print(sorted({'paddle', 'fontTools'} & set(sys.modules)))"
    root = Path(__file__).resolve().parents[2]
    output = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, check=True)
    assert output.stdout.strip() == b"[]"
