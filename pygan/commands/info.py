"""`pygan info`: versions, operators, GPU."""

from __future__ import annotations

from pygan.commands.parser import Parser
from pygan.commands.process import prepare_process


def run(argv: list[str]) -> int:
    Parser(prog="pygan info", description="Tells what this installation has.").parse_args(argv)
    prepare_process(0)

    from pygan.apps.info import describe

    print("\n".join(describe()))
    return 0
