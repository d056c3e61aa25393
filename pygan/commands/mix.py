"""`pygan mix`: style mixing."""

from __future__ import annotations

import math
from pathlib import Path

from pygan.commands.parser import Parser
from pygan.commands.process import prepare_process
from pygan.errors import InputError


def run(argv: list[str]) -> int:
    parser = Parser(
        prog="pygan mix",
        description="Mixes styles: each image takes some layers' codes from its column, the rest "
        "from its row.",
    )
    parser.add_argument("source", metavar="RUN", help="a run, a checkpoint or G_ema.safetensors")
    parser.add_argument("--rows", default="0-3", help="seeds and .npz files (default 0-3)")
    parser.add_argument("--cols", default="4-9", help="seeds and .npz files (default 4-9)")
    parser.add_argument(
        "--styles",
        default="coarse",
        help="layers from the columns: coarse (0-3, default), middle (4-7), fine (8 and above), "
        "or numbers such as 0-6",
    )
    parser.add_argument("--trunc", type=float, default=1.0, help="truncation psi (default 1)")
    parser.add_argument("--class", dest="label", type=int, help="class, for conditional models")
    parser.add_argument(
        "--noise", choices=("const", "none"), default="const", help="(default const)"
    )
    parser.add_argument("--out", type=Path, help="picture to write (default RUN/mix.png)")
    parser.add_argument("--batch", type=int, default=8, help="images at a time (default 8)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all cores)")
    options = parser.parse_args(argv)
    if options.batch < 1:
        raise InputError(f"--batch: must be at least 1, got {options.batch}")
    if not math.isfinite(options.trunc):
        raise InputError(f"--trunc: must be finite, got {options.trunc}")
    source = Path(options.source)
    out = options.out or (source if source.is_dir() else source.parent) / "mix.png"
    if out.suffix.lower() != ".png":
        raise InputError(f"--out: must end in .png, got {out}")
    prepare_process(options.threads)

    from pygan.apps.mix import mixing_picture
    from pygan.apps.sample import load_model
    from pygan.training.grid import save_png

    picture = mixing_picture(
        load_model(source),
        options.rows,
        options.cols,
        options.styles,
        label=options.label,
        truncation=options.trunc,
        noise=options.noise,
        batch=options.batch,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    save_png(picture, out)
    print(f"styles {options.styles} of the columns: {out}")
    return 0
