"""Losses, splitting, rates and images of SPADE."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
from paired_steps import LABELS, planes, steps

from pygan.algorithms import find_algorithm
from pygan.algorithms.spade import SPADE
from pygan.algorithms.spade_config import SPADEConfig
from pygan.data.scenes import scene
from pygan.errors import InputError
from pygan.ops import instance_edges
from pygan.training import DataSpec, make_condition
from pygan.training.options import resolve

TINY: dict[str, Any] = {
    "channel_base": 2,
    "d_channel_base": 4,
    "e_channel_base": 2,
    "hidden": 4,
    "z_dim": 4,
    "d_layers": 2,
    "batch": 4,
    "perceptual": "none",
}


def tiny(size: tuple[int, int] = (32, 32), instances: bool = True, **options: Any) -> SPADE:
    paddle.seed(0)
    data = DataSpec((3, *size), label_count=LABELS, instances=instances)
    model = SPADE(SPADEConfig(**{**TINY, **options}), data)
    for network in model.networks.values():  # away from initial values, where outputs hardly differ
        for parameter in network.parameters():
            parameter.set_value(parameter + 0.3 * paddle.randn(parameter.shape))
    return model


def mean_relu(x: np.ndarray) -> float:
    return float(np.maximum(x, 0).mean())


def run(model: SPADE, phase: str, given: dict[str, np.ndarray], rounds: int = 1) -> list[Any]:
    """The losses of a phase, as the engine runs it, without the optimiser."""
    (found,) = (p for p in model.phases() if p.name == phase)
    for name, network in model.networks.items():
        for parameter in network.parameters():
            parameter.stop_gradient = name != found.network
    batches = steps(phase, given, rounds=rounds)
    found.begin(batches)
    losses = []
    for step in batches:
        losses.append(found.loss(step))
        (losses[-1] / rounds).backward()
    return losses


def test_it_is_registered() -> None:
    assert find_algorithm("spade") is SPADE


@pytest.mark.parametrize("vae", [False, True])
def test_losses_are_the_papers(vae: bool) -> None:
    model, given = tiny(vae=vae, fm_weight=7.0, kl_weight=0.3), planes(4)
    (loss,) = run(model, "G", given)
    step = steps("G", given)[0]
    real = step.real
    labels, edges = real.labelmaps, instance_edges(real.instances)
    z, kl = None, 0.0
    if vae:
        mean, log_variance = model.encoder(real.images)
        noise = paddle.to_tensor(step.random.normal("style", [4]))
        z = mean + noise * paddle.exp(log_variance / 2)
        m, lv = mean.numpy().astype(np.float64), log_variance.numpy().astype(np.float64)
        kl = float(-0.5 * (1 + lv - m**2 - np.exp(lv)).sum() / 4)
    fakes = model.generator(labels, edges, z)
    fake = model.discriminator(labels, paddle.concat([edges, fakes], axis=1))
    judged = model.discriminator(labels, paddle.concat([edges, real.images], axis=1))
    adversarial = -np.mean([scale[-1].numpy().mean() for scale in fake])
    matching = np.mean(
        [
            sum(np.abs(a.numpy() - b.numpy()).mean() for a, b in zip(f[:-1], r[:-1]))
            for f, r in zip(fake, judged)
        ]
    )
    assert len(fake) == 2
    assert loss.item() == pytest.approx(adversarial + 7 * matching + 0.3 * kl, rel=1e-4)

    # The discriminator sees both in one batch, which must not change what it says.
    for network in model.networks.values():
        network.clear_gradients()
    (loss,) = run(model, "D", given)
    if vae:
        noise = paddle.to_tensor(steps("D", given)[0].random.normal("style", [4]))
        mean, log_variance = model.encoder(real.images)
        z = mean + noise * paddle.exp(log_variance / 2)
    fakes = model.generator(labels, edges, z)
    expected = 0.0
    for images, sign in ((fakes, 1), (real.images, -1)):
        scales = model.discriminator(labels, paddle.concat([edges, images], axis=1))
        expected += np.mean([mean_relu(1 + sign * scale[-1].numpy()) for scale in scales])
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_perceptual_distance_joins_the_loss() -> None:
    model, given = tiny(fm_weight=0.0, perceptual_weight=3.0), planes(2)
    without = run(model, "G", given)[0].item()

    class Distance:
        def distance(self, a: paddle.Tensor, b: paddle.Tensor) -> paddle.Tensor:
            return paddle.square(a - b).mean([1, 2, 3])

    model.perceptual = Distance()  # type: ignore[assignment]
    step = steps("G", given)[0]
    loss = model.generator_loss(step).item()
    assert loss - without == pytest.approx(3 * step.reports["perceptual"].item(), rel=1e-3)


@pytest.mark.parametrize("phase", ["G", "D"])
def test_splitting_a_batch_does_not_change_gradients(phase: str) -> None:
    """Of instance norms; of batch norms it must, unless processes share their statistics."""
    given, gradients = planes(4), []
    for rounds in (1, 2):
        model = tiny(norm="instance", vae=True)
        run(model, phase, given, rounds)
        gradients.append({n: p.grad for n, p in model.networks[phase].named_parameters()})
    for name, whole in gradients[0].items():
        scale = abs(whole).max().item()
        np.testing.assert_allclose(
            gradients[1][name].numpy(), whole.numpy(), atol=2e-4 * scale + 1e-6, err_msg=name
        )


def test_each_phase_is_one_power_iteration() -> None:
    model, given = tiny(), planes(4)
    conv = model.discriminator.scales[0].middle[0][0]
    weight = conv.weight_orig.numpy().reshape(len(conv.weight_orig), -1)
    u = conv.weight_u.numpy()
    run(model, "G", given, rounds=2)
    expected = weight @ (weight.T @ u)
    np.testing.assert_allclose(
        conv.weight_u.numpy(), expected / np.linalg.norm(expected), rtol=1e-4, atol=1e-6
    )


def test_only_the_trained_network_gets_gradients() -> None:
    model, given = tiny(vae=True), planes(2)
    run(model, "D", given)
    assert all(p.grad is None for p in model.networks["G"].parameters())
    assert all(p.grad is not None for p in model.networks["D"].parameters())


def test_rates_of_two_scales_fall_at_the_end() -> None:
    model = tiny(kimg=10.0, lr_decay=0.5, g_lr=1e-4, d_lr=4e-4)
    assert model.optimizer("G").get_lr() == 1e-4
    assert model.optimizer("D").get_lr() == 4e-4
    assert model.learning_rates(4000) == {"G": 1e-4, "D": 4e-4}
    assert model.learning_rates(7500) == pytest.approx({"G": 5e-5, "D": 2e-4})
    assert model.learning_rates(10000) == {"G": 0, "D": 0}


def condition(batch: int = 3) -> Any:
    given = planes(batch)
    return make_condition(given["labelmaps"], given["instances"])


def test_images_follow_from_the_seed_and_the_condition_alone() -> None:
    model = tiny(vae=True)
    network = model.networks["G"]
    run(model, "G", planes(4))  # running statistics
    network.eval()
    whole = SPADE.render(model.networks, model.config, [5, 6, 7], condition())
    alone = SPADE.render(model.networks, model.config, [6], condition()[1:2])
    np.testing.assert_allclose(alone.numpy(), whole.numpy()[1:2], rtol=1e-4, atol=1e-5)
    other = SPADE.render(model.networks, model.config, [8], condition()[1:2])
    assert abs(other - alone).max().item() > 1e-3


def test_style_of_a_photo() -> None:
    model = tiny(vae=True)
    model.networks["G"].eval()
    photos = paddle.to_tensor(planes(2)["pixels"][:, :, :24] / 127.5 - 1).astype("float32")
    first, second = (
        SPADE.render(model.networks, model.config, [1, 2, 3], condition(), style=photos[i : i + 1])
        for i in range(2)
    )
    mean, _ = model.encoder(photos[:1])
    labels, edges = condition().labelmaps, instance_edges(condition().instances)
    expected = model.generator(labels, edges, mean.tile([3, 1]))
    np.testing.assert_allclose(first.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)
    assert abs(first - second).max().item() > 1e-3
    plain = tiny()
    with pytest.raises(InputError, match="without --vae"):
        SPADE.render(plain.networks, plain.config, [1], condition(1), style=photos[:1])


def test_it_learns() -> None:
    """Images of two scenes become like them, and less like each other's."""
    scenes = [scene(0, number, 32, 32) for number in range(2)]
    given = {
        "pixels": np.stack([one.image for one in scenes]).transpose(0, 3, 1, 2),
        "labelmaps": np.stack([one.labels for one in scenes]),
        "instances": np.stack([one.instances for one in scenes]),
    }
    paddle.seed(0)
    wider = {"channel_base": 4, "hidden": 16, "d_channel_base": 8, "g_lr": 0.002, "d_lr": 0.004}
    model = SPADE(
        SPADEConfig(**{**TINY, **wider}), DataSpec((3, 32, 32), label_count=10, instances=True)
    )
    optimizers = {name: model.optimizer(name) for name in model.networks}

    def distances() -> tuple[float, float]:
        real = steps("G", given)[0].real
        with paddle.no_grad():
            images = model.generator(real.labelmaps, instance_edges(real.instances))
        own, other = ((x - real.images).abs().mean().item() for x in (images, images.flip(0)))
        return own, other

    before, _ = distances()
    for _ in range(20):
        for name, optimizer in optimizers.items():
            run(model, name, given)
            optimizer.step()
            optimizer.clear_grad(set_to_zero=False)
    own, other = distances()
    assert own < 0.5 * before
    assert own < 0.9 * other


def test_sizes_that_cannot_be_made_are_refused() -> None:
    with pytest.raises(InputError, match=r"multiples of 32.*--load-size and --crop"):
        tiny(size=(48, 64))


def test_datasets_without_instances_and_without_edges() -> None:
    for model in (tiny(instances=False), tiny(edges=False)):
        assert model.generator.fc.extra_channels == 0
    assert tiny().generator.fc.extra_channels == 1


def test_presets() -> None:
    def config(preset: str, **given: Any) -> SPADEConfig:
        return resolve(SPADEConfig, {"preset": preset, **given}, 256, 1, images=2975)

    paper = config("paper")
    assert (paper.g_lr, paper.d_lr, paper.beta1, paper.beta2) == (1e-4, 4e-4, 0.0, 0.9)
    assert (paper.fm_weight, paper.perceptual_weight, paper.kl_weight) == (10, 10, 0.05)
    assert paper.kimg == 200 * 2.975
    assert (config("coco").lr_decay, config("coco").epochs) == (0, 100)
    assert config("demo").channel_base < 64
    assert config("demo", channel_base=48).channel_base == 48
    with pytest.raises(InputError, match="paper, coco, demo"):
        config("large")


@pytest.mark.parametrize(
    ("option", "value", "legal"),
    [
        ("layers", "few", "normal, more, most"),
        ("norm", "layer", "batch, sync, instance"),
        ("d_layers", 1, "at least 2"),
        ("lr_decay", 2.0, "from 0 to 1"),
        ("perceptual", "alexnet", "auto, none, vgg19"),
        ("kl_weight", -1.0, "0 or more"),
        ("g_lr", 0.0, "positive"),
    ],
)
def test_options_out_of_range_are_refused(option: str, value: Any, legal: str) -> None:
    config = SPADEConfig(**{**TINY, option: value})
    with pytest.raises(InputError, match=f"--{option.replace('_', '-')}: must be .*{legal}"):
        config.validate()
