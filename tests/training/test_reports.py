"""Logs, grids and signals."""

from __future__ import annotations

import io
import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from programs import run_toy

from pygan.training.grid import tile, to_pixels
from pygan.training.stats import Means, Progress, RunLog, format_time


def test_means() -> None:
    means = Means()
    for value in (1.0, 2.0, 6.0):
        means.add("a", value)
    means.add("b", -1.0)
    assert means.values() == {"a": 3.0, "b": -1.0}
    means.reset()
    assert means.values() == {}


def test_pixels_round_and_saturate() -> None:
    pixels = to_pixels(np.array([-3, -1, 0, 1 / 255, 1, 7], dtype=np.float32))
    assert pixels.tolist() == [0, 0, 128, 128, 255, 255]
    levels = np.arange(256)
    assert to_pixels((levels / 127.5 - 1).astype(np.float32)).tolist() == levels.tolist()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_shows_speed_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "100")
    progress = Progress(800, 200)
    time.sleep(0.15)
    progress.advance(200)
    progress.clear()
    progress.close()
    assert re.search(r"400/800 \[\d\d:\d\d<\d\d:\d\d, +[\d.]+img/s\]", terminal.getvalue())


def test_progress_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(800, 200)
    progress.advance(200)
    progress.clear()
    progress.close()
    assert capsys.readouterr() == ("", "")


def test_tile_goes_row_by_row() -> None:
    images = np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1) + np.zeros((3, 1, 2, 3), np.uint8)
    picture = tile(images + 1, columns=2)
    assert picture.shape == (4, 6, 1)
    assert picture[::2, ::3, 0].tolist() == [[1, 2], [3, 0]]


def test_lines_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    lines = [json.dumps({"iteration": i}) for i in (10, 20, 30)]
    (tmp_path / "stats.jsonl").write_text("\n".join(lines) + '\n{"iterat')
    log = RunLog(tmp_path, 20, Progress(100, 20))
    log.stats({"iteration": 25})
    log.close()
    kept = [json.loads(line)["iteration"] for line in (tmp_path / "stats.jsonl").open()]
    assert kept == [10, 20, 25]


FAKE_VISUALDL = """
records = []
class LogWriter:
    def __init__(self, logdir): self.logdir = logdir
    def add_scalar(self, tag, value, step): records.append((tag, value, step))
    def add_image(self, tag, img, step): records.append((tag, img.shape, step))
    def close(self): records.append(self.logdir)
"""


def test_visualdl_gets_scalars_and_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "visualdl.py").write_text(FAKE_VISUALDL)
    monkeypatch.syspath_prepend(tmp_path)
    run = tmp_path / "run"
    assert run_toy("train", run, "--kimg", 0.008, "--visualdl") == 0
    visualdl = sys.modules.pop("visualdl")
    line = json.loads((run / "stats.jsonl").read_text())
    assert ("loss/G_main", line["loss/G_main"], 1) in visualdl.records
    assert ("samples", (8, 8, 1), 1) in visualdl.records
    assert visualdl.records[-1] == str(run / "visualdl")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0s"), (59, "59s"), (307, "5m 07s"), (10920, "3h 02m"), (190800, "2d 05h")],
)
def test_times(seconds: float, text: str) -> None:
    assert format_time(seconds) == text


def test_a_run_leaves_logs_and_grids(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    run = tmp_path / "run"
    assert run_toy("train", run, "--kimg", 0.04, "--tick", 0.02, "--grid", "3x2") == 0
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoints",
        "config.yaml",
        "log.txt",
        "reals.png",
        "samples_000000.000.png",
        "samples_000000.024.png",
        "samples_000000.040.png",
        "stats.jsonl",
    ]
    assert Image.open(run / "reals.png").size == (12, 8)
    assert capsys.readouterr().out == (run / "log.txt").read_text()
    first, second = (json.loads(line) for line in (run / "stats.jsonl").open())
    assert (first["iteration"], second["iteration"]) == (3, 5)
    assert second["kimg"] == 0.04
    expected = ["loss/G_main", "loss/D_main", "loss/D_reg", "signs", "mean", "lr/G", "lr/D"]
    expected += ["sec/tick", "sec/kimg", "img/s", "maintenance", "memory_gb"]
    assert set(expected) <= set(first)
    assert first["lr/G"] == pytest.approx(1e-3 * 3 / 4)
    assert abs(first["signs"]) <= 1
