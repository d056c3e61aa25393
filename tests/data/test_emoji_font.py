"""Reading emoji from a font: a tiny one made here, and the real one where it is installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_images import encoded, random_pixels

from pygan.data import DataError, build_dataset, open_dataset
from pygan.data.emoji import emoji_classes
from pygan.data.sources import open_source

NOTO = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")

GRINNING = (0x1F600,)
FAMILY = (0x1F468, 0x200D, 0x1F469, 0x200D, 0x1F466)


@pytest.fixture
def font(tmp_path: Path) -> Path:
    """A font with two emoji: one character, and one ligature of five."""
    pytest.importorskip("fontTools")
    from fontTools.feaLib.builder import addOpenTypeFeaturesFromString
    from fontTools.fontBuilder import FontBuilder
    from fontTools.ttLib import newTable
    from fontTools.ttLib.tables.BitmapGlyphMetrics import SmallGlyphMetrics
    from fontTools.ttLib.tables.C_B_D_T_ import cbdt_bitmap_format_17
    from fontTools.ttLib.tables.E_B_L_C_ import (
        BitmapSizeTable,
        SbitLineMetrics,
        Strike,
        eblc_index_sub_table_1,
    )

    codes = {f"u{code:X}": code for code in sorted({*GRINNING, *FAMILY, 0xFE0F})}
    glyphs = [".notdef", *codes, "family"]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(glyphs)
    builder.setupCharacterMap({code: name for name, code in codes.items()})
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (1000, 0)))
    builder.setupHorizontalHeader()
    builder.setupNameTable({"familyName": "Tiny", "styleName": "Regular"})
    builder.setupPost()
    ligature = "u1F468 u200D u1F469 u200D u1F466"
    addOpenTypeFeaturesFromString(
        builder.font, f"feature ccmp {{ sub {ligature} by family; }} ccmp;"
    )

    def bitmap(seed: int) -> cbdt_bitmap_format_17:
        glyph = cbdt_bitmap_format_17(b"", builder.font)
        glyph.metrics = SmallGlyphMetrics()
        for name in ("height", "width", "BearingX", "BearingY", "Advance"):
            setattr(glyph.metrics, name, 8)
        glyph.imageData = encoded(random_pixels(seed, 8, 10, 4))
        return glyph

    data = newTable("CBDT")
    data.version = 3.0
    data.strikeData = [{"u1F600": bitmap(1), "family": bitmap(2)}]
    strike = Strike()
    strike.bitmapSizeTable = BitmapSizeTable()
    for name in ("hori", "vert"):
        metrics = SbitLineMetrics()
        for field in ("ascender", "descender", "widthMax", "minOriginSB", "minAdvanceSB"):
            setattr(metrics, field, 0)
        for field in ("caretSlopeNumerator", "caretSlopeDenominator", "caretOffset"):
            setattr(metrics, field, 0)
        for field in ("maxBeforeBL", "minAfterBL", "pad1", "pad2"):
            setattr(metrics, field, 0)
        setattr(strike.bitmapSizeTable, name, metrics)
    size = strike.bitmapSizeTable
    size.colorRef, size.flags, size.bitDepth, size.ppemX, size.ppemY = 0, 1, 32, 10, 8
    size.startGlyphIndex = size.endGlyphIndex = 0
    for name in ("u1F600", "family"):
        index = eblc_index_sub_table_1(b"", builder.font)
        index.names, index.imageFormat, index.indexFormat, index.imageSize = [name], 17, 1, 0
        index.firstGlyphIndex = index.lastGlyphIndex = glyphs.index(name)
        strike.indexSubTables.append(index)
    location = newTable("CBLC")
    location.version = 3.0
    location.strikes = [strike]
    builder.font["CBDT"], builder.font["CBLC"] = data, location
    path = tmp_path / "tiny.ttf"
    builder.save(path)
    return path


def test_characters_and_ligatures(font: Path, tmp_path: Path) -> None:
    source = open_source(font)
    assert source.classes == list(emoji_classes())
    assert source.count == 1861
    report = build_dataset(font, tmp_path / "d.zip", size=(10, 10), crop="fit")
    assert report.count == 2
    assert report.num_classes == 9
    assert len(report.skipped) == 1859
    assert report.skipped[0][1] == "is not in the font"
    dataset = open_dataset(tmp_path / "d.zip")
    assert dataset.name(0).endswith("img00000000_emoji_u1f600.png")
    assert dataset.name(1).endswith("img00000001_emoji_u1f468_200d_1f469_200d_1f466.png")
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [0, 1]
    images, _ = dataset.load([0, 1])
    for image, seed in zip(images, (1, 2)):
        rgba = random_pixels(seed, 8, 10, 4).astype(float)
        alpha = rgba[..., 3:] / 255
        expected = rgba[..., :3] * alpha + 255 * (1 - alpha)
        assert np.abs(image[:, 1:9].transpose(1, 2, 0) - expected).max() <= 1
        assert (image[:, [0, 9]] == 255).all()


def test_unusable_fonts(tmp_path: Path) -> None:
    pytest.importorskip("fontTools")
    path = tmp_path / "x.ttf"
    path.write_bytes(b"no font")
    with pytest.raises(DataError, match="is not a usable font"):
        open_source(path)


def test_missing_fonttools_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fontTools.ttLib", None)
    path = tmp_path / "x.ttf"
    path.write_bytes(b"")
    with pytest.raises(DataError, match="pip install fonttools"):
        open_source(path)


def test_classes_are_well_formed() -> None:
    sequences = [s for group in emoji_classes().values() for s in group]
    assert len(sequences) == len(set(sequences)) == 1861
    codes = {code for sequence in sequences for code in sequence}
    assert not codes & set(range(0x1F3FB, 0x1F400))  # no skin tones
    assert 0xFE0F not in codes


@pytest.mark.skipif(not NOTO.exists(), reason="needs Debian's fonts-noto-color-emoji")
def test_embedded_set_is_the_font_s(tmp_path: Path) -> None:
    pytest.importorskip("fontTools")
    from fontTools.ttLib import TTFont

    if "Version 2.042" not in str(TTFont(NOTO)["name"].getDebugName(5)):
        pytest.skip("needs version 2.042 of the font")
    report = build_dataset(NOTO, tmp_path / "d.zip", size=64, crop="fit", max_images=40)
    ours = open_dataset(report.dest).load(range(40))[0]
    np.testing.assert_array_equal(ours, open_dataset("emoji").load(range(40))[0])
