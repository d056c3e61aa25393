"""Walks through the space of codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from apps_models import make_model
from PIL import Image, ImageSequence
from scipy.interpolate import CubicSpline

from pygan.apps.codes import draw, find_codes
from pygan.apps.sample import TrainedModel
from pygan.apps.walk import walk, write_walk
from pygan.cli import main
from pygan.errors import InputError


def keys_of(count: int) -> np.ndarray:
    return np.random.RandomState(0).randn(count, 3, 2).astype(np.float32)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("frames", [1, 5])
@pytest.mark.parametrize("loop", [True, False])
def test_spline_is_scipys(count: int, frames: int, loop: bool) -> None:
    keys = keys_of(count)
    found = walk(keys, frames, loop=loop)
    times = np.arange(count * frames if loop else (count - 1) * frames + 1) / frames
    assert found.dtype == np.float32
    assert found.shape == (len(times), 3, 2)
    if count == 1:
        np.testing.assert_array_equal(found, np.broadcast_to(keys, found.shape))
        return
    if loop:
        every = np.concatenate([keys, keys[:1]])
        spline = CubicSpline(np.arange(count + 1), every, bc_type="periodic")
    else:
        spline = CubicSpline(np.arange(count), keys, bc_type="natural")
    np.testing.assert_allclose(found, spline(times), rtol=0, atol=1e-6)


@pytest.mark.parametrize("path", ["spline", "linear"])
@pytest.mark.parametrize("loop", [True, False])
def test_walk_passes_through_the_keys(path: str, loop: bool) -> None:
    keys = keys_of(4)
    np.testing.assert_array_equal(walk(keys, 6, path, loop)[::6], keys)


def test_linear_walk_has_straight_legs() -> None:
    keys = keys_of(3).astype(np.float64)
    found = walk(keys, 4, "linear", loop=True)
    every = np.concatenate([keys, keys[:1]])
    for i in range(12):
        leg, t = i // 4, i % 4 / 4
        expected = (1 - t) * every[leg] + t * every[leg + 1]
        np.testing.assert_allclose(found[i], expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 8, 16)])
def test_frames_are_the_images_of_the_walk(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    model = make_model(shape)
    done = []
    count = write_walk(
        model,
        "0,4",
        tmp_path / "a.gif",
        frames=3,
        fps=10,
        truncation=0.8,
        zoom=2,
        batch=4,
        progress=lambda *numbers: done.append(numbers),
    )
    assert count == 6
    assert done == [(4, 6), (6, 6)]
    expected = draw(model, walk(find_codes(model, "0,4", "--keys", truncation=0.8), 3))
    with Image.open(tmp_path / "a.gif") as gif:
        frames = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(gif)]
    assert len(frames) == 6
    for frame, image in zip(frames, expected):
        small = frame[::2, ::2].transpose(2, 0, 1)
        error = np.abs(small.astype(int) - image)  # GIF has 256 colours per frame
        assert error.mean() < 3
        np.testing.assert_array_equal(frame[1::2, 1::2], frame[::2, ::2])


def test_walk_needs_two_codes(model: TrainedModel, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--keys: a walk needs at least two codes, got '3'"):
        write_walk(model, "3", tmp_path / "a.gif")
    assert list(tmp_path.iterdir()) == []


def test_walk_command(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a.gif"
    words = ["walk", str(run), "--keys", "1-3", "--frames", "2", "--fps", "4", "--out", str(out)]
    assert main([*words, "--no-loop"]) == 0
    assert f"5 frames, 1.2 seconds: {out}" in capsys.readouterr().out
    with Image.open(out) as gif:
        assert gif.n_frames == 5
    for extra, message in [
        (["--frames", "0"], "--frames: must be at least 1, got 0"),
        (["--zoom", "0"], "--zoom: must be at least 1, got 0"),
        (["--trunc", "inf"], "--trunc: must be finite"),
        (["--path", "round"], "argument --path: invalid choice"),
        (["--out", "a.avi"], "must end in .mp4 or .gif"),
        (["--class", "1"], "--class: the model was trained without labels"),
    ]:
        assert main([*words, *extra]) == 2, extra
        assert message in capsys.readouterr().err, extra


def test_walk_of_a_conditional_model_keeps_its_class(conditional_run: Path, tmp_path: Path) -> None:
    words = ["walk", str(conditional_run), "--frames", "1", "--keys", "0-1"]
    assert main([*words, "--out", str(tmp_path / "a.gif")]) == 2
    assert main([*words, "--class", "2", "--out", str(tmp_path / "a.gif")]) == 0
    assert (
        main(
            ["sample", str(conditional_run), "--seeds", "0", "--class", "2", "--out", str(tmp_path)]
        )
        == 0
    )
    with Image.open(tmp_path / "a.gif") as gif:
        frame = np.asarray(gif.convert("RGB")).astype(int)
    image = np.asarray(Image.open(tmp_path / "seed0000.png"))
    assert np.abs(frame - image).mean() < 3
