"""Walks through the space of codes: videos that pass through the images of given codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Optional

import numpy as np

from pygan.apps.codes import draw, find_codes
from pygan.apps.sample import TrainedModel
from pygan.apps.video import open_video
from pygan.errors import InputError

PATHS = ("spline", "linear")


def walk(keys: np.ndarray, frames: int, path: str = "spline", loop: bool = True) -> np.ndarray:
    """Points on a curve through the keys, at equal steps of its parameter.

    Args:
        keys: [N, ...] points; the curve passes through key i at frame ``i * frames``.
        frames: per leg, the way from one key to the next.
        path: 'spline', the interpolating cubic spline (twice continuously differentiable; periodic
            for a loop, natural otherwise), or 'linear'.
        loop: whether a last leg leads back to the first key.

    Returns:
        ``[N * frames, ...]`` for a loop, which the first key follows; ``[(N - 1) * frames + 1,
        ...]`` otherwise. Float32, computed in float64.
    """
    points = np.concatenate([keys, keys[:1]] if loop else [keys]).astype(np.float64)
    legs = len(points) - 1
    times = np.arange(legs * frames + (0 if loop else 1)) / frames
    leg = np.minimum(times.astype(int), max(legs - 1, 0))
    t = (times - leg).reshape(-1, *[1] * (points.ndim - 1))
    start, end = points[leg], points[np.minimum(leg + 1, legs)]
    if path == "linear":
        return (start + t * (end - start)).astype(np.float32)
    slopes = _spline_slopes(keys.astype(np.float64), loop)
    if loop:
        slopes = np.concatenate([slopes, slopes[:1]])
    first, second = slopes[leg], slopes[np.minimum(leg + 1, legs)]
    # Cubic Hermite: start and end, and the slopes there.
    chord = end - start
    bend = (1 - t) * (first - chord) + t * (chord - second)
    return (start + t * (chord + (1 - t) * bend)).astype(np.float32)


def _spline_slopes(keys: np.ndarray, loop: bool) -> np.ndarray:
    """Slopes m at the keys y of the cubic spline: m[i-1] + 4 m[i] + m[i+1] = 3 (y[i+1] - y[i-1]).

    Indices are cyclic in a loop. At open ends the second derivative is zero: 2 m[0] + m[1] =
    3 (y[1] - y[0]).
    """
    count = len(keys)
    if count == 1:
        return np.zeros_like(keys)
    step = np.eye(count, k=1)  # step @ y is the next key
    if loop:
        step[-1, 0] = 1
    back = step.T
    matrix = 4 * np.eye(count) + step + back
    difference = 3 * (step - back)
    if not loop:
        matrix[[0, -1], [0, -1]] = 2
        difference[0, 0], difference[-1, -1] = -3, 3
    flat = difference @ keys.reshape(count, -1)
    return np.linalg.solve(matrix, flat).reshape(keys.shape)


def write_walk(
    model: TrainedModel,
    keys: str,
    out: Path,
    *,
    frames: int = 60,
    fps: float = 30,
    path: str = "spline",
    loop: bool = True,
    label: Optional[int] = None,
    truncation: float = 1.0,
    noise: str = "const",
    zoom: int = 1,
    batch: int = 8,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Writes a video that passes through the images of the keys; returns its number of frames.

    Args:
        model: whose codes they are.
        keys: seeds and files, see :func:`pygan.apps.codes.find_codes`.
        out: the ``.mp4`` or ``.gif`` to write.
        frames: see :func:`walk`.
        fps: frames per second.
        path: see :func:`walk`.
        loop: see :func:`walk`.
        label: class of the seeds.
        truncation: psi of the truncation trick.
        noise: 'const' or 'none'.
        zoom: how many times to enlarge the frames.
        batch: images per forward pass.
        progress: called with the frames done and their total.

    Raises:
        InputError: bad keys, fewer than two of them, or the video cannot be written.
    """
    codes = find_codes(model, keys, "--keys", label=label, truncation=truncation)
    if len(codes) < 2:
        raise InputError(f"--keys: a walk needs at least two codes, got {keys!r}")
    ws = walk(codes, frames, path, loop)
    with open_video(out, fps, zoom) as video:
        for i in range(0, len(ws), batch):
            for image in draw(model, ws[i : i + batch], noise=noise, batch=batch):
                video.add(image)
            progress(min(i + batch, len(ws)), len(ws))
    return len(ws)
