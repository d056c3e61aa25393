"""Videos: MP4 through an ffmpeg program, GIF through Pillow."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Optional, Protocol

import numpy as np

from pygan.errors import InputError
from pygan.files import replacing

SUFFIXES = (".mp4", ".gif")
_MAX_FPS = {".mp4": 240, ".gif": 50}  # browsers slow down frames of less than two centiseconds


class Video(Protocol):
    """What frames are added to."""

    def add(self, pixels: np.ndarray) -> None:
        """Appends an image [C, H, W] uint8 of 1 to 4 channels; all of them have one size."""


def check_video(path: Path, fps: float) -> None:
    """Raises InputError unless :func:`open_video` could write this file."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{path}: a video must end in {' or '.join(SUFFIXES)}")
    if not 0 < fps <= _MAX_FPS[suffix]:
        limit = _MAX_FPS[suffix]
        raise InputError(f"--fps: must be above 0 and at most {limit} in {suffix}, got {fps:g}")
    if suffix == ".mp4" and shutil.which("ffmpeg") is None:
        raise InputError(
            f"{path}: MP4 needs the program ffmpeg, which is not on the PATH; install it (such as "
            "with apt-get install ffmpeg), or choose a name that ends in .gif"
        )


@contextlib.contextmanager
def open_video(path: Path, fps: float, zoom: int = 1) -> Iterator[Video]:
    """A video to add frames to; the file appears when the block ends, unless it fails.

    Args:
        path: ends in ``.mp4`` or ``.gif``.
        fps: frames per second.
        zoom: how many times to enlarge the frames; pixels become squares.

    Raises:
        InputError: see :func:`check_video`, or ffmpeg cannot write the file.
    """
    check_video(path, fps)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        if path.suffix.lower() == ".gif":
            gif = _Gif(fps, zoom)
            yield gif
            gif.save(temporary)
        else:
            with _Mp4(temporary, fps, zoom) as mp4:
                yield mp4


def to_rgb(pixels: np.ndarray) -> np.ndarray:
    """An image [C, H, W] uint8 of 1 to 4 channels as [H, W, 3], on white if it has an alpha."""
    channels = pixels.shape[0]
    colour = pixels[: channels - 1] if channels in (2, 4) else pixels
    if channels in (2, 4):
        alpha = pixels[-1] / 255
        colour = np.rint(colour * alpha + 255 * (1 - alpha)).astype(np.uint8)
    if colour.shape[0] == 1:
        colour = np.repeat(colour, 3, axis=0)
    return np.ascontiguousarray(colour.transpose(1, 2, 0))


def enlarge(pixels: np.ndarray, zoom: int) -> np.ndarray:
    """An image [H, W, C] with every pixel as a square of ``zoom`` x ``zoom``."""
    return pixels.repeat(zoom, axis=0).repeat(zoom, axis=1)


class _Gif:
    """Frames last whole centiseconds in GIF: the rounding is spread, so that the length is right.

    Pillow merges frames that equal the one before, and adds up their times.
    """

    def __init__(self, fps: float, zoom: int) -> None:
        self._fps = fps
        self._zoom = zoom
        self._frames: list[Any] = []

    def add(self, pixels: np.ndarray) -> None:
        from PIL import Image

        self._frames.append(Image.fromarray(enlarge(to_rgb(pixels), self._zoom)))

    def save(self, path: Path) -> None:
        if not self._frames:
            raise ValueError("open_video: no frame was added")
        ends = [round(i * 100 / self._fps) for i in range(len(self._frames) + 1)]
        milliseconds = [10 * (end - start) for start, end in zip(ends, ends[1:])]
        first, *rest = self._frames
        first.save(
            path, format="GIF", save_all=True, append_images=rest, duration=milliseconds, loop=0
        )


class _Mp4:
    """H.264 in the pixel format that every player knows, which wants even sides.

    ffmpeg runs in a session of its own: Ctrl-C is for pygan, which then ends ffmpeg. What it says
    goes to a file, since a full pipe that nobody reads would stop it.
    """

    def __init__(self, path: Path, fps: float, zoom: int) -> None:
        self._path = path
        self._fps = fps
        self._zoom = zoom
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed in _stop

    def __enter__(self) -> _Mp4:
        return self

    def add(self, pixels: np.ndarray) -> None:
        frame = enlarge(to_rgb(pixels), self._zoom)
        height, width = frame.shape[:2]
        frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self._process is None:
            self._process = self._start(*frame.shape[:2])
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(frame.tobytes())
        except OSError:  # it has ended
            raise self._failure() from None

    def _start(self, height: int, width: int) -> subprocess.Popen[bytes]:
        program = shutil.which("ffmpeg") or "ffmpeg"
        command = [program, "-hide_banner", "-loglevel", "error", "-y"]
        command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{width}x{height}"]
        command += ["-framerate", f"{self._fps:g}", "-i", "-", "-an"]
        command += ["-c:v", "libx264", "-crf", "16", "-pix_fmt", "yuv420p"]
        command += ["-movflags", "+faststart", "-f", "mp4", f"file:{self._path}"]
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                start_new_session=True,
            )
        except OSError as error:
            raise InputError(f"{program}: cannot be run ({error.strerror or error})") from None

    def __exit__(self, kind: Any, *_: Any) -> None:
        try:
            if kind is not None:
                return
            if self._process is None:
                raise ValueError("open_video: no frame was added")
            assert self._process.stdin is not None
            with contextlib.suppress(OSError):  # its exit code tells
                self._process.stdin.close()
            if self._process.wait() != 0 or not self._path.is_file():
                raise self._failure()
        finally:
            self._stop()

    def _stop(self) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                self._process.kill()
            self._process.wait()
            with contextlib.suppress(OSError):
                assert self._process.stdin is not None
                self._process.stdin.close()
        self._errors.close()

    def _failure(self) -> InputError:
        assert self._process is not None
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        said = "; ".join(lines[-3:]) or f"exit code {self._process.returncode}"
        return InputError(f"ffmpeg could not write the video: {said}")
