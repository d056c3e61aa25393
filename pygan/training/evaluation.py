"""Measurements of the averaged networks during training, and the best checkpoint by them.

Training does not know metrics: it is given an :class:`Evaluator`. What that returns goes to
``metrics.jsonl``, one line per measurement; the best checkpoint so far is kept in ``best/``.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional, Protocol

from paddle import nn

from pygan.training.stats import drop_later_lines

RESULTS = "metrics.jsonl"
BEST = "best"
_HIGHER = re.compile(r"(pr|precision|recall|is|inception)(\d|_|$)")


class Evaluator(Protocol):
    """Measures the averaged networks.

    It must not touch Paddle's or numpy's global random state in a way that others rely on; training
    draws nothing from either across iterations.
    """

    def __call__(self, networks: Mapping[str, nn.Layer]) -> Mapping[str, float]:
        """Name -> value; the first decides which checkpoint is best."""


def higher_is_better(metric: str) -> bool:
    """Whether a metric grows with quality: precision, recall and the inception score do."""
    return _HIGHER.match(metric) is not None


class Evaluations:
    """The measurements of one run, on the main process.

    Args:
        folder: the run.
        iteration: where training starts; later lines of ``metrics.jsonl`` are dropped.
    """

    def __init__(self, folder: Path, iteration: int) -> None:
        self._folder = folder
        drop_later_lines(folder / RESULTS, iteration)
        self._finish_replacing()

    def has(self, iteration: int) -> bool:
        """Whether this iteration was measured."""
        path = self._folder / RESULTS
        if not path.exists():
            return False
        lines = path.read_text(encoding="utf-8").splitlines()
        return any(json.loads(line)["iteration"] == iteration for line in lines)

    def record(self, values: Mapping[str, float], position: Mapping[str, Any], saved: Path) -> bool:
        """Writes down a measurement and keeps its checkpoint if it is the best one so far.

        Args:
            values: what the evaluator returned.
            position: ``kimg`` and ``iteration``.
            saved: the checkpoint that was measured.

        Returns:
            Whether it is the best.
        """
        line = {**position, **values}
        best = self._is_best(values)
        if best:
            self._keep(saved, line)
        with (self._folder / RESULTS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        return best

    def _is_best(self, values: Mapping[str, float]) -> bool:
        metric = next(iter(values))
        previous = self._best_value(metric)
        value = values[metric]
        if math.isnan(value):
            return False
        if previous is None or math.isnan(previous):
            return True
        return value > previous if higher_is_better(metric) else value < previous

    def _best_value(self, metric: str) -> Optional[float]:
        """The value of the best checkpoint; None if there is none or it was chosen otherwise."""
        try:
            line = json.loads((self._folder / BEST / "metrics.json").read_text(encoding="utf-8"))
            return float(line[metric])
        except (OSError, ValueError, KeyError):
            return None

    def _keep(self, saved: Path, line: Mapping[str, Any]) -> None:
        """Replaces ``best/`` by links to the files of a checkpoint, which take no space.

        A folder cannot be replaced in one step: the old one makes way under another name, from
        which ``_finish_replacing`` brings it back if the process ends in between.
        """
        new, old = self._folder / ".best.writing", self._folder / ".best.old"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        for path in saved.iterdir():
            try:
                os.link(path, new / path.name)
            except OSError:  # a file system without links
                shutil.copy2(path, new / path.name)
        (new / "metrics.json").write_text(json.dumps(line) + "\n", encoding="utf-8")
        with contextlib.suppress(FileNotFoundError):
            os.replace(self._folder / BEST, old)
        os.replace(new, self._folder / BEST)
        shutil.rmtree(old, ignore_errors=True)

    def _finish_replacing(self) -> None:
        old = self._folder / ".best.old"
        if old.is_dir() and not (self._folder / BEST).exists():
            os.replace(old, self._folder / BEST)
        for left in (old, self._folder / ".best.writing"):
            shutil.rmtree(left, ignore_errors=True)


def describe(values: Mapping[str, float]) -> str:
    """Measurements as one line of text."""
    return "  ".join(f"{name} {value:.5g}" for name, value in values.items())
