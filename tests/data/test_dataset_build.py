"""Building archives: content, records, errors, atomicity."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_images import encoded, random_pixels

from pygan.data import BuildOptions, DataError, ImageError, build_dataset, open_dataset
from pygan.data.archive import PixelHash, atomic_file

MakeFolder = Callable[..., Path]


def record(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("dataset.json"))


def test_pixels_labels_and_record(photos: Path, tmp_path: Path) -> None:
    dest = tmp_path / "out" / "photos.zip"  # the folder is made
    report = build_dataset(photos, dest, labels="folders", background="#102030")
    assert (report.count, report.image_shape, report.num_classes) == (12, (3, 6, 8), 3)
    assert (report.skipped, report.upscaled) == ([], 0)
    assert report.bytes == dest.stat().st_size

    table = record(dest)
    labels = table.pop("labels")
    assert [label for _, label in labels] == [0] * 4 + [1] * 4 + [2] * 4
    assert labels[3][0] == "00000/img00000003.png"
    assert table == {
        "format": "pygan-images",
        "version": 1,
        "source": "folder photos",
        "image_shape": [3, 6, 8],
        "size": None,
        "channels": 3,
        "crop": "none",
        "filter": "lanczos",
        "background": "#102030",
        "encoding": "png",
        "classes": ["a", "b", "c"],
        "pixels_sha256": report.pixels_sha256,
        "count": 12,
    }
    with zipfile.ZipFile(dest) as archive:
        for info in archive.infolist():
            if info.filename.endswith(".png"):
                assert info.compress_type == zipfile.ZIP_STORED
    pixels, _ = open_dataset(dest).load(range(12))
    order = [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]
    expected = np.stack([random_pixels(i, 6, 8).transpose(2, 0, 1) for i in order])
    np.testing.assert_array_equal(pixels, expected)


def test_options_are_recorded(photos: Path, tmp_path: Path) -> None:
    dest = tmp_path / "d.zip"
    options = BuildOptions(size="4", crop="center", filter="box", channels=1, encoding="webp")
    report = build_dataset(photos, dest, options)
    table = record(dest)
    assert table["size"] == [4, 4]
    assert (table["crop"], table["filter"], table["channels"]) == ("center", "box", 1)
    assert table["encoding"] == "webp"
    assert table["labels"] is None
    assert table["classes"] is None
    dataset = open_dataset(dest)
    assert dataset.image_shape == report.image_shape == (1, 4, 4)
    first = Image.fromarray(random_pixels(0, 6, 8)).convert("L").crop((1, 0, 7, 6))
    expected = np.asarray(first.resize((4, 4), Image.Resampling.BOX))
    np.testing.assert_array_equal(dataset.load([0])[0][0, 0], expected)


def test_equal_input_makes_equal_files(photos: Path, tmp_path: Path) -> None:
    one = build_dataset(photos, tmp_path / "1.zip", workers=1)
    two = build_dataset(photos, tmp_path / "2.zip", workers=4)
    assert one.dest.read_bytes() == two.dest.read_bytes()
    assert one.pixels_sha256 == two.pixels_sha256
    webp = build_dataset(photos, tmp_path / "3.zip", encoding="webp")
    assert webp.pixels_sha256 == one.pixels_sha256
    other = build_dataset(photos, tmp_path / "4.zip", labels="folders")
    assert other.pixels_sha256 != one.pixels_sha256


def test_pixel_hash_depends_on_everything() -> None:
    def value(shape: tuple[int, int, int], images: list[tuple[bytes, int | None]]) -> str:
        running = PixelHash()
        for pixels, label in images:
            running.add(running.digest(pixels), label)
        return running.hexdigest(shape)

    values = {
        value((1, 2, 1), [(b"ab", 0), (b"cd", 1)]),
        value((1, 1, 2), [(b"ab", 0), (b"cd", 1)]),
        value((1, 2, 1), [(b"cd", 0), (b"ab", 1)]),
        value((1, 2, 1), [(b"ab", 0), (b"cd", 2)]),
        value((1, 2, 1), [(b"ab", None), (b"cd", None)]),
        value((1, 2, 1), [(b"ab", 0)]),
    }
    assert len(values) == 6


@pytest.fixture
def mixed(make_folder: MakeFolder) -> Path:
    good = encoded(random_pixels(1, 8, 8))
    return make_folder(
        {
            "0-good.png": good,
            "1-truncated.png": good[:60],
            "2-text.jpg": b"this is no image",
            "3-small.png": random_pixels(2, 4, 4),
            "4-float.tif": encoded(np.ones((8, 8), np.float32), "TIFF"),
            "5-good.png": random_pixels(3, 8, 8),
        }
    )


def test_unusable_images_are_skipped_and_reported(mixed: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    report = build_dataset(mixed, tmp_path / "d.zip", progress=lambda *a: calls.append(a))
    assert report.count == 2
    skipped = {Path(name).name: reason for name, reason in report.skipped}
    assert list(skipped) == ["1-truncated.png", "2-text.jpg", "3-small.png", "4-float.tif"]
    assert "is 4x4, but the first image is 8x8; give a size" in skipped["3-small.png"]
    assert "floating-point" in skipped["4-float.tif"]
    assert calls == [(i, 6) for i in range(1, 7)]
    assert "images skipped: 4" in str(report)
    assert str(mixed / "2-text.jpg") in str(report)

    report = build_dataset(mixed, tmp_path / "e.zip", size=8)
    assert (report.count, report.upscaled, len(report.skipped)) == (3, 1, 3)
    assert "images smaller than 8x8, enlarged: 1" in str(report)


def test_fail_stops_at_the_first_unusable_image(mixed: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"1-truncated\.png: cannot be decoded"):
        build_dataset(mixed, tmp_path / "out" / "d.zip", on_error="fail")
    assert list((tmp_path / "out").iterdir()) == []


def test_no_usable_image(make_folder: MakeFolder, tmp_path: Path) -> None:
    folder = make_folder({"a.png": b"x", "b.png": b"y"})
    with pytest.raises(DataError, match=r"has no usable image; the first one, .*a\.png"):
        build_dataset(folder, tmp_path / "d.zip")
    assert not (tmp_path / "d.zip").exists()


def test_max_images(mixed: Path, photos: Path, tmp_path: Path) -> None:
    assert build_dataset(photos, tmp_path / "a.zip", max_images=5).count == 5
    assert build_dataset(photos, tmp_path / "b.zip", max_images=50).count == 12
    report = build_dataset(mixed, tmp_path / "c.zip", max_images=2)
    assert (report.count, len(report.skipped)) == (2, 4)  # unusable images do not count


def test_transparent_grey_and_odd_modes(make_folder: MakeFolder, tmp_path: Path) -> None:
    rgba = random_pixels(0, 4, 4, 4)
    rgba[..., 3] = 0
    folder = make_folder(
        {
            "a.png": rgba,
            "b.png": random_pixels(1, 4, 4, 1),
            "c.png": np.full((4, 4), 65535, np.uint16),
        }
    )
    build_dataset(folder, tmp_path / "rgb.zip", background="black")
    pixels, _ = open_dataset(tmp_path / "rgb.zip").load([0, 1, 2])
    assert not pixels[0].any()
    np.testing.assert_array_equal(pixels[1], np.stack([random_pixels(1, 4, 4, 1)] * 3))
    assert (pixels[2] == 255).all()
    build_dataset(folder, tmp_path / "rgba.zip", channels=4)
    pixels, _ = open_dataset(tmp_path / "rgba.zip").load([0, 1])
    np.testing.assert_array_equal(pixels[0], rgba.transpose(2, 0, 1))
    assert (pixels[1, 3] == 255).all()


def test_rebuilding_a_dataset_keeps_labels_and_classes(photos: Path, tmp_path: Path) -> None:
    build_dataset(photos, tmp_path / "a.zip", labels="folders")
    report = build_dataset(tmp_path / "a.zip", tmp_path / "b.zip", size="4x3")
    dataset = open_dataset(tmp_path / "b.zip")
    assert report.num_classes == 3
    assert dataset.classes == ["a", "b", "c"]
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_existing_files_are_kept(photos: Path, tmp_path: Path) -> None:
    dest = tmp_path / "d.zip"
    dest.write_bytes(b"precious")
    with pytest.raises(FileExistsError, match="exists; choose another name or ask to overwrite"):
        build_dataset(photos, dest)
    assert dest.read_bytes() == b"precious"
    (photos / "a" / "00.png").write_bytes(b"broken")
    with pytest.raises(ImageError):
        build_dataset(photos, dest, overwrite=True, on_error="fail")
    assert dest.read_bytes() == b"precious"
    assert build_dataset(photos, dest, overwrite=True).count == 11
    assert zipfile.is_zipfile(dest)
    (tmp_path / "folder.zip").mkdir()
    with pytest.raises(FileExistsError, match="is a folder"):
        build_dataset(photos, tmp_path / "folder.zip", overwrite=True)


def test_atomic_file_loses_a_race_politely(tmp_path: Path) -> None:
    dest = tmp_path / "d.zip"

    def race() -> None:
        with atomic_file(dest) as file:
            file.write(b"ours")
            dest.write_bytes(b"theirs")

    with pytest.raises(FileExistsError):
        race()
    assert dest.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [dest]


_KILLED = """
import os, signal, sys
from pygan.data import build_dataset
def progress(done, total):
    if done == 6:
        os.kill(os.getpid(), getattr(signal, sys.argv[3]))
build_dataset(sys.argv[1], sys.argv[2], progress=progress)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_killed_build_leaves_nothing(photos: Path, tmp_path: Path, name: str) -> None:
    dest = tmp_path / "out" / "d.zip"
    root = Path(__file__).resolve().parents[2]
    process = subprocess.run(
        [sys.executable, "-c", _KILLED, str(photos), str(dest), name],
        cwd=root,
        stderr=subprocess.DEVNULL,
        timeout=60,
    )
    assert process.returncode == -getattr(signal, name)
    assert not dest.exists()
    if name == "SIGINT":  # an orderly end cleans up as well
        assert list(dest.parent.iterdir()) == []
    # What is left does not stop the next attempt, which succeeds.
    assert build_dataset(photos, dest).count == 12
    assert len(open_dataset(dest)) == 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "big"}, "size must be"),
        ({"crop": "middle"}, "crop must be one of"),
        ({"crop": "fit"}, "crop='fit' needs a size"),
        ({"filter": "area"}, "filter must be one of"),
        ({"channels": 2}, "channels must be 1, 3 or 4"),
        ({"background": "paper"}, "is not a colour"),
        ({"labels": "guess"}, "labels must be one of"),
        ({"split": "valid"}, "split must be one of"),
        ({"max_images": 0}, "max_images must be at least 1"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"on_error": "ignore"}, "on_error must be one of skip, fail"),
        ({"encoding": "jpeg"}, "encoding must be one of"),
    ],
)
def test_illegal_options(
    photos: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        build_dataset(photos, tmp_path / "d.zip", **options)
    assert not (tmp_path / "d.zip").exists()


def test_illegal_calls(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="unknown build option sise"):
        build_dataset(photos, tmp_path / "d.zip", sise=4)
    with pytest.raises(TypeError, match="not both"):
        build_dataset(photos, tmp_path / "d.zip", BuildOptions(), size=4)
    with pytest.raises(DataError, match=r"must be a \.zip file"):
        build_dataset(photos, tmp_path / "d")
