"""Terrain maps of the game The Battle for Wesnoth: label maps with the pictures they stand for.

The game's data are GPL-2+ and no part of pygan: install them (on Debian, the package
wesnoth-1.16-data) or give their folder. Maps are grids of hexagons, 72 pixels across and 54 apart,
whose codes (base^overlay) name tiles in core/terrain.cfg. The tiles are drawn as they are, without
the game's transitions; a window of 144 pixels shows some nine hexagons.
"""

from __future__ import annotations

import glob
import os
import re
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path

import numpy as np
from PIL import Image

from .errors import DataError
from .imaging import open_image
from .pair_source import Pair, PairSource, SourcePair

# fmt: off
CLASSES = (
    "deep water", "shallow water", "ford", "swamp", "sand", "snow", "grass", "road", "cave",
    "hills", "mountains", "castle", "keep", "chasm", "floor", "wall", "mushrooms", "forest",
    "village", "bridge",
)
# fmt: on

WINDOW = 144
"""Sides of the windows that maps are cut into."""

INSTALLED = "/usr/share/games/wesnoth/*"

_TILE, _STEP = 72, 54
_WATER, _EARTH = "Ww", "Re"
_WALL = CLASSES.index("wall")
_BASES = {
    **{"Wo": "deep water", "Wwf": "ford", "W": "shallow water", "S": "swamp", "D": "sand"},
    **{"A": "snow", "G": "grass", "R": "road", "U": "cave", "H": "hills", "M": "mountains"},
    **{"C": "castle", "K": "keep", "Q": "chasm", "I": "floor", "X": "wall", "T": "mushrooms"},
}
_OVERLAYS = {"F": "forest", "T": "mushrooms", "V": "village", "B": "bridge"}
_WHOLE = ("forest", "mushrooms")  # classes of whole hexagons; the others are where one sees them
_MOST_VOID = 0.5


def wesnoth(folder: str | os.PathLike[str] | None = None) -> PairSource:
    """All windows of all maps, 144x144, without overlaps; those that are mostly void left out.

    Args:
        folder: with ``data/core/terrain.cfg``, or that ``data``; None looks where Debian puts it.

    Raises:
        DataError: the game's data are not there, or there are no maps.
    """
    data = _find_data(folder)
    tiles = Tiles(data / "core")
    maps = sorted(data.rglob("*.map"))
    windows = [window for path in maps for window in _windows(path, tiles)]
    if not windows:
        raise DataError(f"{data} has no maps with windows of {WINDOW}x{WINDOW} pixels")

    @lru_cache(maxsize=2)
    def drawn(path: Path) -> tuple[np.ndarray, np.ndarray]:
        return draw_map(read_map(path), tiles)

    lock = threading.Lock()

    def cut(path: Path, left: int, top: int) -> Pair:
        with lock:  # else every thread would draw the same map
            pixels, labels = drawn(path)
        part = np.s_[top : top + WINDOW, left : left + WINDOW]
        return Pair(Image.fromarray(pixels[part]), labels=labels[part])

    def pairs() -> Iterator[SourcePair]:
        for path, left, top in windows:
            yield SourcePair(f"{path}, x={left}, y={top}", partial(cut, path, left, top))

    return PairSource(
        "terrain maps of The Battle for Wesnoth (GPL-2+)",
        len(windows),
        pairs,
        has_labels=True,
        label_count=len(CLASSES),
        label_names=list(CLASSES),
    )


def read_map(path: Path) -> list[list[str]]:
    """Rows of terrain codes. Starting positions ("1 Kh") are left out."""
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if "," in line and "=" not in line:
            rows.append([cell.split()[-1] if cell.split() else "" for cell in line.split(",")])
    return [row for row in rows if len(row) == len(rows[0])]


@lru_cache(maxsize=4096)
def label_of(code: str) -> tuple[int, int | None]:
    """Class of a code's base and, if it has one of its own, of its overlay."""
    base, _, overlay = code.partition("^")
    found = next((_BASES[base[:n]] for n in (3, 2, 1) if base[:n] in _BASES), "wall")
    over = None
    # Kov, Vov and the like mark rules of the game and show nothing.
    if overlay and overlay[1:] != "ov" and overlay[0] in _OVERLAYS:
        over = CLASSES.index(_OVERLAYS[overlay[0]])
    return CLASSES.index(found), over


@dataclass(frozen=True)
class Tile:
    """A picture of one hexagon, RGBA 72x72, and the pixels where it is seen, bool [72, 72]."""

    image: Image.Image
    seen: np.ndarray

    @cached_property
    def see_through(self) -> bool:
        """Whether the hexagon has much that is not opaque."""
        opacity = np.asarray(self.image)[:, :, 3][_hexagon()]
        return bool((opacity < 200).mean() > 0.05)


class Tiles:
    """The pictures of terrain codes.

    Args:
        core: the folder with terrain.cfg and images/terrain.
    """

    def __init__(self, core: Path) -> None:
        self._folder = core / "images" / "terrain"
        text = (core / "terrain.cfg").read_text(encoding="utf-8", errors="replace")
        self._images: dict[str, str] = {}
        for block in re.findall(r"\[terrain_type\](.*?)\[/terrain_type\]", text, re.DOTALL):
            code, image = (_value(block, key) for key in ("string", "symbol_image"))
            if code and image:
                self._images[code] = image
        self._cached: dict[str, list[Tile]] = {}
        black = np.zeros((_TILE, _TILE, 4), dtype=np.uint8)
        black[:, :, 3] = _hexagon() * np.uint8(255)
        self.void = Tile(Image.fromarray(black), _hexagon())

    def base(self, code: str, place: tuple[str, int, int]) -> Tile:
        """The picture of what lies below; black if there is none.

        Tiles that one sees through - fords, reefs, sunken castles - lie on water, others on earth.
        """
        base = code.partition("^")[0]
        tile = self._choose(base, place)
        if tile is None:
            return self.void
        if base == _EARTH or not tile.see_through:
            return tile
        wet = base.startswith("W") or base[2:3] == "w"
        below = self._choose(_WATER if wet else _EARTH, place) or self.void
        image = Image.alpha_composite(below.image, tile.image)
        return Tile(image, below.seen | tile.seen)

    def overlay(self, code: str, place: tuple[str, int, int]) -> Tile | None:
        """The picture of what lies above, or None."""
        _, _, overlay = code.partition("^")
        if not overlay or overlay[1:] == "ov" or overlay.startswith("_"):
            return None
        whole = self._choose(code, place)  # such as forested hills, which have one of their own
        return whole or self._choose(f"^{overlay}", place)

    def _choose(self, code: str, place: tuple[str, int, int]) -> Tile | None:
        image = self._images.get(code)
        if image is None:
            return None
        if image not in self._cached:
            self._cached[image] = self._load(image)
        choices = self._cached[image]
        return choices[zlib.crc32(repr(place).encode()) % len(choices)] if choices else None

    def _load(self, image: str) -> list[Tile]:
        """The tile and its variants: grass/green-symbol is also grass/green, green2, green3 ..."""
        stem = re.sub(r"-(tile|symbol)$", "", image)
        names = [image] if stem == image else []
        variants = [stem] + [f"{stem}{number}" for number in range(2, 10)]
        names += [name for name in variants if name not in names]
        found = [tile for name in names if (tile := self._read(name)) is not None]
        if not found and (symbol := self._read(image)) is not None:
            found = [symbol]
        return found

    def _read(self, name: str) -> Tile | None:
        path = self._folder / f"{name}.png"
        if not path.is_file():
            return None
        image = open_image(path.read_bytes(), str(path)).convert("RGBA")
        if image.size != (_TILE, _TILE):
            return None
        return Tile(image, np.asarray(image)[:, :, 3] > 127)


def draw_map(codes: list[list[str]], tiles: Tiles) -> tuple[np.ndarray, np.ndarray]:
    """Picture uint8 [H, W, 3] and label map uint8 [H, W] of a map of hexagons.

    Columns 0, 2, 4 ... lie half a hexagon lower. The zigzag of the outer borders is cut off.
    """
    rows, columns = len(codes), len(codes[0])
    size = columns * _STEP + _TILE - _STEP, rows * _TILE + _TILE // 2
    inside = _TILE - _STEP, _TILE // 2, columns * _STEP, rows * _TILE
    canvas = Image.new("RGBA", size)
    owners = np.full(size[::-1], -1, dtype=np.int32)  # which hexagon each pixel belongs to
    classes: list[int] = []
    above: list[tuple[int, int, Tile, int | None]] = []
    for row, line in enumerate(codes):
        for column, code in enumerate(line):
            top, left = row * _TILE + (column % 2 == 0) * _TILE // 2, column * _STEP
            label, over = label_of(code)
            tile = tiles.base(code, (code, row, column))
            canvas.alpha_composite(tile.image, (left, top))
            owners[top : top + _TILE, left : left + _TILE][tile.seen] = len(classes)
            if (upper := tiles.overlay(code, (code, row, column))) is not None:
                above.append((left - inside[0], top - inside[1], upper, over))
            classes.append(over if over is not None and CLASSES[over] in _WHOLE else label)
    colours = np.array(canvas.crop(inside))[:, :, :3]
    owners = owners[inside[1] : inside[3], inside[0] : inside[2]]
    _grow(colours, owners)
    labels = np.array(classes, dtype=np.uint8)[owners]
    canvas = Image.fromarray(colours).convert("RGBA")
    for left, top, tile, over in above:
        piece = tile.image.crop((max(-left, 0), max(-top, 0), _TILE, _TILE))
        canvas.alpha_composite(piece, (max(left, 0), max(top, 0)))
        if over is not None and CLASSES[over] not in _WHOLE:
            seen = tile.seen[max(-top, 0) :, max(-left, 0) :]
            place = labels[max(top, 0) : top + _TILE, max(left, 0) : left + _TILE]
            place[seen[: place.shape[0], : place.shape[1]]] = over
    return np.array(canvas)[:, :, :3], labels


def _grow(colours: np.ndarray, owners: np.ndarray) -> None:
    """Gives pixels in seams between hexagons to a neighbour, in place."""
    height, width = owners.shape
    y, x = np.nonzero(owners < 0)
    while y.size:
        found = np.full(y.size, -1, dtype=owners.dtype)
        for down, right in ((0, -1), (0, 1), (-1, 0), (1, 0)):
            near_y, near_x = (y + down).clip(0, height - 1), (x + right).clip(0, width - 1)
            owner = owners[near_y, near_x]
            take = (found < 0) & (owner >= 0)
            found[take] = owner[take]
            colours[y[take], x[take]] = colours[near_y[take], near_x[take]]
        if (found < 0).all():  # nothing is drawn at all
            owners[y, x] = 0
            return
        owners[y, x] = found
        y, x = y[found < 0], x[found < 0]


@lru_cache(maxsize=1)
def _hexagon() -> np.ndarray:
    """The pixels of a hexagon whose neighbours lie 54 pixels across and 36 down; bool [72, 72]."""
    y, x = np.mgrid[0:_TILE, 0:_TILE] + 0.5 - _TILE / 2
    return (np.abs(y) < _TILE / 2) & (np.abs(x) * 2 + np.abs(y) < _TILE)


def _windows(path: Path, tiles: Tiles) -> Iterator[tuple[Path, int, int]]:
    """(map, left, top) of the windows that show something."""
    codes = read_map(path)
    if not codes:
        return
    void = np.array([[label_of(code)[0] == _WALL for code in row] for row in codes])
    height, width = len(codes) * _TILE - _TILE // 2, (len(codes[0]) - 1) * _STEP
    for top in range(0, height - WINDOW + 1, WINDOW):
        for left in range(0, width - WINDOW + 1, WINDOW):
            columns = slice(left // _STEP, (left + WINDOW) // _STEP + 1)
            rows = slice(top // _TILE, (top + WINDOW) // _TILE + 1)
            if void[rows, columns].mean() <= _MOST_VOID:
                yield path, left, top


def _find_data(folder: str | os.PathLike[str] | None) -> Path:
    if folder is None:
        places = [Path(place) for place in sorted(glob.glob(INSTALLED), reverse=True)]
    else:
        places = [Path(folder), *(Path(p) for p in sorted(glob.glob(f"{folder}/*")))]
    for place in places:
        for data in (place / "data", place):
            if (data / "core" / "terrain.cfg").is_file():
                return data
    where = INSTALLED if folder is None else str(folder)
    raise DataError(
        f"no core/terrain.cfg of The Battle for Wesnoth in {where}; install its data (Debian: "
        "apt-get install wesnoth-1.16-data) or give their folder"
    )


def _value(block: str, key: str) -> str:
    """Value of a key in a block of the game's configuration language, without ~functions()."""
    match = re.search(rf"^\s*{key}\s*=\s*(.*?)\s*(?:#.*)?$", block, re.MULTILINE)
    return match[1].strip('"').split("~")[0].split(":")[0] if match else ""
