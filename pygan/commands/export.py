"""`pygan export`: write a run as another project's checkpoint."""

from __future__ import annotations

from pathlib import Path

from pygan.commands.parser import Parser
from pygan.commands.process import prepare_process


def run(argv: list[str]) -> int:
    parser = Parser(
        prog="pygan export", description="Writes the weights of a run for another project."
    )
    parser.add_argument("source", metavar="RUN", type=Path, help="a run or a checkpoint")
    parser.add_argument("out", metavar="FILE", type=Path, help="the file to write")
    parser.add_argument(
        "--format", choices=("rosinality",), default="rosinality", help="whose (default rosinality)"
    )
    options = parser.parse_args(argv)
    prepare_process(0)

    from pygan.apps.convert import export_run

    print("\n".join(export_run(options.source, options.out, options.format)))
    return 0
