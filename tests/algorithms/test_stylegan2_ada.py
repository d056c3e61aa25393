"""What ADA adds to StyleGAN2: augmented losses, the controller's wiring, options."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from pygan.algorithms import stylegan2_ada as module
from pygan.algorithms.stylegan2_ada import StyleGAN2ADA
from pygan.algorithms.stylegan2_ada_config import StyleGAN2ADAConfig
from pygan.errors import InputError
from pygan.nn.augment import AugmentSettings, apply, sample
from pygan.training import DataSpec, RealBatch, Step, StepRandom, World
from pygan.training.options import resolve

SHAPE = (3, 8, 8)
TINY = {
    "channel_base": 128,
    "channel_max": 8,
    "z_dim": 8,
    "w_dim": 8,
    "mapping_layers": 1,
    "batch": 8,
    "mbstd_group": 2,
}


def tiny(**options: Any) -> StyleGAN2ADA:
    paddle.seed(0)
    config = StyleGAN2ADAConfig(**{**TINY, **options})
    config.validate()
    return StyleGAN2ADA(config, DataSpec(SHAPE))


def step(phase: str, count: int = 8, held_out: bool = False) -> Step:
    random = np.random.RandomState(3)
    batches = [
        RealBatch(random.randint(0, 256, (count, *SHAPE)).astype(np.uint8), None) for _ in range(2)
    ]
    samples = StepRandom(0, phase, 5, range(count))
    return Step(samples, batches[0], World(), held_out=batches[1] if held_out else None)


def seen_by_d(model: StyleGAN2ADA, images: paddle.Tensor, random: StepRandom) -> paddle.Tensor:
    settings = AugmentSettings.preset("bgc")
    return apply(images, sample(settings, model.p, SHAPE, random))


def test_d_sees_augmented_fakes_and_reals_with_the_same_p() -> None:
    model = tiny(aug="fixed", p=0.7)
    one = step("D_main", held_out=True)
    ws, _ = model._map(one.random, None)
    fakes = seen_by_d(model, model._synthesize(ws, one.random), one.random.scoped("fake"))
    reals = seen_by_d(model, one.real.images, one.random.scoped("real"))
    assert one.held_out is not None
    held_out = seen_by_d(model, one.held_out.images, one.random.scoped("held_out"))
    assert float((reals - one.real.images).abs().mean()) > 0.1
    scores = {
        "fake": model.discriminator(fakes),
        "real": model.discriminator(reals),
        "held_out": model.discriminator(held_out),
    }
    expected = F.softplus(scores["fake"]).mean() + F.softplus(-scores["real"]).mean()
    assert float(model.discriminator_loss(one)) == pytest.approx(float(expected), rel=1e-5)
    for name, logits in scores.items():
        reported = float(one.reports[f"scores/{name}"])
        assert reported == pytest.approx(float(logits.mean()), rel=1e-4, abs=1e-6)


def test_g_learns_through_the_augmentation() -> None:
    model = tiny(aug="fixed", p=0.7)
    one = step("G_main")
    ws, _ = model._map(one.random, None)
    fakes = model._synthesize(ws, one.random)
    expected = F.softplus(-model.discriminator(seen_by_d(model, fakes, one.random))).mean()
    loss = model.generator_loss(one)
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    loss.backward()
    rgb = model.generator.synthesis.parameters()
    assert sum(float(p.grad.abs().sum()) for p in rgb if p.grad is not None) > 0


def test_r1_is_the_gradient_of_the_image_before_augmentation() -> None:
    model = tiny(aug="fixed", p=0.8, mbstd_group=1, gamma=3.0)
    for network in model.networks.values():
        network.to(dtype="float64")
    one = step("D_reg", count=4)
    x = one.real.images.astype("float64")
    one.real.images = x
    parameters = sample(AugmentSettings.preset("bgc"), 0.8, SHAPE, one.random)
    loss = model.r1_loss(one)
    h, norms = 1e-5, []
    shifts = h * np.eye(x[0].size).reshape(-1, *SHAPE)
    shifts = np.concatenate([shifts, -shifts])
    for n in range(4):  # one pixel of image n up or down, for each pixel
        repeated = {
            name: np.repeat(values[n : n + 1], len(shifts), axis=0)
            for name, values in parameters.arrays().items()
        }
        moved = paddle.to_tensor(x[n].numpy() + shifts)
        with paddle.no_grad():
            images = apply(moved, dataclasses.replace(parameters, **repeated))
            up, down = model.discriminator(images).numpy()[:, 0].reshape(2, -1)
        norms.append((((up - down) / (2 * h)) ** 2).sum())
    assert float(loss) == pytest.approx(3.0 / 2 * np.mean(norms), rel=1e-6)
    loss.backward()
    weight = max(
        (p for p in model.discriminator.parameters() if p.grad is not None),
        key=lambda p: float(p.grad.abs().max()),
    )
    direction = np.random.RandomState(1).randn(*weight.shape)
    value, slopes = weight.numpy(), []
    for sign in (1, -1):
        weight.set_value(value + sign * 1e-6 * direction)
        again = step("D_reg", count=4)
        again.real.images = x
        slopes.append(float(model.r1_loss(again)))
    expected = float((weight.grad.numpy() * direction).sum())
    assert (slopes[0] - slopes[1]) / 2e-6 == pytest.approx(expected, rel=1e-4)


def test_without_augmentation_it_is_stylegan2() -> None:
    from pygan.algorithms.stylegan2 import StyleGAN2
    from pygan.algorithms.stylegan2_config import StyleGAN2Config

    paddle.seed(0)
    plain = StyleGAN2(StyleGAN2Config(**TINY), DataSpec(SHAPE))
    for model in (tiny(aug="noaug"), tiny(aug="ada"), tiny(aug="fixed", p=0.0)):
        assert model.p == 0
        for phase, other in zip(model.phases(), plain.phases(), strict=True):
            assert phase.name == other.name
            assert float(phase.loss(step(phase.name))) == float(other.loss(step(other.name)))


def run_phase(model: StyleGAN2ADA, name: str, means: dict[str, float]) -> None:
    """What the engine does at the end of a phase."""
    (phase,) = (phase for phase in model.phases() if phase.name == name)
    one = step(name)
    one.means = means
    phase.end([one])


def test_the_controller_hears_d_main_and_d_reg() -> None:
    model = tiny(ada_interval=2, ada_kimg=1.0, target=0.4)
    controller = model.controller
    assert controller is not None
    run_phase(model, "D_main", {"signs/real": 1.0, "scores/real": 2.0, "scores/fake": -1.0})
    model.end_iteration(1)
    assert model.p == 0
    run_phase(model, "D_main", {"signs/real": 0.5, "scores/real": 2.0, "scores/fake": -1.0})
    run_phase(model, "D_reg", {"signs/real": 0.0})
    model.end_iteration(2)
    assert controller.r == 0.5
    assert model.p == pytest.approx(8 * 2 / 1000)
    state = model.state()
    assert {"pl_mean", "augment/p", "augment/r", "augment/sums"} == state.keys()
    assert model.numbers() == {"pl_mean": 0.0, "augment/p": model.p, "augment/r": 0.5}
    assert model.tick_text() == "p 0.016  r 0.500"


def test_rv_compares_with_held_out_images() -> None:
    model = tiny(ada_signal="rv", validation=0.2, ada_interval=1)
    means = {"scores/real": 3.0, "scores/held_out": 1.0, "scores/fake": -1.0, "signs/real": 0.0}
    run_phase(model, "D_main", means)
    model.end_iteration(1)
    assert model.controller is not None
    assert model.controller.r == pytest.approx((3 - 1) / (3 + 1))


def test_it_warns_once_of_a_p_that_is_or_ought_to_be_too_high() -> None:
    model = tiny(ada_interval=1, ada_kimg=0.008, p_max=0.7)
    assert model.remarks() == []
    run_phase(model, "D_main", {"signs/real": 1.0})
    model.end_iteration(1)
    assert model.p == 0.7
    (text,) = model.remarks()
    assert text.startswith("warning: p is at its limit, --p-max 0.7,")
    assert model.remarks() == []
    (text,) = tiny(aug="fixed", p=0.9).remarks()
    assert "p is above 0.8" in text
    assert tiny(aug="fixed", p=0.8).remarks() == []


def test_strengths_replace_those_of_the_set() -> None:
    config = StyleGAN2ADAConfig(augpipe="blit", aug_xflip=0.0, aug_hue=0.5)
    config.validate()
    assert config.augmentation == AugmentSettings(rotate90=1, xint=1, hue=0.5)
    assert StyleGAN2ADAConfig().augmentation == AugmentSettings.preset("bgc")


def test_the_settings_in_force_reach_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Any, ...]] = []

    def watch(images: paddle.Tensor, *rest: Any) -> paddle.Tensor:
        seen.append(rest)
        return images

    monkeypatch.setattr(module, "augment", watch)
    model = tiny(aug="fixed", p=0.25, augpipe="geom", aug_scale=0.5)
    for phase in model.phases():
        phase.loss(step(phase.name))
    assert len(seen) == 4  # G_main, fakes and reals of D_main, D_reg; not G_reg
    settings = AugmentSettings(scale=0.5, rotate=1, aniso=1, xfrac=1)
    assert all(found[:2] == (settings, 0.25) for found in seen)
    # Fakes and reals draw different numbers.
    assert len({float(found[2].uniform("x").sum()) for found in seen}) == 4


def test_ada_has_the_paper_s_defaults_and_presets() -> None:
    config = resolve(StyleGAN2ADAConfig, {}, 256, 8)
    found = (config.aug, config.target, config.ada_kimg, config.ada_interval, config.augpipe)
    assert found == ("ada", 0.6, 500, 4, "bgc")
    assert (config.p_max, config.batch, config.gamma) == (0.8, 64, 0.0002 * 256**2 / 64)
    transferred = resolve(StyleGAN2ADAConfig, {}, 256, 8, {"channel_base": 512})
    assert (transferred.ada_kimg, transferred.ema_rampup) == (100, None)
    assert transferred.channel_base == 512
    assert resolve(StyleGAN2ADAConfig, {"ada_kimg": 7.0}, 256, 8, {}).ada_kimg == 7
    for preset, batch, gamma in (("paper256", 64, 1), ("paper512", 64, 0.5), ("cifar", 64, 0.01)):
        config = resolve(StyleGAN2ADAConfig, {"preset": preset}, 256, 8)
        assert (config.batch, config.gamma, config.aug) == (batch, gamma, "ada")
    demo = resolve(StyleGAN2ADAConfig, {"preset": "demo"}, 64, 1)
    assert (demo.ada_kimg, demo.channel_max) == (100, 64)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"aug": "on"}, "--aug: must be ada, fixed, noaug, got 'on'"),
        ({"aug": "fixed"}, "--p: must be given, from 0 to 1, with --aug fixed"),
        ({"aug": "fixed", "p": 1.1}, "--p: must be given, from 0 to 1"),
        ({"aug": "noaug", "p": 0.1}, "--p: must be left out"),
        ({"p": 0.85}, "--p: must be from 0 to --p-max, 0.8"),
        ({"p_max": 1.2}, "--p-max: must be above 0, and at most 1"),
        ({"augpipe": "bcg"}, "--augpipe: must be one of blit, geom"),
        ({"aug_hue": -0.5}, "--aug-hue: must be 0 or more"),
        ({"ada_signal": "rx"}, "--ada-signal: must be rt or rv"),
        ({"ada_signal": "rv"}, "--validation: must be above 0 with --ada-signal rv"),
        ({"ada_kimg": 0.0}, "--ada-kimg: must be positive"),
        ({"ada_interval": 0}, "--ada-interval: must be at least 1"),
        ({"target": 2.0}, "--target: must be from -1 to 1"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve(StyleGAN2ADAConfig, options, 64, 1)


@pytest.mark.parametrize("samples", [range(8), range(0, 8, 2)])
def test_augmentation_belongs_to_the_sample(samples: Sequence[int]) -> None:
    model = tiny(aug="fixed", p=0.8)
    x = step("D_main").real.images
    whole = model.augment(x, StepRandom(0, "D_main", 3, range(8))).numpy()
    part = model.augment(
        paddle.to_tensor(x.numpy()[list(samples)]), StepRandom(0, "D_main", 3, samples)
    )
    np.testing.assert_allclose(part.numpy(), whole[list(samples)], rtol=1e-5, atol=1e-6)
