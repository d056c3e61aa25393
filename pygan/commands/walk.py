"""`pygan walk`: a video that walks through the space of codes."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from pygan.commands.parser import Parser, Progress
from pygan.commands.process import prepare_process
from pygan.errors import InputError


def run(argv: list[str]) -> int:
    parser = Parser(
        prog="pygan walk", description="Makes a video that passes through the images of codes."
    )
    parser.add_argument("source", metavar="RUN", help="a run, a checkpoint or G_ema.safetensors")
    parser.add_argument("--keys", default="0-5", help="seeds and .npz files (default 0-5)")
    parser.add_argument("--frames", type=int, default=60, help="from key to key (default 60)")
    parser.add_argument("--fps", type=float, default=30.0, help="frames per second (default 30)")
    parser.add_argument(
        "--path", choices=("spline", "linear"), default="spline", help="(default spline)"
    )
    parser.add_argument(
        "--loop",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether to return to the first key",
    )
    parser.add_argument("--trunc", type=float, default=1.0, help="truncation psi (default 1)")
    parser.add_argument("--class", dest="label", type=int, help="class, for conditional models")
    parser.add_argument(
        "--noise", choices=("const", "none"), default="const", help="(default const)"
    )
    parser.add_argument("--zoom", type=int, default=1, help="enlarge so many times (default 1)")
    parser.add_argument(
        "--out", type=Path, help=".mp4, which needs ffmpeg, or .gif (default RUN/walk.mp4)"
    )
    parser.add_argument("--batch", type=int, default=8, help="images at a time (default 8)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all cores)")
    options = parser.parse_args(argv)
    for name in ("batch", "frames", "zoom"):
        value = getattr(options, name)
        if value < 1:
            raise InputError(f"--{name}: must be at least 1, got {value}")
    if not math.isfinite(options.trunc):
        raise InputError(f"--trunc: must be finite, got {options.trunc}")
    source = Path(options.source)
    out = options.out or (source if source.is_dir() else source.parent) / "walk.mp4"

    from pygan.apps.video import check_video

    check_video(out, options.fps)
    prepare_process(options.threads)

    from pygan.apps.sample import load_model
    from pygan.apps.walk import write_walk

    with Progress("frame") as progress:
        count = write_walk(
            load_model(source),
            options.keys,
            out,
            frames=options.frames,
            fps=options.fps,
            path=options.path,
            loop=options.loop,
            label=options.label,
            truncation=options.trunc,
            noise=options.noise,
            zoom=options.zoom,
            batch=options.batch,
            progress=progress,
        )
    print(f"{count} frames, {count / options.fps:.1f} seconds: {out}")
    return 0
