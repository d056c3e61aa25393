"""Count pygan's CUDA kernels on the emulator, and write the tables of docs/gpu.md.

    python -m benchmarks.gpu_model [--quick] [--output docs/gpu.md]

Needs `make emulator`. Takes three minutes on one core; ``--quick``, half a minute, has smaller
shapes, for which not all targets are meant.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Optional


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small shapes")
    parser.add_argument("--output", type=Path, help="document whose tables are written anew")
    options = parser.parse_args(arguments)
    # Paddle's profiler says where it writes, at every trace.
    os.environ.setdefault("GLOG_minloglevel", "2")
    # Imported here, after the environment is as Paddle is to find it.
    from benchmarks.gpu_model import report

    measured = report.measure(options.quick)
    text = report.markdown(measured)
    if options.output is not None:
        report.write_into(options.output, text)
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
