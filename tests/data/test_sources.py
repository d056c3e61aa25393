"""Every kind of source, and labels."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tiny_images import encoded, random_pixels

from pygan.data.cifar import restricted_load
from pygan.data.errors import DataError
from pygan.data.sources import open_source


def contents(path: Path, **options: str) -> tuple[list[np.ndarray], list[int | None]]:
    images = list(open_source(path, **options).images())
    return [np.asarray(image.open()) for image in images], [image.label for image in images]


# Folders and zips


def test_folder_is_recursive_and_sorted(photos: Path) -> None:
    (photos / "a" / "notes.txt").write_text("no image")
    (photos / ".hidden").mkdir()
    (photos / ".hidden" / "x.png").write_bytes(b"")
    source = open_source(photos)
    names = [image.name for image in source.images()]
    order = [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]
    assert names == [str(photos / "abc"[i % 3] / f"{i:02d}.png") for i in order]
    assert source.count == 12
    pixels, labels = contents(photos)
    assert labels == [None] * 12
    for index, array in zip(order, pixels):
        np.testing.assert_array_equal(array, random_pixels(index, 6, 8))


def test_folders_as_classes(photos: Path) -> None:
    assert open_source(photos, "folders").classes == ["a", "b", "c"]
    assert contents(photos, labels="folders")[1] == [0] * 4 + [1] * 4 + [2] * 4
    (photos / "stray.png").write_bytes(encoded(random_pixels(0, 6, 8)))
    with pytest.raises(DataError, match=r"stray\.png lies in no sub-folder"):
        open_source(photos, "folders")


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs symbolic links")
def test_links_are_followed_once(photos: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "photos").symlink_to(photos)
    (photos / "a" / "up").symlink_to(photos)  # a cycle
    assert open_source(linked).count == 12


def test_zip_equals_folder(photos: Path, tmp_path: Path) -> None:
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(photos.rglob("*.png"), reverse=True):
            file.write(path, path.relative_to(photos).as_posix())
        file.writestr("__MACOSX/a/._00.png", b"resource fork")
    for ours, theirs in zip(
        contents(archive, labels="folders"), contents(photos, labels="folders")
    ):
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs))
        assert len(ours) == len(theirs) == 12


def test_dataset_json_labels(photos: Path) -> None:
    names = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.png"))
    table = {"labels": [[name, i % 5] for i, name in enumerate(names)]}
    file = photos / "dataset.json"
    file.write_text(json.dumps(table))
    assert contents(photos)[1] == [i % 5 for i in range(12)]
    assert contents(photos, labels="none")[1] == [None] * 12
    file.write_text(json.dumps({"labels": None}))
    assert contents(photos)[1] == [None] * 12
    file.write_text(json.dumps({"labels": table["labels"][:-1]}))
    with pytest.raises(DataError, match=r"dataset\.json has no label for c/11\.png"):
        open_source(photos)
    for wrong in (-1, 1.5, [0, 1], "cat", True):
        file.write_text(json.dumps({"labels": [[names[0], wrong]]}))
        with pytest.raises(DataError, match="labels must be integers from 0"):
            open_source(photos)
    for wrong_text in ("{", "[]", '{"labels": [1]}'):
        file.write_text(wrong_text)
        with pytest.raises(DataError, match="is not of the form"):
            open_source(photos)


def test_not_a_source(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file or folder"):
        open_source(tmp_path / "missing")
    with pytest.raises(DataError, match="contains no images"):
        open_source(tmp_path)
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    with pytest.raises(DataError, match="is not a source of images"):
        open_source(text)
    with pytest.raises(DataError, match="labels must be one of"):
        open_source(tmp_path, "guess")
    with pytest.raises(DataError, match="split must be one of"):
        open_source(tmp_path, split="valid")
    with pytest.raises(DataError, match="has no 'test' split"):
        open_source(tmp_path, split="test")


# idx


def idx(array: np.ndarray) -> bytes:
    head = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.tobytes()


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    folder = tmp_path / "mnist"
    folder.mkdir()
    for prefix, seed, count in (("train", 0, 7), ("t10k", 1, 3)):
        pixels = random_pixels(seed, count, 35, 1).reshape(count, 7, 5)
        labels = (np.arange(count) % 4).astype(np.uint8)
        file = folder / f"{prefix}-images-idx3-ubyte.gz"
        file.write_bytes(gzip.compress(idx(pixels)))
        # One of the two label files is left uncompressed.
        data = idx(labels)
        name = f"{prefix}-labels-idx1-ubyte"
        if prefix == "train":
            (folder / name).write_bytes(data)
        else:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data))
    return folder


def test_idx_folder_and_file(mnist: Path) -> None:
    for path, split, seed, count in (
        (mnist, "train", 0, 7),
        (mnist, "test", 1, 3),
        (mnist / "t10k-images-idx3-ubyte.gz", "train", 1, 3),
    ):
        source = open_source(path, split=split)
        assert (source.count, source.channels) == (count, 1)
        pixels, labels = contents(path, split=split)
        expected = random_pixels(seed, count, 35, 1).reshape(count, 7, 5)
        np.testing.assert_array_equal(np.stack(pixels), expected)
        assert labels == [i % 4 for i in range(count)]
    assert contents(mnist, labels="none")[1] == [None] * 7
    with pytest.raises(DataError, match="labels='folders' needs a folder"):
        open_source(mnist, "folders")


def test_damaged_idx(mnist: Path) -> None:
    images = mnist / "train-images-idx3-ubyte.gz"
    good = gzip.decompress(images.read_bytes())
    images.write_bytes(gzip.compress(good[:-1]))
    with pytest.raises(DataError, match="truncated or damaged"):
        open_source(mnist)
    images.write_bytes(gzip.compress(good)[:-12])
    with pytest.raises(DataError, match="cannot be read"):
        open_source(mnist)
    images.write_bytes(idx(np.zeros((2, 2), np.uint8)))
    with pytest.raises(DataError, match="is not an idx file"):
        open_source(mnist)
    images.write_bytes(bytes((0, 0, 8, 3)) + struct.pack(">3I", 1 << 31, 1 << 31, 1 << 31))
    with pytest.raises(DataError, match="claims to hold"):
        open_source(mnist)
    images.write_bytes(good)
    (mnist / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(6, np.uint8)))
    with pytest.raises(DataError, match="has 6 labels for the 7 images"):
        open_source(mnist)


# CIFAR


def cifar_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def cifar_batch(seed: int, count: int, key: bytes = b"labels") -> bytes:
    data = random_pixels(seed, count, 3072, 1)
    return pickle.dumps({b"data": data, key: [(seed + i) % 3 for i in range(count)]}, protocol=3)


def test_cifar_10(tmp_path: Path) -> None:
    members = {f"cifar/data_batch_{i}": cifar_batch(i, 2) for i in range(1, 6)}
    members["cifar/test_batch"] = cifar_batch(9, 3)
    members["cifar/batches.meta"] = pickle.dumps({b"label_names": [b"cat", b"dog", b"emu"]}, 3)
    path = cifar_tar(tmp_path / "cifar-10-python.tar.gz", members)
    assert open_source(path).classes == ["cat", "dog", "emu"]
    pixels, labels = contents(path)
    assert labels == [(seed + i) % 3 for seed in range(1, 6) for i in range(2)]
    assert pixels[0].shape == (32, 32, 3)
    planes = random_pixels(1, 2, 3072, 1)[1].reshape(3, 32, 32)
    np.testing.assert_array_equal(pixels[1].transpose(2, 0, 1), planes)
    assert len(contents(path, split="test")[0]) == 3


def test_cifar_as_written_by_python_2(tmp_path: Path) -> None:
    # The opcodes of the published files: byte strings (T, U) instead of bytes, numpy.core names.
    pixels = random_pixels(4, 1, 3072, 1)
    batch = (
        b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        b"K\x00\x85U\x01b\x87R(K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + struct.pack("<I", 3072)
        + pixels.tobytes()
        + b"tbU\x06labels](K\x02eu."
    )
    path = cifar_tar(tmp_path / "c.tar.gz", {"cifar/data_batch_1": batch})
    images, labels = contents(path)
    np.testing.assert_array_equal(images[0].transpose(2, 0, 1).ravel(), pixels[0])
    assert labels == [2]


def test_cifar_100(tmp_path: Path) -> None:
    path = cifar_tar(
        tmp_path / "cifar-100-python.tar.gz",
        {
            "cifar-100-python/train": cifar_batch(0, 4, b"fine_labels"),
            "cifar-100-python/meta": pickle.dumps({b"fine_label_names": [b"a", b"b", b"c"]}, 3),
        },
    )
    assert open_source(path).classes == ["a", "b", "c"]
    assert contents(path)[1] == [0, 1, 2, 0]
    with pytest.raises(DataError, match="has no 'test' images"):
        open_source(path, split="test")


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.target),))


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_malicious_pickle_is_refused(tmp_path: Path, protocol: int) -> None:
    target = tmp_path / "owned"
    evil = pickle.dumps({b"data": Malicious(target), b"labels": []}, protocol)
    path = cifar_tar(tmp_path / "cifar.tar.gz", {"cifar/data_batch_1": evil})
    with pytest.raises(DataError, match=r"was not loaded .*forbidden object"):
        open_source(path)
    assert not target.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy.core.multiarray\nfromstring\n.",
        b"cpygan.data.cifar\nrestricted_load\n.",
        b"cnumpy\nndarray\n}S'__init__'\nNsb.",  # BUILD on the class itself
        b"\x80\x02cnumpy\nndarray.__init__.__globals__\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x0fdtype.__class__\x93.",
        b"Px\n.",
        b"",
        b"\x80",
        b"(((((",
    ],
)
def test_hostile_pickles(data: bytes) -> None:
    with pytest.raises(DataError, match="is not a CIFAR batch and was not loaded"):
        restricted_load(data, "x")


def test_damaged_cifar(tmp_path: Path) -> None:
    path = tmp_path / "cifar.tar.gz"
    cifar_tar(path, {"readme.txt": b"hello"})
    with pytest.raises(DataError, match="is not a CIFAR-10 or CIFAR-100"):
        open_source(path)
    for wrong in (
        {b"data": np.zeros((1, 3072), np.uint8)},
        {b"data": np.zeros((1, 3072), np.float32), b"labels": [0]},
        {b"data": np.zeros((1, 3071), np.uint8), b"labels": [0]},
        {b"data": np.zeros((1, 3072), np.uint8), b"labels": [0, 1]},
        {b"data": np.zeros((1, 3072), np.uint8), b"labels": [-1]},
        [1, 2],
    ):
        cifar_tar(path, {"c/data_batch_1": pickle.dumps(wrong, 3)})
        with pytest.raises(DataError, match="data_batch_1"):
            open_source(path)
    members = {"c/data_batch_1": cifar_batch(0, 5)}
    cifar_tar(path, members)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(DataError, match="cannot be read"):
        open_source(path)
