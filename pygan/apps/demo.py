"""The demonstration behind ``make demo``: StyleGAN2 on the embedded emoji, and a picture of it.

It is an ordinary run of ``pygan train stylegan2 --data emoji --preset demo``, stopped after a few
minutes, and one picture of it: real images, samples of the untrained generator, samples at the end.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from pygan.algorithms import find_algorithm
from pygan.data import open_dataset
from pygan.errors import InputError
from pygan.training.grid import save_png
from pygan.training.options import resolve
from pygan.training.run import CONFIG_FILE, start

_CAPTIONS = ("real", "untrained", "trained")
_MARGIN = 12  # pixels between and around the panels


def run_demo(out: Path, minutes: float, overwrite: bool = False) -> Path:
    """Train for ``minutes`` in the folder ``out`` and write ``demo.png`` there; return its path.

    Raises:
        InputError: ``out`` holds a run already, and ``overwrite`` is not set.
    """
    if (out / CONFIG_FILE).exists():
        if not overwrite:
            raise InputError(
                f"{out} holds a run already; go on with: pygan resume {out}, or start anew with: "
                "pygan demo --overwrite"
            )
        shutil.rmtree(out)
    algorithm = find_algorithm("stylegan2")
    dataset = open_dataset("emoji")
    options: dict[str, Any] = {
        "data": "emoji",
        "preset": "demo",
        "out": str(out),
        "max_minutes": minutes,
        "grid": "6x8",
    }
    config = resolve(algorithm.Config, options, max(dataset.image_shape[1:]), 1)
    start(config, algorithm, dataset)
    samples = sorted(out.glob("samples_*.png"))
    picture = out / "demo.png"
    _write_panels([out / "reals.png", samples[0], samples[-1]], picture)
    return picture


def _write_panels(paths: list[Path], picture: Path) -> None:
    """The images side by side, with captions above."""
    from PIL import Image, ImageDraw

    panels = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    height, width = panels[0].shape[:2]
    step = width + _MARGIN
    canvas = Image.new("RGB", (step * len(panels) + _MARGIN, height + 3 * _MARGIN), "white")
    draw = ImageDraw.Draw(canvas)
    for i, (panel, caption) in enumerate(zip(panels, _CAPTIONS)):
        left = _MARGIN + i * step
        draw.text((left, _MARGIN // 2), caption, fill="black")
        canvas.paste(Image.fromarray(panel), (left, 2 * _MARGIN))
    save_png(np.asarray(canvas), picture)
