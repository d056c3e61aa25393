"""The ``pygan`` command.

Exit codes: 0 done; 1 training had to stop (a value is not finite); 2 bad input, explained in one
line on standard error; 130 or 143 after SIGINT or SIGTERM, once the state is saved.

Paddle is imported by the commands that need it, after the number of threads is set: importing it
sets OMP_NUM_THREADS to 1 where it is not set. The command uses every core available, or what
``--threads`` or OMP_NUM_THREADS say; processes of ``paddle.distributed.launch`` share the cores.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, Optional

import pygan
from pygan.errors import InputError, TrainingError

_USAGE = """\
usage: pygan COMMAND ...

commands:
  train ALGORITHM   train a model               pygan train stylegan2 --data emoji --out runs/emoji
  resume RUN        go on with a run            pygan resume runs/emoji --kimg 5000
  sample RUN        draw images                 pygan sample runs/emoji --seeds 0-63 --trunc 0.7
  data build        make a dataset of images    pygan data build photos/ photos.zip --size 256
  info              versions, operators, GPU    pygan info
  demo              minutes of StyleGAN2        pygan demo --out demo

'pygan COMMAND --help' explains the options; 'pygan --version' tells the version.
"""


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the command line; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    commands = {
        "train": _train,
        "resume": _resume,
        "sample": _sample,
        "data": _data,
        "info": _info,
        "demo": _demo,
    }
    try:
        if not arguments or arguments[0] in ("-h", "--help", "help"):
            print(_USAGE, end="")
            return 0
        if arguments[0] == "--version":
            print(f"pygan {pygan.__version__}")
            return 0
        if arguments[0] not in commands:
            names = ", ".join(commands)
            raise InputError(f"unknown command {arguments[0]!r}; choose from: {names}")
        return commands[arguments[0]](arguments[1:])
    except InputError as error:
        return _fail(str(error), 2)
    except TrainingError as error:
        return _fail(f"training stopped: {error}", 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def _train(argv: list[str]) -> int:
    from pygan.algorithms import ALGORITHMS, find_algorithm

    if not argv or argv[0].startswith("-"):
        names = ", ".join(ALGORITHMS)
        if argv and argv[0] in ("-h", "--help"):
            print(f"usage: pygan train ALGORITHM [options]\n\nalgorithms: {names}")
            return 0
        raise InputError(f"train: name an algorithm first; choose from: {names}")
    name, argv = argv[0], argv[1:]
    dry_run = "--dry-run" in argv
    argv = [word for word in argv if word != "--dry-run"]
    _prepare_process(_threads_option(argv))
    algorithm = find_algorithm(name)

    from pygan.apps.transfer import open_source
    from pygan.training.distributed import world_size
    from pygan.training.options import dump_yaml, parse_options, resolve
    from pygan.training.run import start

    given = parse_options(algorithm.Config, argv, f"pygan train {name}", name)
    for option, what in (("data", "a folder, an archive or a built-in name"), ("out", "a folder")):
        if not given.get(option) and not (dry_run and option == "out"):
            raise InputError(f"--{option} is required: {what}")
    dataset = _open_data(given["data"], bool(given.get("mirror", False)))
    source = open_source(given["resume"]) if given.get("resume") else None
    known = None if source is None else source.config
    resolution = max(dataset.image_shape[1:])
    config = resolve(algorithm.Config, given, resolution, world_size(), known)
    if dry_run:
        print(dump_yaml({"algorithm": name, **config.to_dict()}), end="")
        return 0
    if config.threads:
        pygan.set_num_threads(config.threads)
    return _exit_code(start(config, algorithm, dataset, source))


def _resume(argv: list[str]) -> int:
    if argv and argv[0] in ("-h", "--help"):
        print("usage: pygan resume RUN [--force] [options]\n\n'pygan resume RUN --help': options")
        return 0
    if not argv or argv[0].startswith("-"):
        raise InputError("resume: name the folder of the run first")
    folder, argv = Path(argv[0]), argv[1:]
    force = "--force" in argv
    argv = [word for word in argv if word != "--force"]
    _prepare_process(_threads_option(argv))

    from pygan.algorithms import find_algorithm
    from pygan.training.config import resumable_fields
    from pygan.training.options import parse_options
    from pygan.training.run import find_run, resume

    algorithm, config, saved = find_run(folder, find_algorithm)
    only = resumable_fields(algorithm.Config)
    prog = f"pygan resume {folder} [--force]"
    changes = parse_options(
        algorithm.Config, argv, prog, algorithm.name, only, defaults=config.to_dict()
    )
    config = algorithm.Config.from_dict({**config.to_dict(), **changes})
    if config.threads:
        pygan.set_num_threads(config.threads)
    dataset = _open_data(config.data, config.mirror)
    return _exit_code(resume(config, algorithm, dataset, saved, force))


def _sample(argv: list[str]) -> int:
    parser = _Parser(prog="pygan sample", description="Draws images from a trained model.")
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
    _prepare_process(options.threads)

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


def _data(argv: list[str]) -> int:
    parser = _Parser(prog="pygan data", description="Makes datasets.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    build = commands.add_parser("build", help="bring images to one size, in one archive")
    build.add_argument("source", metavar="SOURCE", help="folder, archive, MNIST or CIFAR files ...")
    build.add_argument("dest", metavar="DEST", help="the .zip to write")
    build.add_argument("--size", help="N or WIDTHxHEIGHT (default: as the images are)")
    build.add_argument("--crop", help="none, center, center-wide, fit, stretch or pad")
    build.add_argument(
        "--filter", help="lanczos (default), box, bicubic, bilinear, hamming, nearest"
    )
    build.add_argument("--channels", type=int, help="1, 3 or 4 (default: as is natural)")
    build.add_argument("--background", help="behind transparent pixels and in bars (default white)")
    build.add_argument("--labels", help="auto (default), folders or none")
    build.add_argument("--split", help="train (default) or test, where the source has both")
    build.add_argument("--max-images", type=int, help="stop after so many")
    build.add_argument("--on-error", help="skip (default) or fail")
    build.add_argument("--encoding", help="png (default) or webp")
    build.add_argument("--overwrite", action="store_true", default=None, help="replace DEST")
    build.add_argument("--workers", type=int, help="threads (default: all cores)")
    options = vars(parser.parse_args(argv))

    from pygan.data import DataError, build_dataset

    del options["command"]
    source, dest = options.pop("source"), options.pop("dest")
    settings = {name: value for name, value in options.items() if value is not None}
    progress = _BuildProgress()
    try:
        report = build_dataset(source, dest, progress=progress, **settings)
    except (DataError, OSError) as error:
        raise InputError(_first_line(error)) from None
    finally:
        progress.close()
    print(report)
    return 0


def _info(argv: list[str]) -> int:
    _Parser(prog="pygan info", description="Tells what this installation has.").parse_args(argv)
    _prepare_process(0)

    from pygan.apps.info import describe

    print("\n".join(describe()))
    return 0


def _demo(argv: list[str]) -> int:
    parser = _Parser(prog="pygan demo", description="Trains StyleGAN2 on emoji for some minutes.")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder (default demo)")
    parser.add_argument("--minutes", type=float, default=6.0, help="of training (default 6)")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier demo")
    options = parser.parse_args(argv)
    if not options.minutes > 0:
        raise InputError(f"--minutes: must be positive, got {options.minutes}")
    _prepare_process(0)

    from pygan.apps.demo import run_demo

    picture = run_demo(options.out, options.minutes, options.overwrite)
    print(
        f"Reals, samples before and samples after training: {picture}; the run is in "
        f"{options.out}/; train on with: pygan resume {options.out} --max-minutes 60"
    )
    return 0


def _open_data(path: str, mirror: bool) -> Any:
    from pygan.data import DataError, open_dataset

    try:
        return open_dataset(path, mirror=mirror)
    except (DataError, OSError) as error:
        raise InputError(f"--data: {_first_line(error)}") from None


def _exit_code(outcome: Any) -> int:
    return 128 + outcome.signal if outcome.reason == "signal" else 0


def _threads_option(argv: Sequence[str]) -> int:
    """The value of ``--threads``, which is needed before Paddle is imported; 0 if not there."""
    for i, word in enumerate(argv):
        if word.startswith("--threads"):
            value = word.partition("=")[2] if "=" in word else (argv[i + 1 : i + 2] or ["0"])[0]
            return int(value) if value.isdigit() else 0  # the parser will complain
    return 0


def _prepare_process(threads: int) -> None:
    """Sets the number of threads, tunes the allocator and imports Paddle, in this order."""
    from pygan.runtime import available_cores, tune_malloc

    launched = int(os.environ.get("PADDLE_LOCAL_SIZE", os.environ.get("PADDLE_TRAINERS_NUM", "1")))
    # The launcher imports Paddle, hence passes on a 1 that the user did not choose.
    chosen = "OMP_NUM_THREADS" in os.environ and launched == 1
    if threads < 1 and not chosen:
        threads = max(available_cores() // launched, 1)
    if threads >= 1:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    tune_malloc()
    # Paddle warns of OMP_NUM_THREADS above 1, which is what we want, and of a missing ccache.
    with contextlib.redirect_stderr(io.StringIO()) as messages, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No ccache found")
        import paddle  # noqa: F401
    for line in messages.getvalue().splitlines():
        if "OMP_NUM_THREADS" not in line:
            print(line, file=sys.stderr)


def _fail(message: str, code: int) -> int:
    print(f"pygan: error: {' '.join(message.split())}", file=sys.stderr)
    return code


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


class _Parser(argparse.ArgumentParser):
    """An argparse parser whose errors are InputErrors."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (see {self.prog} --help)")


class _BuildProgress:
    """A progress bar for building datasets, on a terminal."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __call__(self, done: int, total: int) -> None:
        if self._bar is None and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit="img", dynamic_ncols=True)
        if self._bar is not None:
            self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
