"""The ``pygan`` command: runs a module of :mod:`pygan.commands` and tells how it ended.

Exit codes: 0 done; 1 training had to stop (a value is not finite); 2 bad input, explained in one
line on standard error; 130 or 143 after SIGINT or SIGTERM, once the state is saved.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Optional

import pygan
from pygan.errors import InputError, TrainingError

# Name, which is also that of its module -> arguments, what it does, an example.
_COMMANDS = {
    "train": (
        "ALGORITHM",
        "train a model",
        "pygan train stylegan2 --data emoji --out runs/emoji",
    ),
    "resume": ("RUN", "go on with a run", "pygan resume runs/emoji --kimg 5000"),
    "sample": ("RUN", "draw images", "pygan sample runs/emoji --seeds 0-63 --trunc 0.7"),
    "generate": (
        "RUN",
        "make images from label maps",
        "pygan generate runs/scenes --labels map.png --out photo.png",
    ),
    "mix": ("RUN", "mix styles", "pygan mix runs/emoji --rows 0-3 --cols 4-9 --styles coarse"),
    "walk": ("RUN", "make a video", "pygan walk runs/emoji --keys 0-5 --out walk.mp4"),
    "project": ("RUN IMAGE", "find an image's code", "pygan project runs/emoji face.png"),
    "data": ("build", "make a dataset of images", "pygan data build photos/ photos.zip --size 256"),
    "import": ("FILE OUT", "take others' weights", "pygan import ffhq.pkl runs/ffhq"),
    "export": ("RUN FILE", "write weights for others", "pygan export runs/emoji emoji.pt"),
    "metrics": ("RUN", "FID, KID and others", "pygan metrics runs/emoji --metrics fid,kid,pr"),
    "weights": ("get NAME", "networks that metrics use", "pygan weights get stlpips-vgg"),
    "info": ("", "versions, operators, GPU", "pygan info"),
    "demo": ("", "minutes of StyleGAN2", "pygan demo --out demo"),
}


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the command line; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if not arguments or arguments[0] in ("-h", "--help", "help"):
            print(_usage())
            return 0
        if arguments[0] == "--version":
            print(f"pygan {pygan.__version__}")
            return 0
        if arguments[0] not in _COMMANDS:
            names = ", ".join(_COMMANDS)
            raise InputError(f"unknown command {arguments[0]!r}; choose from: {names}")
        command = importlib.import_module(f"pygan.commands.{arguments[0]}")
        return int(command.run(arguments[1:]))
    except InputError as error:
        return _fail(str(error), 2)
    except TrainingError as error:
        return _fail(f"training stopped: {error}", 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def _usage() -> str:
    lines = ["usage: pygan COMMAND ...", "", "commands:"]
    for name, (words, what, example) in _COMMANDS.items():
        lines.append(f"  {f'{name} {words}':17}  {what:25}  {example}")
    lines += [
        "",
        "'pygan COMMAND --help' explains the options; 'pygan --version' tells the version.",
    ]
    return "\n".join(lines)


def _fail(message: str, code: int) -> int:
    # A file may name things so that they would command the terminal.
    line = "".join(letter if letter.isprintable() else "?" for letter in " ".join(message.split()))
    print(f"pygan: error: {line}", file=sys.stderr)
    return code
