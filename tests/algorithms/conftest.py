"""Puts tests/algorithms on the path; `programs` comes from tests/training."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "training"))
