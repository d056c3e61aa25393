"""`pygan generate`: make images from label maps or other images."""

from __future__ import annotations

from pathlib import Path

from pygan.commands.parser import Parser
from pygan.commands.process import prepare_process
from pygan.errors import InputError


def run(argv: list[str]) -> int:
    parser = Parser(
        prog="pygan generate",
        description="Makes images from label maps or other images with a trained model.",
    )
    parser.add_argument("source", metavar="RUN", help="a run, a checkpoint or G_ema.safetensors")
    parser.add_argument(
        "--labels", type=Path, help="a label map, or a folder of them: PNG of class numbers"
    )
    parser.add_argument(
        "--instances", type=Path, help="its instance map (default: each class is one instance)"
    )
    parser.add_argument("--image", type=Path, help="a source image, or a folder of them")
    parser.add_argument("--style", type=Path, help="a photo whose look the image shall have")
    parser.add_argument("--seeds", default="0", help="such as 0-3: an image for each (default 0)")
    parser.add_argument("--size", help="resize inputs to N or WIDTHxHEIGHT (default: as they are)")
    parser.add_argument(
        "--out", type=Path, help="file, or folder to write to (default RUN/generated)"
    )
    parser.add_argument(
        "--grid", action="store_true", help="also write grid.png: inputs beside their images"
    )
    parser.add_argument("--dropout", choices=("on", "off"), help="of Pix2Pix (default: the run's)")
    parser.add_argument(
        "--norm-stats",
        choices=("batch", "running"),
        help="statistics of Pix2Pix's normalisation (default: the run's)",
    )
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: all cores)")
    options = parser.parse_args(argv)
    prepare_process(options.threads)

    from pygan.apps.generate import Inputs, generate, with_options
    from pygan.apps.sample import load_model, parse_seeds
    from pygan.data import DataError
    from pygan.data.transforms import parse_size

    source = Path(options.source)
    out = options.out or (source if source.is_dir() else source.parent) / "generated"
    try:
        size = None if options.size is None else parse_size(options.size)
    except DataError as error:
        raise InputError(f"--size: {error}") from None
    seeds = parse_seeds(options.seeds)
    model = with_options(load_model(source), dropout=options.dropout, norm_stats=options.norm_stats)
    inputs = Inputs(options.labels, options.instances, options.image, options.style)
    paths = generate(model, inputs, out, seeds, size, options.grid)
    print(f"{len(paths)} image{'s' if len(paths) > 1 else ''}: {paths[-1]}")
    return 0
