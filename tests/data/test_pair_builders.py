"""What makes pairs: scenes, the game's maps, slices with an atlas, edges."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_images import encoded, random_pixels

from pygan.cli import main
from pygan.data import DataError, PairedDataset, Placed, build_pairs, open_dataset
from pygan.data.edges import EdgeOptions, canny, derived
from pygan.data.mri import mri, upright
from pygan.data.nifti import read_nifti
from pygan.data.scenes import CLASSES, scene, scenes
from pygan.data.wesnoth import CLASSES as TERRAINS
from pygan.data.wesnoth import label_of, read_map, wesnoth

MakeFolder = Callable[..., Path]


def test_scenes_are_functions_of_seed_and_number() -> None:
    first, same = scene(3, 5, 40, 30), scene(3, 5, 40, 30)
    np.testing.assert_array_equal(np.asarray(first.image), np.asarray(same.image))
    np.testing.assert_array_equal(first.labels, same.labels)
    for other in (scene(3, 6, 40, 30), scene(4, 5, 40, 30)):
        assert (np.asarray(first.image) != np.asarray(other.image)).mean() > 0.5


def test_scenes_have_every_class_and_whole_instances() -> None:
    seen: set[int] = set()
    for item in scenes(40, (24, 20)).pairs():
        pair = item.open()
        assert pair.labels is not None
        assert pair.instances is not None
        assert pair.labels.shape == pair.instances.shape == (20, 24)
        seen |= set(np.unique(pair.labels))
        background = np.isin(pair.labels, [CLASSES.index(n) for n in ("sky", "hill", "ground")])
        np.testing.assert_array_equal(background, pair.instances == 0)
        for number in np.unique(pair.instances[~background]):
            names = {CLASSES[label] for label in pair.labels[pair.instances == number]}
            assert names <= {"wall", "roof"} or names <= {"trunk", "leaves"} or len(names) == 1
    assert seen == set(range(len(CLASSES)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "count must be at least 1, not 0"),
        ({"count": 1, "size": 7}, "scenes need sides from 8 to 4096, not 7x7"),
        ({"count": 1, "seed": -1}, "seed must be from 0 to"),
    ],
)
def test_impossible_scenes_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        scenes(**options)


TERRAIN = """
# a comment
[terrain_type]
    symbol_image=grass-tile~SCALE(72,72)
    string=Gg
[/terrain_type]
[terrain_type]
    symbol_image="water"   # another
    string=Ww
[/terrain_type]
[terrain_type]
    symbol_image=ford
    string=Wwf
[/terrain_type]
[terrain_type]
    symbol_image=trees
    string=^Fp
[/terrain_type]
[terrain_type]
    symbol_image=house
    string=^Vh
[/terrain_type]
[terrain_type]
    symbol_image=missing
    string=Dd
[/terrain_type]
"""


def hexagon(colour: tuple[int, int, int], smaller: int = 0) -> np.ndarray:
    """A tile of one colour as the game's: rows of 36 to 72 pixels."""
    pixels = np.zeros((72, 72, 4), dtype=np.uint8)
    pixels[:, :, :3] = colour
    for row in range(smaller, 72 - smaller):
        half = 18 + min(row, 71 - row) // 2 - smaller
        pixels[row, 36 - half : 36 + half, 3] = 255
    return pixels


@pytest.fixture
def game(make_folder: MakeFolder) -> Path:
    """A small world: grass, a column of water, woods and a village."""
    rows = [["Gg", "Gg", "Ww", "Gg", "Gg", "Gg", "Gg"] for _ in range(5)]
    rows[2] = ["Gg", "Gg^Fp", "Ww", "1 Gg^Vh", "Gg^Kov", "Gg", "Dd"]
    rows[3][2] = "Wwf"
    text = "\n".join(", ".join(row) for row in rows)
    house = np.zeros((72, 72, 4), dtype=np.uint8)
    house[30:40, 20:50] = (200, 0, 0, 255)
    images = {
        "grass": hexagon((0, 200, 0)),
        "grass2": hexagon((0, 210, 0)),
        "water": hexagon((0, 0, 200), smaller=1),
        "trees": hexagon((0, 90, 0), smaller=9),
        "ford": hexagon((200, 200, 0)) // np.array([1, 1, 1, 2], dtype=np.uint8),
        "house": house,
    }
    return make_folder(
        {
            "1.16/data/core/terrain.cfg": TERRAIN.encode(),
            "1.16/data/campaigns/x/maps/small.map": b"border_size=1\n\n" + text.encode() + b"\n",
            "1.16/data/maps/void.map": "\n".join([", ".join(["Xu"] * 7)] * 5).encode(),
            **{f"1.16/data/core/images/terrain/{n}.png": p for n, p in images.items()},
        },
        "wesnoth",
    )


def test_maps_of_the_game(game: Path) -> None:
    source = wesnoth(game)
    assert source.count == 4  # windows in 360 x 324 pixels; nothing of the void
    items = list(source.pairs())
    rows = [np.concatenate([items[i].open().labels for i in (r, r + 1)], axis=1) for r in (0, 2)]  # type: ignore[arg-type]
    labels = np.concatenate(rows)
    pixels = [
        np.concatenate([np.asarray(items[i].open().image) for i in (r, r + 1)], 1) for r in (0, 2)
    ]
    picture = np.concatenate(pixels)
    assert picture.shape == (288, 288, 3)
    seen = {TERRAINS[label] for label in np.unique(labels)}
    assert seen == {"grass", "shallow water", "ford", "forest", "village"}
    # Windows begin at (18, 36); column 2 is centred at x = 2 * 54 + 36.
    names = np.array(TERRAINS)[labels]
    assert set(names[:, 144 - 18]) == {"shallow water", "ford"}
    ford = np.unique(picture[names == "ford"], axis=0)  # seen through to the water
    np.testing.assert_allclose(ford, [[100, 100, 100]], atol=1)
    assert (names[:, 144 - 18 - 54 + 8] != "shallow water").all()
    # Row 2 of odd columns lies at y = 144 ... 215, and of column 1 at x = 54 ... 125.
    assert names[180 - 36, 90 - 18] == "forest"
    assert names[180 - 36, 60 - 18] == "forest"  # trees are all of their hexagon
    wood = names == "forest"
    assert 0.9 < wood.sum() / (54 * 72) < 1.1
    village = names == "village"
    assert village.sum() == 300
    np.testing.assert_array_equal(np.unique(picture[village], axis=0), [[200, 0, 0]])
    water = names == "shallow water"
    np.testing.assert_array_equal(np.unique(picture[water], axis=0), [[0, 0, 200]])
    assert set(picture[names == "grass"][:, 1]) == {200, 210}  # both variants of the tile
    again = list(wesnoth(game / "1.16").pairs())[3].open()
    np.testing.assert_array_equal(np.asarray(again.image), np.asarray(items[3].open().image))


@pytest.mark.parametrize(
    ("code", "base", "over"),
    [
        ("Gg", "grass", None),
        ("Wo", "deep water", None),
        ("Wog^Bw|", "deep water", "bridge"),
        ("Wwf^Es", "ford", None),
        ("Wwrt", "shallow water", None),
        ("Mm^Xm", "mountains", None),
        ("Hh^Fp", "hills", "forest"),
        ("Gg^Kov", "grass", None),
        ("Gs^Vov", "grass", None),
        ("Re^Tf", "road", "mushrooms"),
        ("_off^_usr", "wall", None),
        ("", "wall", None),
    ],
)
def test_classes_of_terrain_codes(code: str, base: str, over: str | None) -> None:
    assert label_of(code) == (TERRAINS.index(base), None if over is None else TERRAINS.index(over))


def test_twenty_terrains(game: Path) -> None:
    assert len(TERRAINS) == len(set(TERRAINS)) == 20
    assert read_map(game / "1.16/data/campaigns/x/maps/small.map")[2][3] == "Gg^Vh"
    with pytest.raises(DataError, match=r"no core/terrain.cfg .* apt-get install wesnoth"):
        wesnoth(game / "1.16/data/maps")
    (game / "1.16/data/campaigns/x/maps/small.map").unlink()
    with pytest.raises(DataError, match="no maps with windows of 144x144"):
        wesnoth(game)


def nifti(values: np.ndarray, code: int, order: str = "<", **changes: Any) -> bytes:
    """A NIfTI-1 file, written from the format's description."""
    header = bytearray(352)
    struct.pack_into(f"{order}i", header, 0, 348)
    struct.pack_into(f"{order}8h", header, 40, 3, *values.shape, 1, 1, 1, 1)
    struct.pack_into(f"{order}2h", header, 70, code, values.dtype.itemsize * 8)
    struct.pack_into(f"{order}8f", header, 76, 1, 2, 3, 4, 0, 0, 0, 0)
    struct.pack_into(
        f"{order}3f", header, 108, 352, changes.get("slope", 0), changes.get("shift", 0)
    )
    struct.pack_into(f"{order}2h", header, 252, changes.get("qform", 0), changes.get("sform", 0))
    struct.pack_into(f"{order}6f", header, 256, *changes.get("quaternion", (0, 0, 0, 0, 0, 0)))
    struct.pack_into(f"{order}12f", header, 280, *range(12))
    header[344:348] = b"n+1\0"
    return bytes(header) + values.astype(values.dtype.newbyteorder(order)).tobytes(order="F")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("code", "dtype"),
    [
        (2, "u1"),
        (4, "i2"),
        (8, "i4"),
        (16, "f4"),
        (64, "f8"),
        (256, "i1"),
        (512, "u2"),
        (768, "u4"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_reads_volumes(tmp_path: Path, order: str, code: int, dtype: str, packed: bool) -> None:
    values = np.random.RandomState(0).randint(0, 100, (3, 4, 5)).astype(dtype)
    data = nifti(values, code, order)
    path = tmp_path / "v.nii"
    path.write_bytes(gzip.compress(data) if packed else data)
    volume = read_nifti(path)
    np.testing.assert_array_equal(volume.values, values)
    assert volume.values.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(volume.affine, [[2, 0, 0, 0], [0, 3, 0, 0], [0, 0, 4, 0]])


def test_scales_and_places_volumes(tmp_path: Path) -> None:
    values = np.arange(8, dtype=np.int16).reshape(2, 2, 2)
    path = tmp_path / "v.nii"
    path.write_bytes(nifti(values, 4, slope=0.5, shift=3, sform=1))
    np.testing.assert_array_equal(read_nifti(path).values, values * 0.5 + 3)
    np.testing.assert_array_equal(read_nifti(path).affine, np.arange(12).reshape(3, 4))
    half = np.sqrt(0.5)  # a quarter turn about z: x goes to y
    path.write_bytes(nifti(values, 4, qform=1, quaternion=(0, 0, half, 7, 8, 9)))
    expected = [[0, -3, 0, 7], [2, 0, 0, 8], [0, 0, 4, 9]]
    np.testing.assert_allclose(read_nifti(path).affine, expected, atol=1e-6)


def test_refuses_what_is_no_volume(tmp_path: Path) -> None:
    path = tmp_path / "v.nii"
    good = nifti(np.zeros((2, 3, 4), dtype=np.uint8), 2)
    for data, message in (
        (b"", "is not a NIfTI-1 file"),
        (good[:200], "is not a NIfTI-1 file"),
        (good[:-1], "is truncated: it holds fewer than 24 numbers"),
        (nifti(np.zeros((2, 3, 4), dtype=np.uint8), 128), "has numbers of type 128; legal are"),
        (gzip.compress(good)[:-30], "cannot be read"),
    ):
        path.write_bytes(data)
        with pytest.raises(DataError, match=message):
            read_nifti(path)
    with pytest.raises(FileNotFoundError):
        read_nifti(tmp_path / "none.nii")


@pytest.fixture
def brain(make_folder: MakeFolder) -> Path:
    """Voxels that say where they are; an atlas of one box."""
    x, y, z = np.mgrid[0:6, 0:8, 0:7]
    values = (x + 10 * y + 100 * (z % 2)).astype(np.uint8)
    atlas = np.zeros((6, 8, 7), dtype=np.uint8)
    atlas[2:5, 1:6, 2:4] = 3
    return make_folder(
        {
            "ch2.nii.gz": gzip.compress(nifti(values, 2)),
            "aal.nii.gz": gzip.compress(nifti(atlas, 2)),
            "aal.nii.txt": b"1 One 11\n3 Three 33\n",
            "scaled.nii": nifti(values.astype(np.float32) * 3, 16),
            "other.nii": nifti(atlas[:5], 2),
            "real.nii": nifti(atlas + np.float32(0.5), 16),
        },
        "brain",
    )


def test_slices_with_an_atlas(brain: Path, tmp_path: Path) -> None:
    source = mri(brain)
    assert source.label_names == ["nothing", "One", "region 2", "Three"]
    names = [item.name.split(", ")[1] for item in source.pairs()]
    assert names == [
        *(f"axial slice {z}" for z in (2, 3)),
        *(f"coronal slice {y}" for y in range(1, 6)),
        *(f"sagittal slice {x}" for x in (2, 3, 4)),
    ]
    pairs = [item.open() for item in source.pairs()]
    assert {pair.image.size for pair in pairs} == {(8, 8)}
    # Axial: x goes right from column 1, y goes up from the last row.
    picture, labels = np.asarray(pairs[0].image), pairs[0].labels
    assert labels is not None
    for x, y in ((2, 1), (4, 5), (0, 7)):
        assert picture[7 - y, 1 + x] == x + 10 * y
        assert labels[7 - y, 1 + x] == (0 if y == 7 else 3)
    assert labels.sum() == 3 * 3 * 5
    assert mri(brain, image="scaled.nii", planes=["coronal"]).count == 5
    report = build_pairs(source, tmp_path / "p.zip", size=4)
    assert (report.image_shape, report.condition) == ((1, 4, 4), "label maps of 4 classes")


def test_unsuitable_volumes_are_refused(brain: Path) -> None:
    with pytest.raises(DataError, match=r"other.nii \(5x8x7\) is not on the grid of .*\(6x8x7\)"):
        mri(brain, atlas="other.nii")
    with pytest.raises(DataError, match=r"real\.nii is no atlas"):
        mri(brain, atlas="real.nii")
    with pytest.raises(DataError, match=r"there is no .*ch3.nii; install the package"):
        mri(brain, image="ch3.nii")
    with pytest.raises(DataError, match="planes must be some of axial, coronal, sagittal"):
        mri(brain, planes=["oblique"])
    assert upright(np.array([[1, 2], [3, 4], [5, 6]]), 3).tolist() == [
        [2, 4, 6],
        [1, 3, 5],
        [0, 0, 0],
    ]


def canny_by_scipy(grey: np.ndarray, options: EdgeOptions) -> np.ndarray:
    """The same edges by other means: correlations, map_coordinates, connected components."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(
        grey, options.sigma, mode="nearest", radius=int(np.ceil(3 * options.sigma))
    )
    dx, dy = (ndimage.sobel(smooth, axis, mode="nearest") / 4 for axis in (1, 0))
    length = np.hypot(dx, dy)
    largest = np.maximum(np.maximum(np.abs(dx), np.abs(dy)), 1e-12)
    y, x = np.mgrid[: grey.shape[0], : grey.shape[1]]
    before, after = (
        ndimage.map_coordinates(
            length,
            [y + sign * dy / largest, x + sign * dx / largest],
            order=1,
            mode="grid-constant",
        )
        for sign in (-1, 1)
    )
    ridge = (length > after + 1e-12) & (length >= before - 1e-12)
    parts, _ = ndimage.label(ridge & (length > options.low), np.ones((3, 3)))
    wanted = np.unique(parts[ridge & (length > options.high)])
    return np.isin(parts, wanted[wanted > 0])


@pytest.mark.parametrize("shape", [(40, 52), (1, 9), (5, 1), (33, 32)])
@pytest.mark.parametrize("sigma", [0.7, 1.0, 2.3])
def test_edges_agree_with_scipy(shape: tuple[int, int], sigma: float) -> None:
    from scipy import ndimage

    random = np.random.RandomState(shape[0])
    grey = ndimage.gaussian_filter(random.rand(*shape), 2) * 4 % 1.0
    options = EdgeOptions(sigma, 0.08, 0.2)
    found, expected = canny(grey, options), canny_by_scipy(grey, options)
    assert (found != expected).mean() < 0.002  # ties by rounding
    if min(shape) > 30:
        assert 0.02 < found.mean() < 0.4


def test_edges_of_a_disc_are_a_thin_circle() -> None:
    y, x = np.mgrid[0:64, 0:64] - 31.5
    found = canny((np.hypot(x, y) < 20).astype(float))
    radii = np.hypot(x, y)[found]
    assert np.abs(radii - 20).max() < 1.1
    assert 2 * np.pi * 20 * 0.8 < found.sum() < 2 * np.pi * 20 * 1.2
    assert not canny(np.full((9, 9), 0.4)).any()


def test_images_with_edges_or_grey(make_folder: MakeFolder, tmp_path: Path) -> None:
    pixels = np.zeros((20, 30, 3), dtype=np.uint8)
    pixels[:, 15:] = 255
    folder = make_folder({"a.png": pixels, "b.jpg": encoded(random_pixels(1, 24, 24), "JPEG")})
    path = tmp_path / "p.zip"
    assert main(["data", "edges", str(folder), str(path), "--size", "16"]) == 0
    dataset = open_dataset(path)
    assert isinstance(dataset, PairedDataset)
    assert (dataset.source_channels, dataset.image_shape, len(dataset)) == (1, (3, 16, 16), 2)
    batch = dataset.pairs.load([Placed(0, 0, 0)])
    assert batch.sources is not None
    dark = np.flatnonzero((batch.sources[0, 0] == 0).all(axis=0))
    assert dark.size == 1
    assert dark[0] in (7, 8)
    assert set(np.unique(batch.sources)) == {0, 255}
    item = next(iter(derived(folder, "grey").pairs())).open()
    assert item.source is not None
    assert item.source.size == item.image.size == (30, 20)
    np.testing.assert_array_equal(np.asarray(item.source), pixels[:, :, 0])
    for options, message in (
        ({"kind": "hed"}, "kind must be one of canny, grey"),
        ({"options": EdgeOptions(sigma=-1)}, "sigma must be from 0 to 20"),
        ({"options": EdgeOptions(low=0.5)}, "thresholds must be 0 < low <= high, not 0.5 and 0.25"),
        ({"crop": "fit"}, "crop='fit' needs a size"),
    ):
        with pytest.raises(DataError, match=message):
            derived(folder, **options)  # type: ignore[arg-type]


def test_commands_make_maps_and_slices(game: Path, brain: Path, tmp_path: Path) -> None:
    for words, classes in (
        (["wesnoth", str(tmp_path / "w.zip"), "--folder", str(game)], 20),
        (["mri", str(tmp_path / "m.zip"), "--folder", str(brain), "--planes", "axial,coronal"], 4),
    ):
        assert main(["data", *words, "--size", "16"]) == 0
        dataset = open_dataset(words[1])
        assert isinstance(dataset, PairedDataset)
        assert dataset.label_count == classes
        assert dataset.label_names is not None
        assert len(dataset.label_names) == classes
