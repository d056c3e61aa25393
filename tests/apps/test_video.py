"""Videos: what is written, and what is not left behind."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from pygan.apps.video import check_video, open_video, to_rgb
from pygan.errors import InputError

FAKE_FFMPEG = """#!{python}
import json, os, pathlib, sys
here = pathlib.Path(__file__).parent
frames = {reading}
facts = {{"arguments": sys.argv[1:], "bytes": len(frames), "session": os.getsid(0) == os.getpid()}}
(here / "facts.json").write_text(json.dumps(facts))
(here / "frames").write_bytes(frames)
{ending}
"""
WRITE = "pathlib.Path(sys.argv[-1].removeprefix('file:')).write_bytes(b'video')"


def fake_ffmpeg(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    ending: str,
    reading: str = "sys.stdin.buffer.read()",
) -> None:
    """Puts a program called ffmpeg on the PATH that records what it is given."""
    folder.mkdir()
    program = folder / "ffmpeg"
    program.write_text(FAKE_FFMPEG.format(python=sys.executable, ending=ending, reading=reading))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def frames_of(count: int, shape: tuple[int, int, int] = (3, 6, 8)) -> list[np.ndarray]:
    """Flat colours, far apart; GIF keeps these exactly."""
    return [np.full(shape, 40 * i % 256, dtype=np.uint8) for i in range(count)]


@pytest.mark.parametrize("fps", [10, 30, 24, 50, 0.5])
def test_gif_lasts_as_long_as_asked(tmp_path: Path, fps: float) -> None:
    path = tmp_path / "a.gif"
    frames = frames_of(6)
    with open_video(path, fps) as video:
        for frame in frames:
            video.add(frame)
    with Image.open(path) as gif:
        assert (gif.size, gif.info["loop"]) == ((8, 6), 0)
        found = [(f.convert("RGB"), f.info["duration"]) for f in ImageSequence.Iterator(gif)]
    assert len(found) == 6
    for (image, _), frame in zip(found, frames):
        np.testing.assert_array_equal(np.asarray(image).transpose(2, 0, 1), frame)
    ends = np.cumsum([duration for _, duration in found])
    np.testing.assert_allclose(ends, 1000 * np.arange(1, 7) / fps, atol=5.001)
    assert list(tmp_path.iterdir()) == [path]


def test_gif_keeps_the_time_of_equal_frames(tmp_path: Path) -> None:
    frames = frames_of(2)
    with open_video(tmp_path / "a.gif", 10) as video:
        for frame in (frames[0], frames[0], frames[0], frames[1]):
            video.add(frame)
    with Image.open(tmp_path / "a.gif") as gif:
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(gif)]
    assert sum(durations) == 400


def test_zoom_makes_squares_of_pixels(tmp_path: Path) -> None:
    frame = np.zeros((1, 2, 3), dtype=np.uint8)
    frame[0, 1, 2] = 255
    with open_video(tmp_path / "a.gif", 10, zoom=4) as video:
        video.add(frame)
    with Image.open(tmp_path / "a.gif") as gif:
        pixels = np.asarray(gif.convert("RGB"))
    expected = np.zeros((8, 12, 3), dtype=np.uint8)
    expected[4:, 8:] = 255
    np.testing.assert_array_equal(pixels, expected)


def test_every_number_of_channels_becomes_rgb() -> None:
    grey = np.array([[[10, 20]]], dtype=np.uint8)
    np.testing.assert_array_equal(to_rgb(grey), [[[10] * 3, [20] * 3]])
    alpha = np.array([[[0, 255]]], dtype=np.uint8)
    np.testing.assert_array_equal(to_rgb(np.concatenate([grey, alpha])), [[[255] * 3, [20] * 3]])
    rgb = np.array([10, 20, 30], dtype=np.uint8).reshape(3, 1, 1)
    np.testing.assert_array_equal(to_rgb(rgb), [[[10, 20, 30]]])
    half = np.concatenate([rgb, np.full((1, 1, 1), 51, dtype=np.uint8)])  # alpha 0.2
    np.testing.assert_array_equal(to_rgb(half), [[[206, 208, 210]]])


def test_mp4_gets_even_frames_in_a_session_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_ffmpeg(tmp_path / "bin", monkeypatch, WRITE)
    path = tmp_path / "out" / "a b%d.mp4"
    frames = [np.random.RandomState(i).randint(0, 256, (3, 5, 7)).astype(np.uint8) for i in (0, 1)]
    with open_video(path, 29.97) as video:
        for frame in frames:
            video.add(frame)
    assert path.read_bytes() == b"video"
    assert list(path.parent.iterdir()) == [path]
    facts = json.loads((tmp_path / "bin" / "facts.json").read_text())
    assert facts["session"]
    arguments = facts["arguments"]
    assert arguments[arguments.index("-video_size") + 1] == "8x6"
    assert arguments[arguments.index("-framerate") + 1] == "29.97"
    found = np.frombuffer((tmp_path / "bin" / "frames").read_bytes(), np.uint8)
    found = found.reshape(2, 6, 8, 3)
    for got, frame in zip(found, frames):
        expected = np.pad(frame.transpose(1, 2, 0), ((0, 1), (0, 1), (0, 0)), mode="edge")
        np.testing.assert_array_equal(got, expected)


def _add_many(path: Path) -> None:
    with open_video(path, 30) as video:
        for frame in frames_of(300, (3, 64, 64)):
            video.add(frame)


@pytest.mark.parametrize(
    ("reading", "ending", "message"),
    [
        ("sys.stdin.buffer.read()", "sys.exit('no such encoder')", "no such encoder"),
        ("sys.stdin.buffer.read(10)", "sys.exit('went away early')", "went away early"),
        ("sys.stdin.buffer.read()", "sys.exit(3)", "exit code 3"),
        ("sys.stdin.buffer.read()", "print('x' * 2**20, file=sys.stderr); sys.exit(1)", "xxx"),
        ("sys.stdin.buffer.read()", "pass", "exit code 0"),  # but without a file
    ],
)
def test_a_failing_ffmpeg_is_an_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reading: str, ending: str, message: str
) -> None:
    fake_ffmpeg(tmp_path / "bin", monkeypatch, ending, reading)
    with pytest.raises(InputError, match=f"ffmpeg could not write the video: .*{message}"):
        _add_many(tmp_path / "a.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_an_error_between_frames_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    fake_ffmpeg(tmp_path / "bin", monkeypatch, WRITE)
    path = (tmp_path / "a").with_suffix(suffix)
    path.write_bytes(b"old")

    def fail() -> None:
        with open_video(path, 10) as video:
            video.add(frames_of(1)[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name, "bin"]


def test_what_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    cases = [
        ("a.avi", 30, r"must end in \.mp4 or \.gif"),
        ("a", 30, r"must end in \.mp4 or \.gif"),
        ("a.gif", 60, "--fps: must be above 0 and at most 50"),
        ("a.gif", 0, "--fps: must be above 0"),
        ("a.mp4", float("nan"), "--fps: must be above 0"),
        ("a.mp4", 30, "ffmpeg, which is not on the PATH"),
    ]
    for name, fps, message in cases:
        with pytest.raises(InputError, match=message):
            check_video(tmp_path / name, fps)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_mp4_of_a_real_ffmpeg_has_the_frames(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    frames = frames_of(6, (3, 33, 47))
    with open_video(path, 12) as video:
        for frame in frames:
            video.add(frame)
    command = ["ffmpeg", "-loglevel", "error", "-i", str(path), "-f", "rawvideo"]
    raw = subprocess.run([*command, "-pix_fmt", "rgb24", "-"], capture_output=True, check=True)
    found = np.frombuffer(raw.stdout, np.uint8).reshape(6, 34, 48, 3).astype(int)
    for got, frame in zip(found, frames):
        assert np.abs(got - int(frame[0, 0, 0])).max() <= 4
