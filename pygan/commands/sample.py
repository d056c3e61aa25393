"""`pygan sample`: draw images."""

from __future__ import annotations

from pathlib import Path

from pygan.commands.parser import Parser
from pygan.commands.process import prepare_process
from pygan.errors import InputError


def run(argv: list[str]) -> int:
    parser = Parser(prog="pygan sample", description="Draws images from a trained model.")
    parser.add_argument("source", metavar="RUN", help="a run, a checkpoint or G_ema.safetensors")
    parser.add_argument("--seeds", default="0-15", help="such as 0-63 or 3,8,10-12 (default 0-15)")
    parser.add_argument("--trunc", type=float, default=1.0, help="truncation psi (default 1)")
    parser.add_argument("--class", dest="label", type=int, help="class, for conditional models")
    parser.add_argument(
        "--noise", choices=("const", "random", "none"), default="const", help="(default const)"
    )
    parser.add_argument("--out", type=Path, help="folder to write to (default RUN/generated)")
    parser.add_argument("--columns", type=int, help="columns of grid.png (default: about square)")
    parser.add_argument("--grid", action="store_true", help="write grid.png only")
    parser.add_argument("--batch", type=int, default=8, help="images at a time (default 8)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all cores)")
    options = parser.parse_args(argv)
    for name in ("batch", "columns"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise InputError(f"--{name}: must be at least 1, got {value}")
    prepare_process(options.threads)

    from pygan.apps.sample import parse_seeds, write_samples

    seeds = parse_seeds(options.seeds)
    source = Path(options.source)
    out = options.out or (source if source.is_dir() else source.parent) / "generated"
    paths = write_samples(
        source,
        seeds,
        out,
        columns=options.columns,
        singles=not options.grid,
        label=options.label,
        truncation=options.trunc,
        noise=options.noise,
        batch=options.batch,
    )
    print(f"{len(seeds)} images: {paths[-1]}")
    return 0
