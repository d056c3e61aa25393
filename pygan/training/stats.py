"""Statistics of training: means, ``stats.jsonl``, ``log.txt``, progress bar, VisualDL."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO


class Means:
    """Means of named values since the last ``reset``."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, name: str, value: float) -> None:
        self._sums[name] = self._sums.get(name, 0.0) + value
        self._counts[name] = self._counts.get(name, 0) + 1

    def values(self) -> dict[str, float]:
        return {name: self._sums[name] / self._counts[name] for name in sorted(self._sums)}

    def reset(self) -> None:
        self._sums.clear()
        self._counts.clear()


class Progress:
    """A progress bar in images, with images/s and time left; nothing where no terminal is.

    Args:
        total: images of the whole training.
        done: images seen already.
    """

    def __init__(self, total: int, done: int) -> None:
        self._bar: Any = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=total, initial=done, unit="img", dynamic_ncols=True, smoothing=0.1
            )

    def advance(self, images: int) -> None:
        if self._bar is not None:
            self._bar.update(images)

    def clear(self) -> None:
        """Makes room for a line of text."""
        if self._bar is not None:
            self._bar.clear()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class RunLog:
    """Writes what training reports, on the main process.

    Args:
        folder: the run.
        iteration: where training starts; later lines of ``stats.jsonl``, written by a process that
            was killed after its last checkpoint, are dropped.
        progress: the bar to make room for.
        visualdl: also write VisualDL records to ``folder/visualdl``.
    """

    def __init__(
        self, folder: Path, iteration: int, progress: Progress, visualdl: bool = False
    ) -> None:
        drop_later_lines(folder / "stats.jsonl", iteration)
        self._text: TextIO = (folder / "log.txt").open("a", encoding="utf-8")
        self._stats: TextIO = (folder / "stats.jsonl").open("a", encoding="utf-8")
        self._visualdl = _visualdl_writer(folder / "visualdl") if visualdl else None
        self._progress = progress

    def line(self, text: str) -> None:
        """One line for people, to the terminal and to ``log.txt``."""
        self._progress.clear()
        print(text, flush=True)
        self._text.write(text + "\n")
        self._text.flush()

    def stats(self, values: dict[str, Any]) -> None:
        """One line for programs, to ``stats.jsonl``."""
        self._stats.write(json.dumps(values) + "\n")
        self._stats.flush()
        if self._visualdl is not None:
            for name, value in values.items():
                if isinstance(value, (int, float)):
                    self._visualdl.add_scalar(name, value, values["iteration"])

    def image(self, name: str, pixels: Any, iteration: int) -> None:
        """An image [H, W, C], to VisualDL."""
        if self._visualdl is not None:
            self._visualdl.add_image(name, pixels, iteration)

    def close(self) -> None:
        self._text.close()
        self._stats.close()
        if self._visualdl is not None:
            self._visualdl.close()


class Clock:
    """Where the time of a tick went."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self._pause = self.start
        self._tick_start = self.start
        self._maintenance = 0.0

    @property
    def elapsed(self) -> float:
        return time.perf_counter() - self.start

    def tick(self, images: int) -> dict[str, float]:
        """Timings since the last ``end_maintenance``, that is of the training itself."""
        seconds = max(time.perf_counter() - self._tick_start, 1e-9)
        return {
            "sec/tick": seconds,
            "sec/kimg": seconds * 1000 / max(images, 1),
            "img/s": images / seconds,
            "maintenance": self._maintenance,
        }

    def begin_maintenance(self) -> None:
        self._pause = time.perf_counter()

    def end_maintenance(self) -> None:
        self._tick_start = time.perf_counter()
        self._maintenance = self._tick_start - self._pause


def peak_memory_gb() -> float:
    """Largest resident memory of this process so far, in GiB."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)


def format_time(seconds: float) -> str:
    """Such as 42s, 5m 07s, 3h 02m or 2d 05h."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m {seconds % 60:02d}s"
    if seconds < 86400:
        return f"{seconds // 3600}h {seconds // 60 % 60:02d}m"
    return f"{seconds // 86400}d {seconds // 3600 % 24:02d}h"


def drop_later_lines(path: Path, iteration: int) -> None:
    """Removes the lines of a JSONL file that belong to iterations after this one."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["iteration"] <= iteration:
                kept.append(line + "\n")
        except (ValueError, KeyError):
            continue  # the last line of a killed process
    temporary = path.with_name(path.name + ".writing")
    temporary.write_text("".join(kept), encoding="utf-8")
    os.replace(temporary, path)


def _visualdl_writer(folder: Path) -> Any:
    from visualdl import LogWriter

    return LogWriter(logdir=str(folder))
