"""``python -m pygan``."""

from __future__ import annotations

import sys

from pygan.cli import main

if __name__ == "__main__":
    sys.exit(main())
