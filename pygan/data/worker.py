"""The program of a loader's worker process: decodes the files it is asked for.

Standard input carries JSON lines: first the source ({"kind", "path", "shape"}, or {"kind", "path",
"pairs"}), then requests ([[file name, flip], ...]; of pairs, [[file name, flip, top, left], ...]).
Standard output carries one answer per request: a header (kind, length) and either the pixels, uint8
[B, C, H, W], of pairs rows of all planes, or a JSON error. End of input ends the process, so no
worker outlives its parent, however that died.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from .errors import ImageError
from .imaging import decode_exact
from .pairs import PairLayout, PairReader
from .store import Store, open_store

HEADER = struct.Struct("<cQ")
PIXELS = b"P"
ERROR = b"E"


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answers requests until the input ends."""
    source = json.loads(requests.readline())
    shape, decode = _decoder(open_store(source), source)
    for line in requests:
        request = json.loads(line)
        try:
            images = np.empty((len(request), *shape), dtype=np.uint8)
            for row, item in enumerate(request):
                images[row] = decode(*item)
            kind, payload = PIXELS, images.data.cast("B") if images.size else b""
        except ImageError as error:
            kind, payload = ERROR, json.dumps({"name": error.name, "reason": error.reason}).encode()
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            kind, payload = ERROR, json.dumps({"name": None, "reason": text}).encode()
        answers.write(HEADER.pack(kind, len(payload)))
        answers.write(payload)
        answers.flush()


def _decoder(
    store: Store, source: dict[str, Any]
) -> tuple[tuple[int, ...], Callable[..., np.ndarray]]:
    """Shape of a sample, and what maps an item of a request to it."""
    if "pairs" in source:
        layout = PairLayout.from_dict(source["pairs"])
        return (layout.row_bytes(layout.framed),), PairReader(store, layout).row
    shape = (source["shape"][0], source["shape"][1], source["shape"][2])

    def decode(name: str, flip: bool) -> np.ndarray:
        pixels = decode_exact(store.read(name), store.label(name), shape)
        return pixels[:, :, ::-1] if flip else pixels

    return shape, decode


def main() -> None:
    """Entry point of the process."""
    # Ctrl-C reaches the whole process group; the parent decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Keep answers apart from anything a library might print.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        serve(sys.stdin.buffer, answers)
    except BrokenPipeError:  # the parent is gone
        os._exit(0)
