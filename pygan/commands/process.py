"""What a command does to its process before Paddle is imported.

Importing Paddle sets OMP_NUM_THREADS to 1 where it is not set. Commands use every core available,
or what ``--threads`` or OMP_NUM_THREADS say; processes of ``paddle.distributed.launch`` share the
cores.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Sequence


def threads_option(argv: Sequence[str]) -> int:
    """The value of ``--threads``, which is needed before Paddle is imported; 0 if not there."""
    for i, word in enumerate(argv):
        if word.startswith("--threads"):
            value = word.partition("=")[2] if "=" in word else (argv[i + 1 : i + 2] or ["0"])[0]
            return int(value) if value.isdigit() else 0  # the parser will complain
    return 0


def prepare_process(threads: int) -> None:
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
