"""`pygan data`: make datasets."""

from __future__ import annotations

from pygan.commands.parser import Parser, Progress, first_line
from pygan.errors import InputError


def run(argv: list[str]) -> int:
    parser = Parser(prog="pygan data", description="Makes datasets.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    build = commands.add_parser("build", help="bring images to one size, in one archive")
    build.add_argument("source", metavar="SOURCE", help="folder, archive, MNIST or CIFAR files ...")
    build.add_argument("dest", metavar="DEST", help="the .zip to write")
    build.add_argument("--size", help="N or WIDTHxHEIGHT (default: as the images are)")
    build.add_argument("--crop", help="none, center, center-wide, fit, stretch or pad")
    build.add_argument(
        "--filter", help="lanczos (default), box, bicubic, bilinear, hamming, nearest"
    )
    build.add_argument("--channels", type=int, help="1, 3 or 4 (default: as is natural)")
    build.add_argument("--background", help="behind transparent pixels and in bars (default white)")
    build.add_argument("--labels", help="auto (default), folders or none")
    build.add_argument("--split", help="train (default) or test, where the source has both")
    build.add_argument("--max-images", type=int, help="stop after so many")
    build.add_argument("--on-error", help="skip (default) or fail")
    build.add_argument("--encoding", help="png (default) or webp")
    build.add_argument("--overwrite", action="store_true", default=None, help="replace DEST")
    build.add_argument("--workers", type=int, help="threads (default: all cores)")
    options = vars(parser.parse_args(argv))

    from pygan.data import DataError, build_dataset

    del options["command"]
    source, dest = options.pop("source"), options.pop("dest")
    settings = {name: value for name, value in options.items() if value is not None}
    try:
        with Progress("img") as progress:
            report = build_dataset(source, dest, progress=progress, **settings)
    except (DataError, OSError) as error:
        raise InputError(first_line(error)) from None
    print(report)
    return 0
