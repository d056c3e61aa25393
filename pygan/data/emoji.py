"""Colour emoji from the bitmap (CBDT) build of Google's Noto Color Emoji font.

The images and classes are those of assets/emoji-classes.txt: every emoji of Unicode 15.0 without
skin-tone variants, in nine groups. A font file is needed only to rebuild the embedded dataset, so
fontTools is imported when a font is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from PIL import Image

from .errors import DataError, ImageError
from .imaging import open_image
from .source import Source, SourceImage

_PRESENTATION_SELECTOR = 0xFE0F


@lru_cache(maxsize=1)
def emoji_classes() -> dict[str, list[tuple[int, ...]]]:
    """Code-point sequences (without U+FE0F) of every emoji of the set, by class name."""
    text = resources.files(__package__).joinpath("assets/emoji-classes.txt").read_text("utf-8")
    classes: dict[str, list[tuple[int, ...]]] = {}
    current: list[tuple[int, ...]] = []
    for line in text.splitlines():
        if line.startswith("["):
            current = classes.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            for word in line.split():
                current.append(tuple(int(code, 16) for code in word.split("_")))
    return classes


def emoji_source(path: Path) -> Source:
    """The emoji of a Noto Color Emoji font (NotoColorEmoji.ttf with CBDT bitmaps), RGBA 136x128.

    Images are named emoji_u<code points>, as in the Noto project.

    Raises:
        DataError: fontTools is missing, or the font has no colour bitmaps.
    """
    bitmaps, lookup = _read_font(path)
    entries = [
        (sequence, label)
        for label, sequences in enumerate(emoji_classes().values())
        for sequence in sequences
    ]

    def opener(sequence: tuple[int, ...], name: str) -> Callable[[], Image.Image]:
        def open_() -> Image.Image:
            glyph = lookup.get(sequence)
            if glyph is None or glyph not in bitmaps:
                raise ImageError(name, "is not in the font")
            return open_image(bytes(bitmaps[glyph].imageData), name)

        return open_

    def images() -> Iterator[SourceImage]:
        for sequence, label in entries:
            stem = "emoji_u" + "_".join(f"{code:04x}" for code in sequence)
            name = f"{path}:{stem}"
            yield SourceImage(name, opener(sequence, name), label, stem)

    return Source(f"font {path.name}", 3, list(emoji_classes()), len(entries), images)


def _read_font(path: Path) -> tuple[dict[str, Any], dict[tuple[int, ...], str]]:
    """(bitmap by glyph name, glyph name by code-point sequence)."""
    try:
        from fontTools.ttLib import TTFont, TTLibError
    except ImportError:
        raise DataError(
            f"reading {path} needs the package fontTools; install it: pip install fonttools"
        ) from None
    try:
        font = TTFont(path)
        if "CBDT" not in font:
            raise DataError(
                f"{path} has no colour bitmaps (CBDT table); use the NotoColorEmoji.ttf "
                "of Debian's fonts-noto-color-emoji"
            )
        bitmaps = font["CBDT"].strikeData[0]
        characters: dict[int, str] = font.getBestCmap()
        table = font["GSUB"].table
    except (TTLibError, OSError, KeyError) as error:
        raise DataError(f"{path} is not a usable font ({error})") from error
    lookup: dict[tuple[int, ...], str] = {(code,): name for code, name in characters.items()}
    code_of = {glyph: code for code, glyph in characters.items()}
    for rule in table.LookupList.Lookup:
        for subtable in rule.SubTable:
            for first, ligatures in getattr(subtable, "ligatures", {}).items():
                for ligature in ligatures:
                    codes = [code_of.get(glyph) for glyph in (first, *ligature.Component)]
                    if None in codes:
                        continue
                    sequence = tuple(c for c in codes if c not in (None, _PRESENTATION_SELECTOR))
                    lookup.setdefault(sequence, ligature.LigGlyph)
    return bitmaps, lookup
