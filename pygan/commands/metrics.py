"""`pygan metrics`: measure images by FID, KID and others."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Optional

import pygan
from pygan.commands.parser import Parser
from pygan.commands.process import prepare_process
from pygan.errors import InputError


def _parser() -> Parser:
    parser = Parser(
        prog="pygan metrics",
        description="Measures a model or a folder of images; prints a line of JSON per result.",
    )
    parser.add_argument(
        "source", metavar="RUN|FOLDER", help="a run, a checkpoint, G_ema.safetensors or images"
    )
    parser.add_argument(
        "--against", metavar="DATA", help="real images (default: the run's dataset)"
    )
    parser.add_argument(
        "--metrics",
        default="fid,kid",
        help="of fid, kid, pr (precision, recall), is, ppl, ls (default fid,kid)",
    )
    parser.add_argument(
        "--samples", type=int, help="images to judge (default: 50000 of a model, all of a folder)"
    )
    parser.add_argument("--real-samples", type=int, help="real images (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (default 0)")
    parser.add_argument("--extractor", default="", help="network (default: the first installed)")
    parser.add_argument("--resize", help="tf1-bilinear, bilinear or bicubic (default: its own)")
    parser.add_argument("--distance", default="", help="of ppl (default: the first installed)")
    parser.add_argument("--trunc", type=float, default=1.0, help="truncation psi (default 1)")
    parser.add_argument(
        "--noise", choices=("random", "const", "none"), default="random", help="(default random)"
    )
    parser.add_argument(
        "--ddof", type=int, choices=(0, 1), default=1, help="covariance over N - ddof (default 1)"
    )
    parser.add_argument("--kid-subsets", type=int, default=100, help="(default 100)")
    parser.add_argument(
        "--kid-subset-size", type=int, help="(default: 1000, or all where there are fewer)"
    )
    parser.add_argument("--neighbours", type=int, default=3, help="k of pr (default 3)")
    parser.add_argument("--splits", type=int, default=10, help="of is (default 10)")
    parser.add_argument("--batch", type=int, default=16, help="images at a time (default 16)")
    parser.add_argument("--no-cache", action="store_true", help="compute real statistics anew")
    parser.add_argument(
        "--out", type=Path, help="file to add the lines to (default: RUN/measurements.jsonl)"
    )
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all cores)")
    return parser


def run(argv: list[str]) -> int:
    options = _parser().parse_args(argv)
    for name in ("samples", "real_samples", "batch"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise InputError(f"--{name.replace('_', '-')}: must be at least 1, got {value}")
    if not 0 <= options.seed < 2**63:
        raise InputError(f"--seed: must be from 0 to 2^63 - 1, got {options.seed}")
    out = options.out
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise InputError(f"--out: {out} cannot be a file: it is a folder, or lies in none")
    prepare_process(options.threads)

    from pygan.apps import metrics as app
    from pygan.metrics.cache import StatisticsCache, default_folder
    from pygan.metrics.extractors import find_extractor, find_perceptual
    from pygan.metrics.measure import Options, measure
    from pygan.metrics.names import parse_metrics, path_length_of
    from pygan.metrics.sources import open_images

    names = parse_metrics(options.metrics)
    formulas = Options(
        ddof=options.ddof,
        kid_subsets=options.kid_subsets,
        kid_subset_size=options.kid_subset_size,
        neighbours=options.neighbours,
        splits=options.splits,
    )
    of_paths = [name for name in names if path_length_of(name) is not None]
    extractor = distance = real = None
    if len(of_paths) < len(names):
        extractor = find_extractor(app.choose_extractor(options.extractor))
    if of_paths:
        distance = find_perceptual(app.choose_distance(options.distance))
    images, trained_on = app.open_source(
        options.source,
        options.samples,
        seed=options.seed,
        truncation=options.trunc,
        noise=options.noise,
    )
    against = options.against or trained_on
    if against and any(name in ("fid", "kid", "pr", "ls") for name in names):
        real = open_images(against, options.real_samples, options.seed)
    progress = _Progress()
    results = measure(
        images,
        names,
        real=real,
        extractor=extractor,
        resize=options.resize,
        distance=distance,
        options=formulas,
        batch=options.batch,
        cache=StatisticsCache(None if options.no_cache else default_folder()),
        progress=progress,
    )
    progress.close()
    for warning in app.warnings_of(results):
        print(f"pygan: warning: {warning}", file=sys.stderr)
    lines = app.to_lines(results, pygan.__version__)
    print("\n".join(lines))
    source = Path(options.source)
    if out is None and source.is_dir() and app.is_model(source):
        out = source / app.RESULTS
    if out is not None:
        app.append_lines(out, lines)
    return 0


class _Progress:
    """A bar on the terminal for each set of images."""

    def __init__(self) -> None:
        self._what = ""
        self._bar: Optional[Any] = None

    def __call__(self, what: str, done: int, total: int) -> None:
        from tqdm import tqdm

        if what != self._what:
            self.close()
            self._what = what
            self._bar = tqdm(total=total, desc=what, unit="img", disable=None, file=sys.stderr)
        if self._bar is not None:
            self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
