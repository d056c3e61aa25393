"""`pygan import`: make a run of another project's checkpoint."""

from __future__ import annotations

from pathlib import Path

from pygan.commands.parser import Parser
from pygan.commands.process import prepare_process


def run(argv: list[str]) -> int:
    parser = Parser(prog="pygan import", description="Makes a run of another project's checkpoint.")
    parser.add_argument("file", metavar="FILE", type=Path, help=".pkl, .pt, .pth or .pdparams")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to make")
    parser.add_argument(
        "--force", action="store_true", help="accept missing and unexpected tensors"
    )
    parser.add_argument(
        "--discriminator", metavar="FILE", type=Path, help="that of D, where each network has one"
    )
    options = parser.parse_args(argv)
    prepare_process(0)

    from pygan.apps.convert import import_file

    print("\n".join(import_file(options.file, options.out, options.force, options.discriminator)))
    return 0
