"""Losses, running means and presets of StyleGAN2, against numpy and finite differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import paddle
import pytest

from pygan.algorithms.stylegan2 import StyleGAN2
from pygan.algorithms.stylegan2_config import StyleGAN2Config
from pygan.errors import InputError
from pygan.training import DataSpec, RealBatch, Step, StepRandom, World
from pygan.training.options import resolve

SHAPE = (3, 16, 16)
TINY = {
    "channel_base": 256,
    "channel_max": 8,
    "z_dim": 8,
    "w_dim": 8,
    "mapping_layers": 2,
    "batch": 8,
    "mbstd_group": 2,
}


def tiny(
    classes: Sequence[int] = (), shape: tuple[int, int, int] = SHAPE, **options: Any
) -> StyleGAN2:
    paddle.seed(0)
    config = StyleGAN2Config(**{**TINY, **options})
    return StyleGAN2(config, DataSpec(shape, tuple(classes)))


def steps(phase: str, rounds: int = 1, batch: int = 8, iteration: int = 0) -> list[Step]:
    images = np.random.RandomState(iteration).randint(0, 256, (batch, *SHAPE)).astype(np.uint8)
    found = []
    for round_ in range(rounds):
        samples = range(round_, batch, rounds)
        real = RealBatch(images[list(samples)], np.arange(batch)[list(samples)] % 2)
        random = StepRandom(0, phase, iteration, samples)
        found.append(Step(random, real, World(), rounds))
    return found


def softplus(x: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0)


def fakes(model: StyleGAN2, step: Step) -> paddle.Tensor:
    ws, _ = model._map(step.random, None)
    return model._synthesize(ws, step.random)


def test_main_losses_against_numpy() -> None:
    model = tiny()
    (step,) = steps("G_main")
    logits = model.discriminator(fakes(model, step)).numpy().astype(np.float64)
    loss = float(model.generator_loss(step))
    assert loss == pytest.approx(softplus(-logits).mean(), rel=1e-5)
    (step,) = steps("D_main")
    fake = model.discriminator(fakes(model, step)).numpy().astype(np.float64)
    real = model.discriminator(step.real.images).numpy().astype(np.float64)
    loss = float(model.discriminator_loss(step))
    assert loss == pytest.approx(softplus(fake).mean() + softplus(-real).mean(), rel=1e-5)
    assert float(step.reports["signs/real"]) == pytest.approx(np.sign(real).mean())


@pytest.mark.parametrize("classes", [(), (4, 4)])
@pytest.mark.parametrize("group", [1, 2, 4, 8, 16])
def test_one_pass_of_the_discriminator_equals_two(group: int, classes: tuple[int, ...]) -> None:
    model = tiny(classes=classes, mbstd_group=group, conditional=bool(classes))
    (step,) = steps("D_main")
    labels = model.data.random_labels(step.random)
    reals = step.real.labels if classes else None
    images = paddle.to_tensor(np.random.RandomState(1).randn(8, *SHAPE).astype(np.float32))
    together = model._discriminate(images, labels, step.real.images, reals)
    apart = (model.discriminator(images, labels), model.discriminator(step.real.images, reals))
    for one, two in zip(together, apart, strict=True):
        np.testing.assert_allclose(one.numpy(), two.numpy(), rtol=1e-4, atol=1e-5)


def double(model: StyleGAN2) -> None:
    """Makes all weights float64, for finite differences."""
    for network in model.networks.values():
        network.to(dtype="float64")


def test_r1_against_finite_differences() -> None:
    # Without groups the logit of an image depends on this image alone.
    model = tiny(shape=(3, 8, 8), mbstd_group=1, gamma=3.0)
    double(model)
    (step,) = steps("D_reg", batch=2)
    x = step.real.images[:, :, 4:12, 4:12].astype("float64")
    step.real.images = x
    loss = float(model.r1_loss(step))
    h, norms = 1e-5, []
    basis = np.eye(3 * 8 * 8).reshape(-1, 3, 8, 8) * h
    for image in x.numpy():
        with paddle.no_grad():
            plus = model.discriminator(paddle.to_tensor(image + basis)).numpy()
            minus = model.discriminator(paddle.to_tensor(image - basis)).numpy()
        norms.append((((plus - minus) / (2 * h)) ** 2).sum())
    assert loss == pytest.approx(3.0 / 2 * np.mean(norms), rel=1e-6)
    assert float(step.reports["r1"]) == pytest.approx(np.mean(norms), rel=1e-5)


def test_r1_weight_gradient_against_finite_differences() -> None:
    model = tiny(mbstd_group=1)
    double(model)

    def loss() -> paddle.Tensor:
        (step,) = steps("D_reg", batch=2)
        step.real.images = step.real.images.astype("float64")
        return model.r1_loss(step)

    loss().backward()
    assert_directional_derivative(model.discriminator, lambda: float(loss()))


def test_path_length_weight_gradient_against_finite_differences() -> None:
    # With pl_decay 0 the running mean is a constant, as in the gradient.
    model = tiny(mixing=0.5, pl_decay=0.0)
    paddle.assign(paddle.full([1], 0.1), output=model.pl_mean)
    double(model)
    model.pl_mean = model.pl_mean.astype("float64")
    to_tensor = paddle.to_tensor

    def loss() -> paddle.Tensor:
        (step,) = steps("G_reg", batch=4)
        return model.path_length_loss(step)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            paddle, "to_tensor", lambda x, dtype="float64", **kwargs: to_tensor(x, dtype, **kwargs)
        )
        loss().backward()
        assert_directional_derivative(model.generator, lambda: float(loss()))


def assert_directional_derivative(network: paddle.nn.Layer, loss: Any) -> None:
    """The gradient of all weights, along random directions, one per weight tensor."""
    random, h = np.random.RandomState(1), 1e-6
    checked = 0
    for name, weight in network.named_parameters():
        if weight.grad is None:
            continue
        value = weight.numpy()
        direction = random.randn(*value.shape)
        slopes = []
        for sign in (1, -1):
            weight.set_value(np.asarray(value + sign * h * direction))
            slopes.append(loss())
        weight.set_value(value)
        measured = (slopes[0] - slopes[1]) / (2 * h)
        expected = float((weight.grad.numpy() * direction).sum())
        assert measured == pytest.approx(expected, rel=2e-4, abs=1e-7), name
        checked += abs(expected) > 1e-6
    assert checked >= 8


def test_path_length_and_its_mean_against_numpy() -> None:
    model = tiny(pl_decay=0.01, pl_weight=2.0)
    mean = 0.0
    for iteration in range(3):
        (step,) = steps("G_reg", iteration=iteration)
        random = step.random.first(4)
        ws, _ = model._map(random, None)
        images = model._synthesize(ws, random)
        y = random.normal("path_length", SHAPE) / math.sqrt(SHAPE[1] * SHAPE[2])
        (jacobian,) = paddle.grad([(images * paddle.to_tensor(y)).sum()], [ws])
        lengths = np.sqrt((jacobian.numpy().astype(np.float64) ** 2).sum(axis=2).mean(axis=1))
        mean += 0.01 * (lengths.mean() - mean)
        loss = float(model.path_length_loss(step))
        model._update_pl_mean([step])
        assert loss == pytest.approx(2.0 * ((lengths - mean) ** 2).mean(), rel=1e-4)
        assert model.pl_mean.item() == pytest.approx(mean, rel=1e-5)
    assert model.state()["pl_mean"] is model.pl_mean


def test_w_average_is_that_of_the_whole_batch() -> None:
    expected, found = [], []
    for rounds in (1, 2):
        model = tiny()
        average = np.zeros(8)
        for iteration in range(3):
            parts = steps("G_main", rounds=rounds, iteration=iteration)
            z = np.concatenate([part.random.normal("z", [8]) for part in parts])
            w = model.generator.mapping(paddle.to_tensor(z)).numpy()[:, 0]
            average = w.mean(axis=0) + 0.995 * (average - w.mean(axis=0))
            for part in parts:
                model.generator_loss(part)
            model._update_w_avg(parts)
        expected.append(average)
        found.append(model.generator.mapping.w_avg.numpy())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-7)


def test_mixing_crosses_two_codes_at_one_layer() -> None:
    model = tiny(mixing=0.9)
    random = StepRandom(0, "s", 0, range(200))
    ws, w = model._map(random, None)
    other = model.generator.mapping(paddle.to_tensor(random.normal("z_mixing", [8])))[:, 0]
    from_first = (ws == w.unsqueeze(1)).all(axis=2).numpy()
    from_other = (ws == other.unsqueeze(1)).all(axis=2).numpy()
    assert (from_first ^ from_other).all()
    crossovers = from_first.sum(axis=1)
    layers = model.generator.num_ws
    assert (np.arange(layers) < crossovers[:, None]).tolist() == from_first.tolist()
    assert set(crossovers) == set(range(1, layers + 1))
    assert (crossovers == layers).mean() == pytest.approx(0.1, abs=0.06)


def test_without_mixing_all_layers_share_a_code() -> None:
    model = tiny(mixing=0.0)
    ws, w = model._map(StepRandom(0, "s", 0, range(4)), None)
    assert bool((ws == w.unsqueeze(1)).all())


def test_labels_follow_the_dataset() -> None:
    data = DataSpec(SHAPE, (0, 30, 10))
    labels = data.random_labels(StepRandom(0, "s", 0, range(400)))
    counts = np.bincount(labels.numpy(), minlength=3) / 400
    assert counts == pytest.approx([0, 0.75, 0.25], abs=0.06)
    assert DataSpec(SHAPE).random_labels(StepRandom(0, "s", 0, range(4))) is None


def test_conditional_losses_use_the_labels() -> None:
    model = tiny(classes=(4, 4), conditional=True)
    for loss, phase in (
        (model.generator_loss, "G_main"),
        (model.path_length_loss, "G_reg"),
        (model.discriminator_loss, "D_main"),
        (model.r1_loss, "D_reg"),
    ):
        (step,) = steps(phase)
        value = loss(step)
        value.backward()
        assert np.isfinite(float(value))
    (step,) = steps("D_main")
    step.real._labels = 1 - step.real._labels
    assert float(model.discriminator_loss(step)) != float(
        model.discriminator_loss(steps("D_main")[0])
    )


def test_optimizers_carry_the_lazy_correction() -> None:
    model = tiny(g_lr=0.002, d_lr=0.003, pl_interval=4, r1_interval=16)
    for name, rate, c in (("G", 0.002, 4 / 5), ("D", 0.003, 16 / 17)):
        optimizer = model.optimizer(name)
        assert optimizer.get_lr() == pytest.approx(rate * c)
        assert optimizer._beta1 == 0
        assert optimizer._beta2 == pytest.approx(0.99**c)
    plain = tiny(g_lr=0.002, pl_weight=0.0).optimizer("G")
    assert plain.get_lr() == 0.002
    assert plain._beta2 == 0.99


def test_phases_and_their_gains() -> None:
    found = [(p.name, p.network, p.interval, p.gain) for p in tiny().phases()]
    assert found == [
        ("G_main", "G", 1, 1),
        ("G_reg", "G", 4, 4),
        ("D_main", "D", 1, 1),
        ("D_reg", "D", 16, 16),
    ]
    assert [p.name for p in tiny(gamma=0.0, pl_weight=0.0).phases()] == ["G_main", "D_main"]


# cfg: kimg, batch, mbstd, fmaps, lr, gamma, ema kimg, ramp-up, mapping layers
PAPER = {
    "stylegan2": (25000, 32, 4, 1, 0.002, 10, 10, None, 8),
    "paper256": (25000, 64, 8, 0.5, 0.0025, 1, 20, None, 8),
    "paper512": (25000, 64, 8, 1, 0.0025, 0.5, 20, None, 8),
    "paper1024": (25000, 32, 4, 1, 0.002, 2, 10, None, 8),
    "cifar": (100000, 64, 32, 1, 0.0025, 0.01, 500, 0.05, 2),
}


@pytest.mark.parametrize("preset", sorted(PAPER))
def test_presets_are_those_of_the_papers(preset: str) -> None:
    config = resolve(StyleGAN2Config, {"preset": preset}, 256, 1)
    found = (
        config.kimg,
        config.batch,
        config.mbstd_group,
        config.channel_base / 32768,
        config.g_lr,
        config.gamma,
        config.ema_kimg,
        config.ema_rampup,
        config.mapping_layers,
    )
    assert found == PAPER[preset]
    assert config.d_lr == config.g_lr
    cifar = preset == "cifar"
    assert config.d_architecture == ("orig" if cifar else "resnet")
    assert (config.pl_weight, config.mixing) == ((0, 0) if cifar else (2, 0.9))
    assert (config.channel_max, config.r1_interval, config.pl_interval) == (512, 16, 4)


@pytest.mark.parametrize(
    ("resolution", "gpus", "batch", "fmaps", "rate"),
    [
        (32, 1, 32, 0.5, 0.0025),
        (256, 1, 16, 0.5, 0.0025),
        (256, 8, 64, 0.5, 0.0025),
        (512, 2, 16, 1, 0.0025),
        (1024, 8, 32, 1, 0.002),
    ],
)
def test_auto_preset(resolution: int, gpus: int, batch: int, fmaps: float, rate: float) -> None:
    config = resolve(StyleGAN2Config, {}, resolution, gpus)
    assert config.preset == "auto"
    assert config.batch == batch
    assert config.mbstd_group == min(batch // gpus, 4)
    assert config.channel_base == 32768 * fmaps
    assert (config.g_lr, config.d_lr) == (rate, rate)
    assert config.gamma == pytest.approx(0.0002 * resolution**2 / batch)
    assert config.ema_kimg == pytest.approx(batch * 10 / 32)
    assert (config.ema_rampup, config.mapping_layers) == (0.05, 2)


def test_auto_preset_follows_the_batch_that_was_given() -> None:
    config = resolve(StyleGAN2Config, {"batch": 6}, 64, 1)
    assert (config.batch, config.mbstd_group) == (6, 3)
    assert config.gamma == pytest.approx(0.0002 * 64**2 / 6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "paper2048"}, "unknown preset 'paper2048'; choose from: auto"),
        ({"g_architecture": "unet"}, "--g-architecture: must be orig or skip or resnet"),
        ({"mixing": 1.5}, "--mixing: must be from 0 to 1, got 1.5"),
        ({"gamma": -1.0}, "--gamma: must be 0 or more"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve(StyleGAN2Config, options, 256, 1)


def test_batches_that_the_groups_do_not_divide_are_refused() -> None:
    model = tiny(mbstd_group=4)
    model.check_split(2)
    with pytest.raises(InputError, match="--mbstd-group: groups of 4 do not divide the 6"):
        model.check_split(6)


def test_sizes_without_a_pyramid_are_refused() -> None:
    with pytest.raises(InputError, match="17 x 16 images"):
        StyleGAN2(StyleGAN2Config(**TINY), DataSpec((3, 16, 17)))


def test_samples_are_a_function_of_the_seed() -> None:
    model = tiny()
    networks = {"G": model.generator}
    for noise in ("const", "random", "none"):
        many = StyleGAN2.sample(networks, model.config, [5, 6, 7], None, noise=noise)
        one = StyleGAN2.sample(networks, model.config, [6], None, noise=noise)
        np.testing.assert_allclose(one.numpy()[0], many.numpy()[1], rtol=1e-4, atol=1e-5)
    z = paddle.to_tensor(np.random.RandomState(6).randn(1, 8).astype(np.float32))
    expected = model.generator(z, truncation=0.7, noise="const")
    found = StyleGAN2.sample(networks, model.config, [6], None, truncation=0.7)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)
