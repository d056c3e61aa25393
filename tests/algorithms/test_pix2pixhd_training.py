"""Losses, the course of training and images of Pix2PixHD."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from paired_steps import LABELS, planes, steps

from pygan.algorithms import find_algorithm
from pygan.algorithms.pix2pixhd import Pix2PixHD
from pygan.algorithms.pix2pixhd_config import Pix2PixHDConfig
from pygan.cli import main
from pygan.data.pair_build import build_pairs
from pygan.data.scenes import scenes
from pygan.errors import InputError
from pygan.ops import instance_edges
from pygan.training import DataSpec, make_condition
from pygan.training.options import resolve

TINY: dict[str, Any] = {
    "channel_base": 4,
    "downs": 2,
    "blocks": 1,
    "local_blocks": 1,
    "e_channel_base": 2,
    "d_channel_base": 4,
    "d_layers": 2,
    "batch": 2,
    "perceptual": "none",
}
LABELMAPS = DataSpec((3, 32, 32), label_count=LABELS, instances=True)


def tiny(data: DataSpec = LABELMAPS, **options: Any) -> Pix2PixHD:
    paddle.seed(0)
    model = Pix2PixHD(Pix2PixHDConfig(**{**TINY, **options}), data)
    for network in model.networks.values():  # away from initial values, where outputs hardly differ
        for parameter in network.parameters():
            parameter.set_value(parameter + 0.2 * paddle.randn(parameter.shape))
    return model


def run(model: Pix2PixHD, phase: str, batches: list[Any]) -> list[Any]:
    """The losses of a phase, as the engine runs it, without the optimiser."""
    (found,) = (p for p in model.phases() if p.name == phase)
    for name, network in model.networks.items():
        for parameter in network.parameters():
            parameter.stop_gradient = name != found.network
    found.begin(batches)
    losses = []
    for step in batches:
        losses.append(found.loss(step))
        (losses[-1] / len(batches)).backward()
    found.end(batches)
    return losses


def test_it_is_registered() -> None:
    assert find_algorithm("pix2pixhd") is Pix2PixHD


@pytest.mark.parametrize("kind", ["labelmaps", "sources", "features"])
@pytest.mark.parametrize("gan", ["lsgan", "vanilla"])
def test_losses_are_the_papers(gan: str, kind: str) -> None:
    kinds, data = ("labelmaps", "instances"), LABELMAPS
    if kind == "sources":
        kinds, data = ("sources",), DataSpec((3, 32, 32), source_channels=1)
    model = tiny(data, gan=gan, fm_weight=7.0, features=kind == "features")
    given = planes(2)
    (loss,) = run(model, "G", steps("G", given, kinds))
    real = steps("G", given, kinds)[0].real
    labels = None if kind == "sources" else real.labelmaps
    maps = real.sources if kind == "sources" else instance_edges(real.instances)
    seen = maps
    if kind == "features":
        features = model.network.encoder(real.images, real.instances)
        seen = paddle.concat([maps, features], axis=1)
    fakes = model.generator(labels, seen)
    fake = model.discriminator(labels, paddle.concat([maps, fakes], axis=1))
    judged = model.discriminator(labels, paddle.concat([maps, real.images], axis=1))

    def g(logits: paddle.Tensor, real: bool) -> float:
        x = logits.numpy().astype(np.float64)
        if gan == "lsgan":
            return float(((x - real) ** 2).mean())
        return float(np.log1p(np.exp(-x if real else x)).mean())

    adversarial = sum(g(scale[-1], True) for scale in fake)
    layers = [pair for f, r in zip(fake, judged) for pair in zip(f[:-1], r[:-1])]
    matching = sum(np.abs(a.numpy() - b.numpy()).mean() for a, b in layers)
    matching *= 4 / (2 + 1) / 2  # layers and scales
    assert loss.item() == pytest.approx(adversarial + 7 * matching, rel=1e-4)

    (loss,) = run(model, "D", steps("D", given, kinds))
    expected = sum(g(f[-1], False) + g(r[-1], True) for f, r in zip(fake, judged)) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_the_paper_counts_matching_layers_once() -> None:
    """4 / (n_layers + 1) is 1 for the three layers of the paper."""
    config = Pix2PixHDConfig()
    assert (config.d_layers, config.fm_weight, config.perceptual_weight) == (3, 10, 10)
    assert 4 / (config.d_layers + 1) == 1


def test_splitting_a_batch_does_not_change_gradients() -> None:
    given, gradients = planes(4), []
    for rounds in (1, 2):
        model = tiny(features=True)
        for phase in ("G", "D"):
            run(model, phase, steps(phase, given, rounds=rounds))
        gradients.append(
            {f"{k}/{n}": p.grad for k, m in model.networks.items() for n, p in m.named_parameters()}
        )
        bank = model.network.bank.centres.numpy()
        gradients[-1]["bank"] = paddle.to_tensor(bank)
    for name, whole in gradients[0].items():
        scale = abs(whole).max().item()
        np.testing.assert_allclose(
            gradients[1][name].numpy(), whole.numpy(), atol=2e-4 * scale + 1e-5, err_msg=name
        )


def test_the_coarse_network_is_held_at_first() -> None:
    model, given = tiny(enhancers=1, hold_kimg=0.01), planes(2)
    held = {id(p) for p in model.generator.coarse_parameters()}
    for nimg, holds in [(0, True), (8, True), (10, False)]:
        run(model, "G", steps("G", given, nimg=nimg))
        for name, parameter in model.networks["G"].named_parameters():
            trained = parameter.grad is not None
            assert trained == (not holds or id(parameter) not in held), (nimg, name)
        model.networks["G"].clear_gradients(set_to_zero=False)


def test_epochs_say_how_long_it_is_held() -> None:
    config = resolve(Pix2PixHDConfig, {"preset": "local", **TINY}, 2048, 1, images=3000)
    assert config.kimg == 300
    assert config.hold_images == 30_000
    assert resolve(Pix2PixHDConfig, {**TINY}, 512, 1, images=3000).hold_images == 0


def test_rates_fall_in_the_second_half() -> None:
    model = tiny(kimg=10.0)
    assert model.learning_rates(5000) == {"G": 2e-4, "D": 2e-4}
    assert model.learning_rates(7500) == pytest.approx({"G": 1e-4, "D": 1e-4})


def test_images_follow_from_the_seed_and_the_condition_alone() -> None:
    model, given = tiny(features=True), planes(3)
    model.network.eval()
    model.network.bank.set_centres(
        [np.random.RandomState(i).uniform(-1, 1, (i, 3)) for i in (10, 3, 0)]
    )
    condition = make_condition(given["labelmaps"], given["instances"])
    whole = Pix2PixHD.render(model.networks, model.config, [5, 6, 7], condition)
    alone = Pix2PixHD.render(model.networks, model.config, [6], condition[1:2])
    np.testing.assert_allclose(alone.numpy(), whole.numpy()[1:2], rtol=1e-4, atol=1e-5)
    other = Pix2PixHD.render(model.networks, model.config, [8], condition[1:2])
    assert abs(other - alone).max().item() > 1e-3
    with pytest.raises(InputError, match="takes no style"):
        Pix2PixHD.render(model.networks, model.config, [1], condition[:1], whole[:1])


def test_a_fine_run_starts_from_a_coarse_one(tmp_path: Path) -> None:
    data = tmp_path / "scenes.zip"
    build_pairs(scenes(size=(32, 32), count=4), data)
    tail = ["--data", data, "--epochs", "null", "--tick", 0.004, "--grid", "1x1", "--workers", 0]
    for name, value in TINY.items():
        tail += [f"--{name.replace('_', '-')}", value]
    coarse, fine = tmp_path / "coarse", tmp_path / "fine"
    words = ["train", "pix2pixhd", "--out", coarse, "--kimg", 0.004, *tail]
    assert main([str(word) for word in words]) == 0
    words = ["train", "pix2pixhd", "--out", fine, "--kimg", 0.008, *tail]
    words += ["--enhancers", 1, "--hold-kimg", 0.004, "--resume", coarse]
    assert main([str(word) for word in words]) == 0
    from pygan.training.checkpoint import load

    folders = sorted((fine / "checkpoints").glob("iter-*"))
    start = load(sorted((coarse / "checkpoints").glob("iter-*"))[-1]).arrays("G")
    first, last = load(folders[0]).arrays("G"), load(folders[-1]).arrays("G")
    shared = [name for name in start if "image" not in name]
    assert len(shared) > 10
    for name in shared:
        np.testing.assert_array_equal(first[name], start[name], err_msg=name)
    moved = [name for name in shared if not np.array_equal(last[name], start[name])]
    assert moved  # once it was let go


def test_networks_follow_the_data() -> None:
    assert tiny(edges=False).generator.coarse.stem.first.extra_channels == 0
    with pytest.raises(InputError, match="multiples of 8 with --downs 2 and --enhancers 1"):
        tiny(DataSpec((3, 36, 32), label_count=3), enhancers=1)
    with pytest.raises(InputError, match="--features: needs label maps"):
        tiny(DataSpec((3, 32, 32), source_channels=3), features=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gan": "wgan"}, "--gan: must be hinge, lsgan, vanilla"),
        ({"enhancers": 3}, "--channel-base: must be divisible by 2"),
        ({"hold_kimg": 1.0}, "--hold-kimg: must be 0 without --enhancers"),
        ({"downs": 0}, "--downs: must be at least 1"),
        ({"lr_decay": -0.5}, "--lr-decay: must be from 0 to 1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Pix2PixHDConfig(**{**TINY, **options}).validate()
