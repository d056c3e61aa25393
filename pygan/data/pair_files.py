"""Pairs that lie in files: A|B side by side, or images and what they are made from in folders."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from PIL import Image

from .errors import DataError, ImageError
from .idmaps import read_ids
from .imaging import open_image
from .pair_source import Pair, PairSource, SourcePair
from .pairs import IMAGE, INSTANCE, LABEL, SOURCE
from .store import FolderStore, Store, ZipStore

DIRECTIONS = ("AtoB", "BtoA")

_FOLDERS = {
    IMAGE: ("{split}_img", "image", "images", "img", "{split}_image", "leftImg8bit/{split}"),
    LABEL: ("{split}_label", "label", "labels", "annotations", "gtFine/{split}"),
    INSTANCE: ("{split}_inst", "instance", "instances", "inst", "gtFine/{split}"),
    SOURCE: ("source", "sources"),
    "A": ("{split}_A", "{split}A", "A"),
    "B": ("{split}_B", "{split}B", "B"),
}
"""Names of folders: those of Pix2PixHD and Cityscapes among others."""

_ENDINGS = {
    IMAGE: ("_leftImg8bit",),
    LABEL: ("_gtFine_labelIds", "_gtCoarse_labelIds"),
    INSTANCE: ("_gtFine_instanceIds", "_gtCoarse_instanceIds"),
}
"""Endings of file names (Cityscapes) that members of a pair do not share."""


def open_pairs(
    path: str | os.PathLike[str],
    *,
    direction: str = "AtoB",
    split: str = "train",
    image_dir: str | None = None,
    label_dir: str | None = None,
    instance_dir: str | None = None,
    source_dir: str | None = None,
) -> PairSource:
    """The pairs of a folder or a zip, which of the two kinds it is being seen from its folders.

    Folders with images beside folders with label maps (and instance maps) or with source images:
    ``train_img``, ``train_label``, ``train_inst`` (Pix2PixHD, COCO-Stuff), ``image``, ``label``,
    ``instance``, ``train_A`` and ``train_B``, ``leftImg8bit/train`` and ``gtFine/train``
    (Cityscapes), or those that are named here. Members of a pair have one file name, but for
    suffixes. Otherwise every image is a pair side by side, A left and B right, of those in
    ``train/`` if there is such a folder.

    Args:
        path: the folder or zip.
        direction: 'AtoB' makes B from A, 'BtoA' A from B.
        split: which folders, where there are several.
        image_dir, label_dir, instance_dir, source_dir: folders within `path`.

    Raises:
        DataError: not such a folder, or files without a counterpart.
        FileNotFoundError: nothing at `path`.
    """
    path = Path(path)
    if direction not in DIRECTIONS:
        raise DataError(f"direction must be {' or '.join(DIRECTIONS)}, not {direction!r}")
    if not path.exists():
        raise FileNotFoundError(f"there is no file or folder {path}")
    if path.is_dir():
        store: Store = FolderStore(path)
    elif zipfile.is_zipfile(path):
        store = ZipStore(path)
    else:
        raise DataError(f"{path} is not a source of pairs: expected a folder or a zip")
    names = store.image_names()
    if not names:
        raise DataError(f"{path} contains no images")
    given = {IMAGE: image_dir, LABEL: label_dir, INSTANCE: instance_dir, SOURCE: source_dir}
    folders = _find_folders(names, split, direction, given, path)
    if folders:
        return _folder_pairs(store, names, folders)
    return _side_by_side(store, names, split, direction)


def _find_folders(
    names: list[str],
    split: str,
    direction: str,
    given: dict[str, str | None],
    path: Path,
) -> dict[str, str]:
    """Prefix of file names by kind; empty if the pairs lie side by side."""
    found: dict[str, str] = {}
    for kind, patterns in _FOLDERS.items():
        wanted = given.get(kind)
        choices = [wanted.strip("/")] if wanted else [p.format(split=split) for p in patterns]
        for folder in choices:
            ending = f"_{kind}Ids" if folder.startswith("gtFine/") else ""
            if any(n.startswith(f"{folder}/") and ending in n for n in names):
                found[kind] = f"{folder}/"
                break
        else:
            if wanted:
                raise DataError(f"{path} has no images in a folder {wanted}")
    if IMAGE not in found and "A" in found and "B" in found:
        first, second = ("A", "B") if direction == "AtoB" else ("B", "A")
        return {IMAGE: found[second], SOURCE: found[first]}
    found = {kind: folder for kind, folder in found.items() if kind not in "AB"}
    if LABEL in found and SOURCE in found and not given[SOURCE]:
        del found[SOURCE]
    if LABEL in found and SOURCE in found:
        raise DataError("give either label maps or source images, not both")
    if not any(given.values()) and (IMAGE not in found or not {LABEL, SOURCE} & found.keys()):
        return {}
    if IMAGE not in found:
        raise DataError(f"{path}: no folder of images was found; name it as image_dir")
    if not {LABEL, SOURCE} & found.keys():
        raise DataError(
            f"{path}: no folder of label maps or source images was found; name it as label_dir or "
            "source_dir"
        )
    return found


@dataclass(frozen=True)
class _Files:
    """The files of one pair, by kind."""

    store: Store
    names: dict[str, str]

    def open(self) -> Pair:
        read, label = self.store.read, self.store.label

        def image(kind: str) -> Image.Image | None:
            name = self.names.get(kind)
            return None if name is None else open_image(read(name), label(name))

        labels = instances = None
        if LABEL in self.names:
            labels = read_ids(read(self.names[LABEL]), label(self.names[LABEL]))
        if INSTANCE in self.names:
            name = self.names[INSTANCE]
            instances = read_ids(read(name), label(name), colours=True)
        opened = image(IMAGE)
        assert opened is not None
        return Pair(opened, image(SOURCE), labels, instances)


def _folder_pairs(store: Store, names: list[str], folders: dict[str, str]) -> PairSource:
    by_kind = {kind: _keys(store, names, kind, folder) for kind, folder in folders.items()}
    images = by_kind[IMAGE]
    for kind, files in by_kind.items():
        for one, other, of in ((files, images, IMAGE), (images, files, kind)):
            lonely = sorted(one.keys() - other.keys())
            if lonely:
                raise DataError(
                    f"{store.label(one[lonely[0]])} has no counterpart in {folders[of]} (one of "
                    f"{len(lonely)} such files); members of a pair have the same file name"
                )

    def pairs() -> Iterator[SourcePair]:
        for key in sorted(images):
            files = _Files(store, {kind: found[key] for kind, found in by_kind.items()})
            label = store.label(files.names[LABEL]) if LABEL in files.names else ""
            stem = PurePosixPath(key).name
            yield SourcePair(store.label(images[key]), files.open, label, stem)

    return PairSource(
        f"folders of {store.path.name}",
        len(images),
        pairs,
        has_labels=LABEL in by_kind,
        has_instances=INSTANCE in by_kind,
    )


def _keys(store: Store, names: list[str], kind: str, folder: str) -> dict[str, str]:
    """Names of files by what the members of a pair share."""
    files = [name for name in names if name.startswith(folder)]
    endings = _ENDINGS.get(kind, ())
    if folder.startswith("gtFine/"):  # all kinds of maps lie in one folder
        files = [name for name in files if PurePosixPath(name).stem.endswith(endings)]
    found: dict[str, str] = {}
    for name in files:
        key = str(PurePosixPath(name[len(folder) :]).with_suffix(""))
        for ending in endings:
            key = key[: -len(ending)] if key.endswith(ending) else key
        if key in found:
            raise DataError(
                f"{store.label(name)} and {store.label(found[key])} have the same name; remove one"
            )
        found[key] = name
    return found


def _side_by_side(store: Store, names: list[str], split: str, direction: str) -> PairSource:
    part = [name for name in names if name.startswith(f"{split}/")]
    if not part and split != "train":
        raise DataError(f"{store.path} has no folder {split}/ with images")
    part = part or names

    def pairs() -> Iterator[SourcePair]:
        for name in part:
            label = store.label(name)
            stem = PurePosixPath(name).stem
            yield SourcePair(label, partial(_halves, store, name, direction), stem=stem)

    return PairSource(f"side by side in {store.path.name}, {direction}", len(part), pairs)


def _halves(store: Store, name: str, direction: str) -> Pair:
    image = open_image(store.read(name), store.label(name))
    width, height = image.size
    if width % 2:
        raise ImageError(
            store.label(name),
            f"is {width}x{height}; A|B side by side needs an even width, such as {width - 1} or "
            f"{width + 1}",
        )
    left = image.crop((0, 0, width // 2, height))
    right = image.crop((width // 2, 0, width, height))
    return Pair(right, left) if direction == "AtoB" else Pair(left, right)
