"""Pairs in files: layouts that are recognised, formats of ids, errors."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_images import encoded, random_pixels

from pygan.cli import main
from pygan.data import DataError, ImageError, PairedDataset, Placed, open_dataset, open_pairs
from pygan.data.idmaps import compact_instances, encode_ids, label_colours, read_ids
from pygan.data.pair_source import Pair

MakeFolder = Callable[..., Path]
IDS = np.array([[0, 1, 2], [3, 1, 0]], dtype=np.uint8)


def first(path: Path, **options: str) -> Pair:
    return next(iter(open_pairs(path, **options).pairs())).open()  # type: ignore[arg-type]


def png(depth: int, rows: list[bytes], width: int, colour_type: int = 0) -> bytes:
    """A PNG written by hand, for depths that Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def test_side_by_side(make_folder: MakeFolder) -> None:
    pixels = random_pixels(0, 4, 10)
    folder = make_folder({"train/x.png": pixels, "val/y.png": pixels[::-1].copy(), "odd.png": IDS})
    pair = first(folder)
    assert pair.source is not None
    np.testing.assert_array_equal(np.asarray(pair.source), pixels[:, :5])
    np.testing.assert_array_equal(np.asarray(pair.image), pixels[:, 5:])
    back = first(folder, direction="BtoA", split="val")
    assert back.source is not None
    np.testing.assert_array_equal(np.asarray(back.source), pixels[::-1, 5:])
    np.testing.assert_array_equal(np.asarray(back.image), pixels[::-1, :5])
    with pytest.raises(DataError, match="has no folder test/ with images"):
        open_pairs(folder, split="test")
    with pytest.raises(
        ImageError, match=r"is 3x2; A\|B side by side needs an even width, such as 2"
    ):
        first(make_folder({"a.png": IDS}, "single"))


@pytest.mark.parametrize(
    ("label", "instance", "image"),
    [
        ("label/{}.png", "instance/{}.png", "image/{}.png"),
        ("train_label/{}.png", "train_inst/{}.png", "train_img/{}.jpg"),
        ("labels/d/{}.png", "inst/d/{}.png", "images/d/{}.webp"),
        (
            "gtFine/train/ulm/{}_gtFine_labelIds.png",
            "gtFine/train/ulm/{}_gtFine_instanceIds.png",
            "leftImg8bit/train/ulm/{}_leftImg8bit.png",
        ),
        (
            "train_label/{}_gtFine_labelIds.png",
            "train_inst/{}_gtFine_instanceIds.png",
            "train_img/{}_leftImg8bit.png",
        ),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_folders(
    make_folder: MakeFolder, tmp_path: Path, label: str, instance: str, image: str, packed: bool
) -> None:
    files: dict[str, np.ndarray | bytes] = {}
    for name in ("a", "b"):
        kind = {"jpg": "JPEG", "png": "PNG"}.get(image[-3:], "WEBP")
        files[image.format(name)] = encoded(random_pixels(0, 2, 3), kind)
        files[label.format(name)] = IDS
        files[instance.format(name)] = encode_ids(IDS.astype(np.int64) * 1000)
        files[f"gtFine/train/ulm/{name}_gtFine_color.png"] = random_pixels(1, 2, 3)
    path = make_folder(files)
    if packed:
        with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
            for file in path.rglob("*.*"):
                archive.write(file, file.relative_to(path))
        path = tmp_path / "packed.zip"
    source = open_pairs(path)
    assert (source.count, source.has_labels, source.has_instances) == (2, True, True)
    pairs = [item.open() for item in source.pairs()]
    for pair in pairs:
        np.testing.assert_array_equal(pair.labels, IDS)
        np.testing.assert_array_equal(pair.instances, IDS.astype(np.int64) * 1000)
        assert pair.image.size == (3, 2)


def test_folders_of_two_domains(make_folder: MakeFolder) -> None:
    one, two = random_pixels(0, 3, 3), random_pixels(1, 3, 3)
    folder = make_folder({"train_A/x.png": one, "train_B/x.png": two})
    for direction, source, image in (("AtoB", one, two), ("BtoA", two, one)):
        pair = first(folder, direction=direction)
        assert pair.source is not None
        np.testing.assert_array_equal(np.asarray(pair.source), source)
        np.testing.assert_array_equal(np.asarray(pair.image), image)
    named = first(folder, image_dir="train_A", source_dir="train_B/")
    np.testing.assert_array_equal(np.asarray(named.image), one)


def test_named_folders_and_those_that_lack_something(make_folder: MakeFolder) -> None:
    folder = make_folder({"x/a.png": random_pixels(0, 2, 3), "y/a.png": IDS, "y/b.png": IDS})
    with pytest.raises(DataError, match=r"y/b.png has no counterpart in x/ \(one of 1"):
        open_pairs(folder, image_dir="x", label_dir="y")
    (folder / "y" / "b.png").unlink()
    assert open_pairs(folder, image_dir="x", label_dir="y").has_instances is False
    with pytest.raises(DataError, match="no folder of label maps or source images"):
        open_pairs(folder, image_dir="x")
    with pytest.raises(DataError, match="no folder of images"):
        open_pairs(folder, label_dir="y")
    with pytest.raises(DataError, match="has no images in a folder z"):
        open_pairs(folder, label_dir="z")
    (folder / "x" / "a.bmp").write_bytes(encoded(IDS, "BMP"))
    with pytest.raises(DataError, match="have the same name; remove one"):
        open_pairs(folder, image_dir="x", label_dir="y")
    with pytest.raises(DataError, match="direction must be AtoB or BtoA, not 'up'"):
        open_pairs(folder, direction="up")
    with pytest.raises(DataError, match="contains no images"):
        open_pairs(make_folder({"a.txt": b""}, "empty"))
    with pytest.raises(DataError, match="expected a folder or a zip"):
        open_pairs(folder / "x" / "a.png")
    with pytest.raises(FileNotFoundError):
        open_pairs(folder / "nowhere")


def test_ids_are_indices_of_palettes_and_of_any_depth() -> None:
    palette = Image.fromarray(IDS)
    palette = palette.convert("P")
    palette.putpalette([255, 0, 0] * 256)
    buffer = io.BytesIO()
    palette.save(buffer, "PNG")
    np.testing.assert_array_equal(read_ids(buffer.getvalue(), "p"), IDS)
    sixteen = np.array([[0, 256], [26001, 65535]])
    np.testing.assert_array_equal(read_ids(encode_ids(sixteen), "s"), sixteen)
    assert len(encode_ids(np.full((64, 64), 255))) < len(encode_ids(np.full((64, 64), 256)))
    assert read_ids(png(4, [b"\x01\xf2"], 4), "4").tolist() == [[0, 1, 15, 2]]
    assert read_ids(png(2, [b"\x1b"], 4), "2").tolist() == [[0, 1, 2, 3]]
    assert read_ids(png(1, [b"\xa0"], 4), "1").tolist() == [[1, 0, 1, 0]]
    rgb = np.array([[[1, 2, 3], [255, 0, 0]]], dtype=np.uint8)
    assert read_ids(encoded(rgb), "rgb", colours=True).tolist() == [[1 + 512 + 3 * 65536, 255]]


def test_ids_in_unsuitable_files_are_refused() -> None:
    with pytest.raises(ImageError, match=r"^x.jpg: is JPEG, which may change ids; use PNG"):
        read_ids(encoded(IDS, "JPEG"), "x.jpg")
    with pytest.raises(ImageError, match="has mode RGB, but ids need one channel"):
        read_ids(encoded(random_pixels(0, 2, 2)), "x")
    with pytest.raises(ImageError, match="cannot be decoded"):
        read_ids(encoded(random_pixels(0, 64, 64, 1))[:-200], "x")
    with pytest.raises(ImageError, match="not an image"):
        read_ids(b"nothing", "x")


def test_large_instance_ids_are_numbered() -> None:
    kept = np.array([[65535, 7], [7, 0]])
    np.testing.assert_array_equal(compact_instances(kept), kept)
    ids = np.array([[70000, 7], [7, 1 << 23]])
    np.testing.assert_array_equal(compact_instances(ids), [[1, 0], [0, 2]])


def test_colours_tell_classes_apart() -> None:
    assert len({tuple(colour) for colour in label_colours(184).tolist()}) == 184


def test_commands_make_pairs(
    make_folder: MakeFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_folder({"label/a.png": IDS, "image/a.png": random_pixels(0, 2, 3)})
    dest = tmp_path / "pairs.zip"
    words = ["data", "pairs", str(folder), str(dest), "--label-count", "7", "--size", "6x4"]
    assert main([*words, "--dont-care", "255"]) == 0
    assert "1 images of 6x4, 3 channels, label maps of 8 classes" in capsys.readouterr().out
    dataset = open_dataset(dest)
    assert isinstance(dataset, PairedDataset)
    labels = dataset.pairs.load([Placed(0, 0, 0)]).labelmaps
    np.testing.assert_array_equal(labels, [IDS.repeat(2, axis=0).repeat(2, axis=1)])
    assert main(["data", "scenes", str(tmp_path / "s.zip"), "--count", "2", "--size", "16x12"]) == 0
    assert "2 images of 16x12, 3 channels, label maps of 10 classes with" in capsys.readouterr().out
    assert main(["data", "pairs", str(folder), str(dest)]) == 2
    assert "exists" in capsys.readouterr().err
