"""Drawn scenes with classes and objects: paired data that needs no files.

A scene is sky over ground, with hills between them, and things in front of each other: houses,
trees, balls and boxes, each with an instance id of its own. Every class has a texture and a range
of colours, so that a label map leaves something to invent, and is told from the others by them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from PIL import Image

from .errors import DataError
from .pair_source import Pair, PairSource, SourcePair

CLASSES = ("sky", "hill", "ground", "wall", "roof", "trunk", "leaves", "ball", "box", "cloud")

_SKY, _HILL, _GROUND, _WALL, _ROOF, _TRUNK, _LEAVES, _BALL, _BOX, _CLOUD = range(len(CLASSES))


def scenes(count: int, size: tuple[int, int] | int = 64, seed: int = 0) -> PairSource:
    """Scenes with label maps of 10 classes and instance maps; each a function of its number.

    Args:
        count: how many.
        size: (width, height) or one number, at least 8.
        seed: other seeds draw others.

    Raises:
        DataError: an illegal count, size or seed.
    """
    width, height = (size, size) if isinstance(size, int) else size
    if count < 1:
        raise DataError(f"count must be at least 1, not {count}")
    if min(width, height) < 8 or max(width, height) > 4096:
        raise DataError(f"scenes need sides from 8 to 4096, not {width}x{height}")
    if not 0 <= seed < 2**32:
        raise DataError(f"seed must be from 0 to 2^32 - 1, not {seed}")

    def pairs() -> Iterator[SourcePair]:
        for number in range(count):
            yield SourcePair(f"scene {number}", partial(scene, seed, number, width, height))

    return PairSource(
        f"scenes, seed {seed}",
        count,
        pairs,
        has_labels=True,
        has_instances=True,
        label_count=len(CLASSES),
        label_names=list(CLASSES),
    )


def scene(seed: int, number: int, width: int, height: int) -> Pair:
    """One scene. Background has instance 0, every thing a number of its own."""
    canvas = _Canvas(np.random.RandomState([seed, number]), width, height)
    canvas.background()
    for _ in range(canvas.random.randint(0, 3)):
        canvas.cloud()
    for depth in np.sort(canvas.random.rand(canvas.random.randint(2, 8))):
        (canvas.house, canvas.tree, canvas.ball, canvas.box)[canvas.random.randint(4)](depth)
    return canvas.finish()


class _Canvas:
    """Paints from back to front. Lengths are fractions of the sides."""

    def __init__(self, random: np.random.RandomState, width: int, height: int) -> None:
        self.random = random
        self.width, self.height = width, height
        self.y, self.x = np.mgrid[0:height, 0:width].astype(np.float64)
        self.x, self.y = (self.x + 0.5) / width, (self.y + 0.5) / height
        self.colours = np.zeros((height, width, 3))
        self.labels = np.zeros((height, width), dtype=np.int64)
        self.instances = np.zeros((height, width), dtype=np.int64)
        self._things = 0
        self._daylight = random.uniform(0.7, 1.0)

    def background(self) -> None:
        random = self.random
        self.horizon = random.uniform(0.35, 0.6)
        top, bottom = (0.25, 0.45, 0.85), (0.75, 0.85, 0.95)
        fall = np.clip(self.y / self.horizon, 0, 1)[:, :, None]
        self.colours[:] = np.array(top) * (1 - fall) + np.array(bottom) * fall
        phases, heights = random.uniform(0, 2 * np.pi, 3), random.uniform(0.02, 0.09, 3)
        ridge = sum(
            h * np.sin((2 + 3 * k) * self.x + p) for k, (h, p) in enumerate(zip(heights, phases))
        )
        self._paint(
            self.y > self.horizon - 0.1 + ridge, _HILL, self._tint(0.35, 0.42, 0.5), 0.05, 0
        )
        ground = self._tint(*((0.35, 0.6, 0.2) if random.rand() < 0.6 else (0.75, 0.62, 0.4)))
        self._paint(self.y > self.horizon, _GROUND, ground, 0.08, 0)

    def cloud(self) -> None:
        x, y, size = (
            self.random.rand(),
            self.random.uniform(0.05, 0.25),
            self.random.uniform(0.06, 0.12),
        )
        inside = np.zeros_like(self.labels, dtype=bool)
        for shift in (-0.9, 0.0, 0.9):
            radius = size * self.random.uniform(0.6, 1.0)
            inside |= self._ellipse(x + shift * size, y, radius * 1.2, radius * 0.6)
        self._paint(inside & (self.labels == _SKY), _CLOUD, np.array((0.95, 0.95, 0.97)), 0.03)

    def house(self, depth: float) -> None:
        x, foot, size = self._place(depth)
        wide, tall = size * self.random.uniform(0.8, 1.3), size * self.random.uniform(0.6, 1.0)
        wall = self._box(x, foot, wide, tall)
        slope = np.abs(self.x - x) * 1.2 * self.width / self.height
        roof = (self.y < foot - tall) & (self.y > foot - tall - 0.65 * wide + slope)
        roof &= np.abs(self.x - x) < wide * 0.6
        bricks = (np.floor(self.y * 60) + np.floor(self.x * 30)) % 2
        self._paint(wall, _WALL, self._tint(0.8, 0.7, 0.6), 0.04)
        self.colours[wall] *= (0.94 + 0.06 * bricks[wall])[:, None]
        self._paint(roof, _ROOF, self._tint(0.65, 0.25, 0.2), 0.06, self._things)

    def tree(self, depth: float) -> None:
        x, foot, size = self._place(depth)
        tall = size * self.random.uniform(1.0, 1.6)
        self._paint(
            self._box(x, foot, size * 0.16, tall * 0.5), _TRUNK, self._tint(0.4, 0.27, 0.15), 0.1
        )
        crown = self._ellipse(x, foot - tall * 0.75, size * 0.42, tall * 0.4)
        self._paint(crown, _LEAVES, self._tint(0.2, 0.45, 0.15), 0.25, self._things)

    def ball(self, depth: float) -> None:
        x, foot, size = self._place(depth)
        radius = size * self.random.uniform(0.2, 0.35)
        up = radius * self.width / self.height
        inside = self._ellipse(x, foot - up, radius, up)
        light = 1.15 - 0.9 * np.hypot(self.x - x + radius / 3, (self.y - foot + up * 1.3)) / (
            2 * radius
        )
        self._paint(inside, _BALL, self.random.uniform(0.25, 1.0, 3), 0.02)
        self.colours[inside] *= light[inside][:, None]

    def box(self, depth: float) -> None:
        x, foot, size = self._place(depth)
        side = size * self.random.uniform(0.35, 0.6)
        inside = self._box(x, foot, side, side)
        self._paint(inside, _BOX, self._tint(0.7, 0.5, 0.25), 0.03)
        planks = np.floor((self.y - foot) / side * 4) % 2
        self.colours[inside] *= (0.85 + 0.15 * planks[inside])[:, None]

    def finish(self) -> Pair:
        pixels = np.rint(np.clip(self.colours * self._daylight, 0, 1) * 255).astype(np.uint8)
        return Pair(Image.fromarray(pixels), labels=self.labels, instances=self.instances)

    def _place(self, depth: float) -> tuple[float, float, float]:
        """(x, y of the foot, size) of a thing; what is nearer is lower and larger."""
        foot = self.horizon + 0.03 + depth * (0.95 - self.horizon)
        return self.random.rand(), foot, 0.12 + 0.35 * depth

    def _tint(self, red: float, green: float, blue: float) -> np.ndarray:
        return np.array((red, green, blue)) * self.random.uniform(0.75, 1.2, 3)

    def _ellipse(self, x: float, y: float, across: float, up: float) -> np.ndarray:
        return ((self.x - x) / across) ** 2 + ((self.y - y) / up) ** 2 < 1

    def _box(self, x: float, foot: float, wide: float, tall: float) -> np.ndarray:
        return (np.abs(self.x - x) < wide / 2) & (self.y < foot) & (self.y > foot - tall)

    def _paint(
        self,
        inside: np.ndarray,
        label: int,
        colour: np.ndarray,
        rough: float,
        thing: int | None = None,
    ) -> None:
        """Fills a region; a new thing unless it belongs to one (0: the background)."""
        if thing is None:
            self._things += 1
            thing = self._things
        noise = self.random.normal(0, rough, (self.height, self.width))
        self.colours[inside] = colour + noise[inside][:, None]
        self.labels[inside] = label
        self.instances[inside] = thing
