"""`pygan data`: make datasets."""

from __future__ import annotations

import argparse
from typing import Any

from pygan.commands.parser import Parser, Progress, first_line
from pygan.errors import InputError

# fmt: off
_OF_SOURCES = (
    "source", "direction", "split", "image_dir", "label_dir", "instance_dir", "source_dir",
    "count", "seed", "folder", "image", "atlas", "planes", "kind", "sigma", "low", "high",
)
# fmt: on
"""Options that say what to make pairs of; all others are PairOptions."""


def run(argv: list[str]) -> int:
    parser = Parser(prog="pygan data", description="Makes datasets.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    build = commands.add_parser("build", help="bring images to one size, in one archive")
    build.add_argument("source", metavar="SOURCE", help="folder, archive, MNIST or CIFAR files ...")
    build.add_argument("dest", metavar="DEST", help="the .zip to write")
    build.add_argument("--size", help="N or WIDTHxHEIGHT (default: as the images are)")
    build.add_argument("--crop", help="none, center, center-wide, fit, stretch or pad")
    build.add_argument("--labels", help="auto (default), folders or none")
    build.add_argument("--split", help="train (default) or test, where the source has both")
    _common(build)

    pairs = commands.add_parser("pairs", help="pairs of images: side by side, or in folders")
    pairs.add_argument("source", metavar="SOURCE", help="A|B images, or folders image/, label/ ...")
    pairs.add_argument("dest", metavar="DEST", help="the .zip to write")
    pairs.add_argument("--direction", help="AtoB (default) or BtoA, where there is A and B")
    pairs.add_argument("--split", help="train (default), val, test ..., where there are folders")
    for kind in ("image", "label", "instance", "source"):
        pairs.add_argument(f"--{kind}-dir", help=f"folder of {kind} files within SOURCE")
    pairs.add_argument("--label-count", type=int, help="classes (default: the largest id plus 1)")
    pairs.add_argument("--dont-care", type=int, help="id of one more class, such as 255")
    _paired(pairs)

    scenes = commands.add_parser("scenes", help="drawn scenes with label and instance maps")
    scenes.add_argument("dest", metavar="DEST", help="the .zip to write")
    scenes.add_argument("--count", type=int, default=1000, help="how many (default 1000)")
    scenes.add_argument("--seed", type=int, default=0, help="other seeds draw others (default 0)")
    _paired(scenes)

    wesnoth = commands.add_parser("wesnoth", help="terrain maps of the game with their labels")
    wesnoth.add_argument("dest", metavar="DEST", help="the .zip to write")
    wesnoth.add_argument("--folder", help="of the game's data (default: where Debian puts them)")
    _paired(wesnoth)

    mri = commands.add_parser("mri", help="slices of a brain with the regions of an atlas")
    mri.add_argument("dest", metavar="DEST", help="the .zip to write")
    mri.add_argument("--folder", help="of both volumes (default: where Debian puts them)")
    mri.add_argument("--image", help="magnitudes, .nii or .nii.gz (default ch2.nii.gz)")
    mri.add_argument("--atlas", help="regions on the same grid (default aal.nii.gz)")
    mri.add_argument("--planes", help="some of axial,coronal,sagittal (default: all)")
    _paired(mri)

    edges = commands.add_parser("edges", help="images with their edges, or in grey")
    edges.add_argument("source", metavar="SOURCE", help="folder, archive, ... as for build")
    edges.add_argument("dest", metavar="DEST", help="the .zip to write")
    edges.add_argument("--kind", help="canny (default) or grey")
    edges.add_argument("--sigma", type=float, help="blur before, in pixels (default 1)")
    edges.add_argument("--low", type=float, help="slope where lines go on (default 0.1)")
    edges.add_argument("--high", type=float, help="slope where lines begin (default 0.25)")
    _paired(edges)
    options = vars(parser.parse_args(argv))

    from pygan.data import DataError, build_dataset, build_pairs

    command, dest = options.pop("command"), options.pop("dest")
    given = {name: value for name, value in options.items() if value is not None}
    try:
        with Progress("img") as progress:
            if command == "build":
                source = given.pop("source")
                report = build_dataset(source, dest, progress=progress, **given)
            else:
                of_source = {name: given.pop(name) for name in _OF_SOURCES if name in given}
                pair_source = _open(command, of_source, given)
                report = build_pairs(pair_source, dest, progress=progress, **given)
    except (DataError, OSError) as error:
        raise InputError(first_line(error)) from None
    print(report)
    return 0


def _open(command: str, given: dict[str, Any], options: dict[str, Any]) -> Any:
    """The source of pairs that a command makes a dataset of.

    Args:
        command: its name.
        given: what it says of the source.
        options: of the build; what the source itself does is taken out of them.
    """
    if command == "pairs":
        from pygan.data import open_pairs

        return open_pairs(given.pop("source"), **given)
    if command == "wesnoth":
        from pygan.data.wesnoth import wesnoth

        return wesnoth(**given)
    if command == "mri":
        from pygan.data.mri import mri

        if "planes" in given:
            given["planes"] = given["planes"].split(",")
        return mri(given.pop("folder", None), **given)
    if command == "edges":
        from pygan.data.edges import EdgeOptions, derived

        thresholds = {name: given.pop(name) for name in ("sigma", "low", "high") if name in given}
        size, crop = options.pop("size", None), options.pop("crop", None)
        source = given.pop("source")
        return derived(source, size=size, crop=crop, options=EdgeOptions(**thresholds), **given)
    from pygan.data.scenes import scenes
    from pygan.data.transforms import parse_size

    return scenes(size=parse_size(options.pop("size", 64)), **given)


def _paired(parser: argparse.ArgumentParser) -> None:
    """Options of everything that makes pairs."""
    parser.add_argument("--size", help="N or WIDTHxHEIGHT")
    parser.add_argument("--crop", help="none (default), center or stretch")
    parser.add_argument("--source-channels", type=int, help="of source images: 1, 3 or 4")
    _common(parser)


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--filter", help="lanczos (default), box, bicubic, bilinear, hamming, nearest"
    )
    parser.add_argument("--channels", type=int, help="1, 3 or 4 (default: as is natural)")
    parser.add_argument(
        "--background", help="behind transparent pixels and in bars (default white)"
    )
    parser.add_argument("--max-images", type=int, help="stop after so many")
    parser.add_argument("--on-error", help="skip (default) or fail")
    parser.add_argument("--encoding", help="png (default) or webp")
    parser.add_argument("--overwrite", action="store_true", default=None, help="replace DEST")
    parser.add_argument("--workers", type=int, help="threads (default: all cores)")
