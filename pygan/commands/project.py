"""`pygan project`: find the code of an image."""

from __future__ import annotations

import shutil
from pathlib import Path

from pygan.commands.parser import Parser, Progress
from pygan.commands.process import prepare_process
from pygan.errors import InputError


def run(argv: list[str]) -> int:
    parser = Parser(
        prog="pygan project",
        description="Finds the code and the noise from which a model draws an image.",
    )
    parser.add_argument("source", metavar="RUN", help="a run, a checkpoint or G_ema.safetensors")
    parser.add_argument("target", metavar="IMAGE", type=Path, help="the image")
    parser.add_argument("--out", type=Path, help="folder to write to (default RUN/projected/IMAGE)")
    parser.add_argument(
        "--space",
        choices=("w", "w+"),
        default="w",
        help="w, one code for all layers (default), or w+, one code per layer: closer to the "
        "image, further from what was trained",
    )
    parser.add_argument(
        "--perceptual",
        help="distance to minimise (default: the best that 'pygan weights list' shows as "
        "installed); pixels needs no weights",
    )
    parser.add_argument("--steps", type=int, default=1000, help="of the optimiser (default 1000)")
    parser.add_argument("--lr", type=float, default=0.1, help="its learning rate (default 0.1)")
    parser.add_argument(
        "--noise",
        choices=("optimize", "const"),
        default="optimize",
        help="optimize the noise maps, too (default), or leave the model's own (const)",
    )
    parser.add_argument(
        "--noise-weight", type=float, default=1e5, help="of their regularisation (default 1e5)"
    )
    parser.add_argument("--samples", type=int, default=10000, help="for the mean (default 10000)")
    parser.add_argument("--seed", type=int, default=0, help="of all random numbers (default 0)")
    parser.add_argument("--class", dest="label", type=int, help="class whose mean is the start")
    parser.add_argument(
        "--crop", default="center", help="center (default), none, center-wide, fit, stretch or pad"
    )
    parser.add_argument("--background", default="white", help="behind transparent pixels")
    parser.add_argument(
        "--video",
        choices=("auto", "mp4", "gif", "none"),
        default="auto",
        help="auto (default): mp4 where there is ffmpeg, gif elsewhere",
    )
    parser.add_argument("--zoom", type=int, default=1, help="enlarge the video (default 1)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all cores)")
    options = parser.parse_args(argv)
    if options.zoom < 1:
        raise InputError(f"--zoom: must be at least 1, got {options.zoom}")
    if not 0 <= options.seed < 2**32:
        raise InputError(f"--seed: must be from 0 to 2^32 - 1, got {options.seed}")
    source = Path(options.source)
    folder = source if source.is_dir() else source.parent
    out = options.out or folder / "projected" / options.target.stem
    video = options.video
    if video == "auto":
        video = "mp4" if shutil.which("ffmpeg") else "gif"
    prepare_process(options.threads)

    from pygan.apps.perceptual import find_distance
    from pygan.apps.project import read_target, write_projection
    from pygan.apps.projection import ProjectionOptions
    from pygan.apps.sample import load_model

    settings = ProjectionOptions(
        space=options.space,
        steps=options.steps,
        learning_rate=options.lr,
        noise=options.noise,
        noise_weight=options.noise_weight,
        samples=options.samples,
        seed=options.seed,
    )
    model = load_model(source)
    shape = model.data.image_shape
    target = read_target(options.target, shape, options.crop, options.background)
    distance = find_distance(options.perceptual)
    with Progress("step") as progress:
        report = write_projection(
            model,
            target,
            out,
            distance,
            settings,
            label=options.label,
            video=None if video == "none" else video,
            zoom=options.zoom,
            progress=progress,
        )
    closeness = "equal" if report["psnr"] is None else f"{report['psnr']:.2f} dB"
    print(f"{report['distance']} {report['value']:.4f}, PSNR {closeness}: {out / 'comparison.png'}")
    return 0
