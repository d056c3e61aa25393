"""Images made from a user's own label maps or images, by any algorithm with a condition."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import paddle
from PIL import Image

from pygan.apps.sample import TrainedModel
from pygan.data import DataError
from pygan.data.idmaps import check_ids, ids_image, read_ids
from pygan.data.imaging import open_image, to_array, to_channels
from pygan.errors import InputError
from pygan.training.condition import Condition, make_condition, to_tensor
from pygan.training.grid import condition_pictures, save_png, tile, to_colours, to_pixels

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
_VOID = 255  # what label maps of many datasets have where nobody cares


@dataclass(frozen=True)
class Inputs:
    """Files, or folders of files that belong together by their names without ending.

    Attributes:
        labels: label maps, whose numbers are classes as in the training data.
        instances: instance maps beside them; None makes every region of a class one instance.
        image: source images.
        style: photos whose look the images shall have; one file is for all.
    """

    labels: Optional[Path] = None
    instances: Optional[Path] = None
    image: Optional[Path] = None
    style: Optional[Path] = None


def generate(
    model: TrainedModel,
    inputs: Inputs,
    out: Path,
    seeds: Sequence[int] = (0,),
    size: Optional[tuple[int, int]] = None,
    grid: bool = False,
) -> list[Path]:
    """Writes an image for every input and seed.

    Args:
        model: of an algorithm that makes images from something.
        inputs: what from.
        out: the file to write, if there is one image and this has the ending of one; else a folder,
            in which images are called as their inputs, with ``_seed<number>`` if there are several.
        seeds: for what the input leaves open.
        size: (width, height) that inputs are resized to; None leaves them as they are.
        grid: also write ``grid.png``: a row of each input with its images, for one size only.

    Returns:
        The files written; the grid comes last.

    Raises:
        InputError: a file is missing, broken or not what the model takes.
    """
    files = _files(model, inputs)
    whole = out.suffix.lower() in SUFFIXES
    if whole and (len(files) * len(seeds) > 1 or grid):
        raise InputError(f"--out: {out} is one file, but there are more to write; name a folder")
    targets = []
    rows = []
    (out.parent if whole else out).mkdir(parents=True, exist_ok=True)
    for stem, parts in files:
        condition, style = read_condition(model, parts, size)
        pixels = draw(model, condition, seeds, style, parts)
        for seed, image in zip(seeds, pixels):
            name = f"{stem}_seed{seed:04d}" if len(seeds) > 1 else stem
            target = out if whole else out / f"{name}.png"
            if any(target.resolve() == path.resolve() for path in parts.values()):
                raise InputError(f"--out: {target} is an input; name another folder")
            save_png(image.transpose(1, 2, 0), target)
            targets.append(target)
        if grid:
            first = condition_pictures(condition, model.data.label_count)
            rows.append(np.concatenate([to_colours(first), to_colours(pixels)]))
    if grid:
        if len({row.shape for row in rows}) > 1:
            raise InputError("--grid: the inputs have several sizes; give one with --size")
        targets.append(out / "grid.png")
        save_png(tile(np.concatenate(rows), 1 + len(seeds)), targets[-1])
    return targets


@paddle.no_grad()
def draw(
    model: TrainedModel,
    condition: Condition,
    seeds: Sequence[int],
    style: Optional[paddle.Tensor],
    parts: Mapping[str, Path],
) -> np.ndarray:
    """Images uint8 [seeds, C, H, W] made from one condition."""
    images = []
    for seed in seeds:
        try:
            made = model.algorithm.render(model.networks, model.config, [seed], condition, style)
        except ValueError as error:  # a size that the networks do not take
            file = next(iter(parts.values()))
            raise InputError(f"{file}: {error}; --size resizes it") from None
        images.append(to_pixels(made.numpy()))
    return np.concatenate(images)


def read_condition(
    model: TrainedModel, parts: Mapping[str, Path], size: Optional[tuple[int, int]] = None
) -> tuple[Condition, Optional[paddle.Tensor]]:
    """The condition of one image, and the photo of its style.

    Args:
        model: what it is for.
        parts: files by kind: a field of :class:`Inputs`.
        size: (width, height) to resize to: ids by the nearest neighbour, images bicubically.

    Raises:
        InputError: a file is broken, or has ids that the model does not know.
    """
    data = model.data
    planes: dict[str, Any] = {}
    try:
        if "labels" in parts:
            ids = read_ids(parts["labels"].read_bytes(), str(parts["labels"]))
            if data.dont_care is not None:
                ids = np.where(ids == _VOID, data.dont_care, ids)
            check_ids(ids, str(parts["labels"]), data.label_count)
            planes["labelmaps"] = _resized(ids, size)
            if data.instances:
                if "instances" in parts:
                    file, labels = parts["instances"], ids
                    ids = read_ids(file.read_bytes(), str(file), colours=True)
                    _check_same_size(ids, labels, file)
                planes["instances"] = _resized(ids, size)
        if "image" in parts:
            channels = model.algorithm.source_channels(model.config, data)
            planes["sources"] = _image(parts["image"], channels, size)[np.newaxis]
        condition = make_condition(**planes)
        if "style" not in parts:
            return condition, None
        first = next(plane for plane in planes.values())
        height, width = first.shape[-2:]
        style = _image(parts["style"], data.image_shape[0], (width, height))
        return condition, to_tensor(style[np.newaxis])
    except (DataError, OSError) as error:
        raise InputError(str(error)) from None


def with_options(model: TrainedModel, **options: Optional[str]) -> TrainedModel:
    """The model with other values of those options of its algorithm that are not None.

    Raises:
        InputError: the algorithm has no such option, or a value is not legal.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if not hasattr(model.config, name):
            flag = "--" + name.replace("_", "-")
            raise InputError(f"{flag}: {model.algorithm.name} has no such option; leave it out")
    config = type(model.config).from_dict({**model.config.to_dict(), **given})
    return dataclasses.replace(model, config=config)


def _files(model: TrainedModel, inputs: Inputs) -> list[tuple[str, dict[str, Path]]]:
    """(name, files by kind) of every image to make."""
    data, kind = model.data, model.algorithm
    wants_image = kind.source_channels(model.config, data) > 0
    given = {name: path for name, path in vars(inputs).items() if path is not None}
    for name, path in given.items():
        if not path.exists():
            raise InputError(f"--{name}: {path} does not exist")
    if not wants_image and not data.label_count:
        raise InputError(f"{kind.name} makes images from nothing: use pygan sample")
    for name, wanted in (("image", wants_image), ("labels", data.label_count > 0)):
        if wanted and name not in given:
            what = "source images" if name == "image" else "label maps"
            raise InputError(f"--{name} is required: this model makes images from {what}")
        if not wanted and name in given:
            raise InputError(f"--{name}: this model takes none; leave it out")
    if "instances" in given and not data.instances:
        raise InputError("--instances: this model takes none; leave it out")
    main = "labels" if data.label_count else "image"
    if not given[main].is_dir():
        for name, path in given.items():
            if path.is_dir():
                raise InputError(f"--{name}: {path} is a folder, but --{main} is a file")
        return [(given[main].stem, given)]
    folders = {name: _by_stem(path) for name, path in given.items() if path.is_dir()}
    if not folders[main]:
        raise InputError(f"--{main}: {given[main]} has no images")
    found = []
    for stem, file in sorted(folders[main].items()):
        parts = {main: file}
        for name, path in given.items():
            if name == main:
                continue
            if name in folders and stem not in folders[name]:
                raise InputError(f"--{name}: {path} has no image {stem}, which {file} needs")
            if name not in folders and name != "style":
                raise InputError(f"--{name}: {path} is a file, but --{main} is a folder")
            parts[name] = folders[name][stem] if name in folders else path
        found.append((stem, parts))
    return found


def _by_stem(folder: Path) -> dict[str, Path]:
    """The images of a folder by their names without ending."""
    found: dict[str, Path] = {}
    for path in sorted(_images(folder)):
        if path.stem in found:
            raise InputError(f"{folder} has both {found[path.stem].name} and {path.name}")
        found[path.stem] = path
    return found


def _images(folder: Path) -> Iterator[Path]:
    return (p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())


def _image(file: Path, channels: int, size: Optional[tuple[int, int]]) -> np.ndarray:
    """uint8 [C, H, W]."""
    image = to_channels(open_image(file.read_bytes(), str(file)), channels)
    if size is not None and image.size != size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    return to_array(image)


def _resized(ids: np.ndarray, size: Optional[tuple[int, int]]) -> np.ndarray:
    """Ids [1, H, W]."""
    if size is not None and ids.shape != size[::-1]:
        ids = np.asarray(ids_image(ids).resize(size, Image.Resampling.NEAREST))
    return ids[np.newaxis]


def _check_same_size(ids: np.ndarray, labels: np.ndarray, file: Path) -> None:
    if ids.shape != labels.shape:
        raise InputError(
            f"--instances: {file} is {ids.shape[1]}x{ids.shape[0]}, but the label map is "
            f"{labels.shape[1]}x{labels.shape[0]}"
        )
