"""Projection: recovers what the generator draws, and does what the paper says."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, Callable

import numpy as np
import paddle
import pytest
from apps_models import make_model
from PIL import Image, ImageSequence

from pygan.apps.codes import draw, find_codes, read_codes
from pygan.apps.perceptual import PREFERENCE, find_distance, psnr
from pygan.apps.project import read_target
from pygan.apps.projection import (
    Projection,
    ProjectionOptions,
    code_statistics,
    frozen,
    noise_correlation,
    project,
)
from pygan.apps.sample import TrainedModel, load_model
from pygan.cli import main
from pygan.errors import InputError

FAST = ProjectionOptions(steps=4, samples=50)


def options_of(**changes: Any) -> ProjectionOptions:
    return dataclasses.replace(FAST, **changes)


@pytest.mark.parametrize(
    ("seed", "space", "noise"),
    [(2, "w", "const"), (2, "w", "optimize"), (0, "w+", "optimize")],
)
def test_a_generated_image_is_recovered(
    trained: TrainedModel, seed: int, space: str, noise: str
) -> None:
    target = trained.sample([seed])[0]
    mean, _ = code_statistics(trained, 500, 0)
    start = draw(trained, np.tile(mean, (1, trained.networks["G"].num_ws, 1)))[0]
    distance = find_distance("pixels")
    options = ProjectionOptions(space=space, noise=noise, steps=150, samples=500)
    found = project(trained, target, distance, options)
    image = draw(trained, found.ws, noise=found.noise)[0]
    assert psnr(start, target) < 20
    assert psnr(image, target) > 24
    assert distance.between(image, target) < distance.between(start, target) / 10
    # Other commands draw codes with the model's own noise.
    assert psnr(draw(trained, found.ws)[0], target) > 22
    if (space, noise) == ("w", "const"):
        code = find_codes(trained, str(seed), "--seeds")
        assert np.linalg.norm(found.ws - code) < 0.2 * np.linalg.norm(mean - code)
    from pygan.metrics.extractors import installed

    for name in set(PREFERENCE) & set(installed()):
        perceptual = find_distance(name)
        assert perceptual.between(image, target) < perceptual.between(start, target) / 2, name


def test_spaces_and_noise(model: TrainedModel) -> None:
    target = model.sample([1])[0]
    distance = find_distance("pixels")
    synthesis = model.networks["G"].synthesis
    for space in ("w", "w+"):
        found = project(model, target, distance, options_of(space=space))
        assert found.ws.shape == (1, 6, 8)
        assert found.ws.dtype == np.float32
        same = (found.ws == found.ws[:, :1]).all()
        assert same == (space == "w")
        assert [values.shape for values in found.noise] == synthesis.noise_shapes
        for values in found.noise:
            assert values.mean() == pytest.approx(0, abs=1e-5)
            assert np.square(values).mean() == pytest.approx(1, abs=1e-4)
    found = project(model, target, distance, options_of(noise="const"))
    for values, layer in zip(found.noise, synthesis.noise_layers):
        np.testing.assert_array_equal(values, layer.noise_const.numpy())


def test_noise_starts_from_the_models_own(model: TrainedModel) -> None:
    target = model.sample([1])[0]
    found = project(model, target, find_distance("pixels"), options_of(steps=1))  # no rate yet
    for values, layer in zip(found.noise, model.networks["G"].synthesis.noise_layers):
        own = layer.noise_const.numpy()
        np.testing.assert_allclose(values, (own - own.mean()) / own.std(), atol=1e-4)


def test_a_projection_is_a_function_of_its_seed(model: TrainedModel) -> None:
    target = model.sample([1])[0]
    codes = []
    for seed in (3, 3, 4):
        paddle.seed(len(codes))
        found = project(model, target, find_distance("pixels"), options_of(seed=seed))
        codes.append(np.concatenate([found.ws.ravel(), *(n.ravel() for n in found.noise)]))
    np.testing.assert_array_equal(codes[0], codes[1])
    assert (codes[0] != codes[2]).any()


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 12, 8), (4, 8, 16)])
def test_every_shape_is_projected(shape: tuple[int, int, int]) -> None:
    model = make_model(shape)
    found = project(model, model.sample([0])[0], find_distance("pixels"), FAST)
    assert math.isfinite(found.loss)


def test_the_model_is_left_as_it_was(model: TrainedModel) -> None:
    generator = model.networks["G"]
    before = {name: value.numpy().copy() for name, value in generator.state_dict().items()}
    flags = [parameter.stop_gradient for parameter in generator.parameters()]
    assert not all(flags)
    seen = []

    def look(step: int, state: Callable[[], Projection]) -> None:
        seen.append(all(parameter.stop_gradient for parameter in generator.parameters()))
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        project(model, model.sample([0])[0], find_distance("pixels"), FAST, on_step=look)
    assert seen == [True] * 3
    assert [parameter.stop_gradient for parameter in generator.parameters()] == flags
    for name, value in generator.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    assert all(parameter.grad is None for parameter in generator.parameters())


def test_frozen_keeps_what_was_frozen_before() -> None:
    layer = paddle.nn.Linear(2, 2)
    layer.bias.stop_gradient = True
    with frozen(layer):
        assert layer.weight.stop_gradient
        assert layer.bias.stop_gradient
    assert not layer.weight.stop_gradient
    assert layer.bias.stop_gradient


@pytest.mark.parametrize(
    ("shape", "levels"),
    [((4, 4), 1), ((8, 8), 1), ((16, 16), 2), ((12, 24), 2), ((64, 36), 3), ((18, 50), 2)],
)
def test_noise_correlation(shape: tuple[int, int], levels: int) -> None:
    values = np.random.RandomState(0).randn(*shape)
    level, expected = values, 0.0
    for i in range(levels):
        if i > 0:
            h, w = level.shape
            level = level.reshape(h // 2, 2, w // 2, 2).sum(axis=(1, 3)) / 2
        expected += (level * np.roll(level, 1, axis=0)).mean() ** 2
        expected += (level * np.roll(level, 1, axis=1)).mean() ** 2
    found = noise_correlation([paddle.to_tensor(values)] * 2)
    np.testing.assert_allclose(float(found), 2 * expected, rtol=1e-9)


def test_picture_in_the_noise_costs_more_than_noise() -> None:
    white = np.random.RandomState(0).randn(64, 64).astype(np.float32)
    ramp = np.linspace(-1.7, 1.7, 64, dtype=np.float32)[None].repeat(64, axis=0)
    costs = [float(noise_correlation([paddle.to_tensor(values)])) for values in (white, ramp)]
    assert costs[1] > 20 * costs[0]


def test_mean_and_deviation_of_codes(model: TrainedModel) -> None:
    z = np.random.RandomState(5).randn(1500, 8).astype(np.float32)
    with paddle.no_grad():
        ws = model.networks["G"].mapping(paddle.to_tensor(z))[:, 0].numpy().astype(np.float64)
    mean, deviation = code_statistics(model, 1500, 5)
    np.testing.assert_allclose(mean, ws.mean(axis=0), atol=1e-5)
    assert deviation == pytest.approx(np.sqrt(ws.var(axis=0).sum()), rel=1e-5)


def test_codes_of_classes() -> None:
    model = make_model(classes=3)
    model.data = dataclasses.replace(model.data, class_counts=(0, 7, 0))
    every, only = code_statistics(model, 100, 0), code_statistics(model, 100, 0, label=1)
    np.testing.assert_array_equal(every[0], only[0])
    assert np.abs(only[0] - code_statistics(model, 100, 0, label=2)[0]).max() > 0.01


def test_schedules() -> None:
    options = ProjectionOptions(steps=1000)
    rates = [options.learning_rate_at(step) for step in range(1000)]
    assert rates[:2] == [0, pytest.approx(0.002)]
    assert rates[50] == rates[400] == rates[750] == pytest.approx(0.1)
    assert rates[25] == pytest.approx(0.05)
    assert rates[875] == pytest.approx(0.05)
    assert 0 < rates[999] < 1e-5
    assert options.jitter_at(0) == 0.05
    assert options.jitter_at(375) == pytest.approx(0.05 / 4)
    assert options.jitter_at(750) == options.jitter_at(999) == 0


def test_the_first_gradient_is_that_of_the_image(model: TrainedModel) -> None:
    """Against finite differences: nothing is cut off, frozen weights notwithstanding."""
    target = model.sample([1])[0]
    synthesis = model.networks["G"].synthesis
    measure = find_distance("pixels").to(paddle.to_tensor(target[None] / np.float32(127.5) - 1))
    w = paddle.to_tensor(find_codes(model, "4", "--seeds"), stop_gradient=False)
    with frozen(synthesis):
        measure(synthesis(w, noise="const")).backward()
    gradient = w.grad.numpy().astype(np.float64)
    direction = np.random.RandomState(0).randn(*w.shape).astype(np.float32)
    with paddle.no_grad():
        ends = [
            float(measure(synthesis(w + sign * 1e-2 * paddle.to_tensor(direction), noise="const")))
            for sign in (1, -1)
        ]
    slope = (ends[0] - ends[1]) / 2e-2
    assert slope == pytest.approx(float((gradient * direction).sum()), rel=0.02)


def test_what_cannot_be_projected(model: TrainedModel) -> None:
    distance = find_distance("pixels")
    with pytest.raises(InputError, match=r"target has shape \[3, 8, 8\]; this model draws"):
        project(model, np.zeros((3, 8, 8), np.uint8), distance)
    with pytest.raises(InputError, match="--class: the model was trained without labels"):
        project(model, model.sample([0])[0], distance, FAST, label=1)
    with pytest.raises(InputError, match="diverged in step"):
        project(model, model.sample([0])[0], distance, options_of(steps=20, learning_rate=1e30))
    for name, value, message in [
        ("space", "z", "--space: must be one of w, w+, got 'z'"),
        ("noise", "some", "--noise: must be one of optimize, const"),
        ("steps", 0, "--steps: must be at least 1, got 0"),
        ("samples", 1, "--samples: must be at least 2, got 1"),
        ("learning_rate", 0.0, "--lr: must be positive, got 0"),
        ("noise_weight", -1.0, "--noise-weight: must be 0 or more"),
        ("noise_weight", math.nan, "--noise-weight: must be 0 or more"),
    ]:
        with pytest.raises(InputError) as error:
            options_of(**{name: value})
        assert message in str(error.value)


def test_targets_are_brought_to_the_shape_of_the_model(tmp_path: Path) -> None:
    pixels = np.zeros((30, 40, 4), np.uint8)
    pixels[:, 5:35] = (200, 100, 0, 255)  # a square in the middle; the rest is transparent
    Image.fromarray(pixels).save(tmp_path / "a.png")
    target = read_target(tmp_path / "a.png", (3, 8, 8))
    assert target.shape == (3, 8, 8)
    assert (target == np.array([200, 100, 0])[:, None, None]).all()
    wide = read_target(tmp_path / "a.png", (3, 8, 8), "fit", "black")
    assert wide[:, 0].max() < 30  # Lanczos rings
    assert read_target(tmp_path / "a.png", (1, 8, 16)).shape == (1, 8, 16)
    assert read_target(tmp_path / "a.png", (4, 6, 8))[3, 3].tolist()[0] < 255
    (tmp_path / "b.png").write_bytes(b"not an image")
    for name, crop, message in [
        ("b.png", "center", "b.png"),
        ("c.png", "center", "does not exist"),
        ("a.png", "none", "a.png"),
        ("a.png", "round", "crop must be one of"),
    ]:
        with pytest.raises(InputError, match=message):
            read_target(tmp_path / name, (3, 8, 8), crop)


@pytest.fixture
def picture(run: Path, tmp_path: Path) -> Path:
    assert main(["sample", str(run), "--seeds", "3", "--out", str(tmp_path)]) == 0
    return tmp_path / "seed0003.png"


def project_main(run: Path, picture: Path, *words: str) -> int:
    fast = ["--perceptual", "pixels", "--steps", "5", "--samples", "50", "--video", "gif"]
    return main(["project", str(run), str(picture), *fast, *words])


def test_project_writes_what_it_found(
    run: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    capsys.readouterr()
    assert project_main(run, picture, "--out", str(out), "--space", "w+", "--zoom", "2") == 0
    names = ["comparison.png", "projected.npz", "projected.png", "projection.gif"]
    names += ["projection.json", "target.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    report = json.loads((out / "projection.json").read_text())
    assert (report["space"], report["steps"], report["distance"]) == ("w+", 5, "pixels")
    said = capsys.readouterr().out
    assert f"pixels {report['value']:.4f}, PSNR {report['psnr']:.2f} dB: {out}" in said

    target, found = (np.asarray(Image.open(out / f"{n}.png")) for n in ("target", "projected"))
    np.testing.assert_array_equal(target, np.asarray(Image.open(picture)))
    both = np.asarray(Image.open(out / "comparison.png"))
    np.testing.assert_array_equal(both, np.concatenate([target, found], axis=1))
    trained = load_model(run)
    codes = read_codes(out / "projected.npz", trained)
    assert codes.noise is not None
    again = draw(trained, codes.ws, noise=codes.noise)[0].transpose(1, 2, 0)
    np.testing.assert_array_equal(again, found)
    assert report["psnr"] == pytest.approx(
        psnr(again.transpose(2, 0, 1), target.transpose(2, 0, 1))
    )

    with Image.open(out / "projection.gif") as gif:
        frames = [np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(gif)]
    assert len(frames) == 5
    assert frames[0].shape == (32, 64, 3)
    last = frames[-1][::2, ::2].astype(int)
    assert np.abs(last - both).mean() < 3
    assert np.abs(frames[0].astype(int) - frames[-1]).max() > 0

    # What was found is a code for all other commands.
    words = ["--w", str(out / "projected.npz"), "--out", str(tmp_path / "drawn")]
    assert main(["sample", str(run), *words]) == 0
    drawn = np.asarray(Image.open(tmp_path / "drawn" / "code0000.png"))
    np.testing.assert_array_equal(drawn, found)
    words = ["--rows", f"{out / 'projected.npz'}", "--cols", "0", "--out", str(tmp_path / "m.png")]
    assert main(["mix", str(run), *words]) == 0


def test_project_refuses_bad_input(
    run: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, message in [
        (["--steps", "0"], "--steps: must be at least 1"),
        (["--seed", "-1"], "--seed: must be from 0"),
        (["--zoom", "0"], "--zoom: must be at least 1"),
        (["--space", "z"], "argument --space: invalid choice"),
        (["--crop", "round"], "crop must be one of"),
        (["--background", "colourless"], "colourless"),
        (["--class", "1"], "--class: the model was trained without labels"),
        (["--perceptual", "nothing"], "--perceptual: 'nothing' is unknown"),
    ]:
        out = tmp_path / "out"
        assert project_main(run, picture, "--out", str(out), *words) == 2, words
        assert message in capsys.readouterr().err, words
        assert not list(out.glob("*"))
    assert project_main(run, tmp_path / "no.png") == 2
    assert "no.png does not exist" in capsys.readouterr().err


def test_project_without_a_video(conditional_run: Path, picture: Path, tmp_path: Path) -> None:
    words = ["--video", "none", "--out", str(tmp_path / "out")]
    assert project_main(conditional_run, picture, *words) == 0
    assert project_main(conditional_run, picture, *words, "--class", "2", "--noise", "const") == 0
    report = json.loads((tmp_path / "out" / "projection.json").read_text())
    assert (report["class"], report["noise"]) == (2, "const")
    assert not list((tmp_path / "out").glob("projection.[gm]*"))
