"""`pygan sample`: draw images."""

from __future__ import annotations

from pathlib import Path

from pygan.commands.parser import Parser
from pygan.commands.process import prepare_process
from pygan.errors import InputError


def run(argv: list[str]) -> int:
    parser = Parser(prog="pygan sample", description="Draws images from a trained model.")
    parser.add_argument("source", metavar="RUN", help="a run, a checkpoint or G_ema.safetensors")
    parser.add_argument("--seeds", help="such as 0-63 or 3,8,10-12 (default 0-15)")
    parser.add_argument("--w", type=Path, help="draw the codes of this .npz file instead of seeds")
    parser.add_argument(
        "--trunc",
        default="1",
        help="truncation psi (default 1); several, as in --trunc=-1,0,0.5,1, make a table",
    )
    parser.add_argument("--class", dest="label", type=int, help="class, for conditional models")
    parser.add_argument(
        "--noise",
        choices=("const", "random", "none"),
        help="(default const; with --w, the file's own if it has any)",
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
    if options.w is not None:
        given = {"--seeds": options.seeds is not None, "--class": options.label is not None}
        given["--noise random"] = options.noise == "random"
        for name in (name for name, is_given in given.items() if is_given):
            raise InputError(f"{name}: has no meaning for the codes of a file; leave out {name}")
    prepare_process(options.threads)

    from pygan.apps import codes, sample

    truncations = sample.parse_truncations(options.trunc)
    source = Path(options.source)
    out = options.out or (source if source.is_dir() else source.parent) / "generated"
    shared = {"columns": options.columns, "singles": not options.grid, "batch": options.batch}
    if options.w is not None:
        if len(truncations) > 1:
            raise InputError("--trunc: takes one psi for the codes of a file")
        model = sample.load_model(source)
        shared.update(truncation=truncations[0], noise=options.noise)
        paths = codes.write_drawn(model, options.w, out, **shared)
        print(f"images of {options.w}: {paths[-1]}")
        return 0
    seeds = sample.parse_seeds(options.seeds or "0-15")
    drawing = {"label": options.label, "noise": options.noise or "const"}
    if len(truncations) > 1:
        drawing["batch"] = options.batch
        path = sample.write_truncations(source, seeds, truncations, out, **drawing)
        print(f"{len(seeds)} seeds with {len(truncations)} psi: {path}")
        return 0
    paths = sample.write_samples(source, seeds, out, truncation=truncations[0], **shared, **drawing)
    print(f"{len(seeds)} images: {paths[-1]}")
    return 0
