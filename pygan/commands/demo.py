"""`pygan demo`: minutes of StyleGAN2."""

from __future__ import annotations

from pathlib import Path

from pygan.commands.parser import Parser
from pygan.commands.process import prepare_process
from pygan.errors import InputError


def run(argv: list[str]) -> int:
    parser = Parser(prog="pygan demo", description="Trains StyleGAN2 on emoji for some minutes.")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder (default demo)")
    parser.add_argument("--minutes", type=float, default=6.0, help="of training (default 6)")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier demo")
    options = parser.parse_args(argv)
    if not options.minutes > 0:
        raise InputError(f"--minutes: must be positive, got {options.minutes}")
    prepare_process(0)

    from pygan.apps.demo import run_demo

    picture = run_demo(options.out, options.minutes, options.overwrite)
    print(
        f"Reals, samples before and samples after training: {picture}; the run is in "
        f"{options.out}/; train on with: pygan resume {options.out} --max-minutes 60"
    )
    return 0
