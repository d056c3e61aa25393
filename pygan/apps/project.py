"""Finds the code of an image, and writes what comes of it."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Optional

import numpy as np

from pygan.apps.codes import draw, write_codes
from pygan.apps.perceptual import Distance, psnr
from pygan.apps.projection import Projection, ProjectionOptions, project
from pygan.apps.sample import TrainedModel
from pygan.apps.video import Video, open_video
from pygan.data import DataError
from pygan.data.imaging import open_image, parse_colour, to_array, to_channels
from pygan.data.transforms import transform
from pygan.errors import InputError
from pygan.files import replacing
from pygan.training.grid import save_png

_FPS = 30
_VIDEO_FRAMES = 300  # about as many, whatever the number of steps


def read_target(
    path: Path, shape: tuple[int, int, int], crop: str = "center", background: str = "white"
) -> np.ndarray:
    """An image file as [C, H, W] uint8 of this shape.

    Args:
        path: any format that Pillow reads.
        shape: of the model's images.
        crop: see :func:`pygan.data.transforms.transform`.
        background: behind transparent pixels and in bars.

    Raises:
        InputError: there is no such file, it is no image, or it does not suit ``crop``.
    """
    channels, height, width = shape
    if not path.is_file():
        raise InputError(f"{path} does not exist")
    try:
        parse_colour(background)
        with path.open("rb") as file:
            image = to_channels(open_image(file, str(path)), channels, background)
        image, _ = transform(image, str(path), (width, height), crop, background=background)
    except (DataError, OSError) as error:
        raise InputError(str(error)) from None
    return to_array(image)


def write_projection(
    model: TrainedModel,
    target: np.ndarray,
    out: Path,
    distance: Distance,
    options: Optional[ProjectionOptions] = None,
    *,
    label: Optional[int] = None,
    video: Optional[str] = None,
    zoom: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Projects an image and writes what was found to a folder.

    ``projected.npz`` has the codes ``w`` [1, num_ws, w_dim] and the noise maps ``noise0`` ...,
    ``projected.png`` their image, ``target.png`` the target, ``comparison.png`` both side by side,
    ``projection.json`` the options and how close it came, and ``projection.mp4`` or ``.gif`` the
    way there, beside the target.

    Args:
        model: that is to draw the image.
        target: the image [C, H, W] uint8, of the model's shape.
        out: folder to write to.
        distance: what is to become small.
        options: see :func:`pygan.apps.projection.project`.
        label: the same.
        video: 'mp4', 'gif' or None for no video.
        zoom: how many times to enlarge the frames of the video.
        progress: called with the steps done and their total.

    Returns:
        What ``projection.json`` has.
    """
    options = options or ProjectionOptions()
    out.mkdir(parents=True, exist_ok=True)
    every = max(1, options.steps // _VIDEO_FRAMES)
    with _maybe_video(out, video, zoom) as frames:

        def on_step(step: int, state: Callable[[], Projection]) -> None:
            if frames is not None and (step % every == 0 or step == options.steps - 1):
                frames.add(_beside(target, _image(model, state())))
            progress(step + 1, options.steps)

        found = project(model, target, distance, options, label=label, on_step=on_step)
    image = _image(model, found)
    signal = psnr(image, target)
    report = {
        "distance": distance.name,
        "value": distance.between(image, target),
        "psnr": signal if math.isfinite(signal) else None,
        "class": label,
        **asdict(options),
    }
    write_codes(out / "projected.npz", found.ws, found.noise)
    save_png(image.transpose(1, 2, 0), out / "projected.png")
    save_png(target.transpose(1, 2, 0), out / "target.png")
    save_png(_beside(target, image).transpose(1, 2, 0), out / "comparison.png")
    with replacing(out / "projection.json") as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


@contextlib.contextmanager
def _maybe_video(out: Path, kind: Optional[str], zoom: int) -> Iterator[Optional[Video]]:
    if kind is None:
        yield None
        return
    with open_video(out / f"projection.{kind}", _FPS, zoom) as video:
        yield video


def _image(model: TrainedModel, state: Projection) -> np.ndarray:
    """The image [C, H, W] of a projection."""
    return draw(model, state.ws, noise=state.noise)[0]


def _beside(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two images [C, H, W] as one."""
    return np.concatenate([left, right], axis=2)
