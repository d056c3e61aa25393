"""Losses, iterations, presets and images of Pix2Pix, against numpy and plain Paddle."""

from __future__ import annotations

import copy
from typing import Any, Optional

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from pygan.algorithms.pix2pix import Pix2Pix
from pygan.algorithms.pix2pix_colorization import Pix2PixColorization, grey, merge, split
from pygan.algorithms.pix2pix_config import Pix2PixConfig
from pygan.errors import InputError
from pygan.training import Condition, DataSpec, RealBatch, Step, StepRandom, World
from pygan.training.loop import Trainer
from pygan.training.options import resolve

TINY = {
    "channel_base": 3,
    "channel_max": 5,
    "d_channel_base": 3,
    "d_layers": 1,
    "batch": 2,
    "workers": 0,
}
LABELS = DataSpec((3, 16, 24), label_count=4, instances=True)
SOURCES = DataSpec((3, 16, 24), source_channels=2)


def tiny(data: DataSpec = LABELS, algorithm: type[Pix2Pix] = Pix2Pix, **options: Any) -> Pix2Pix:
    paddle.seed(0)
    return algorithm(Pix2PixConfig(**{**TINY, **options}), data)


def batch(data: DataSpec, count: int = 2, seed: int = 0) -> RealBatch:
    rng = np.random.default_rng(seed)
    channels, height, width = data.image_shape

    def pixels(number: int) -> Optional[np.ndarray]:
        shape = (count, number, height, width)
        return rng.integers(0, 256, shape).astype(np.uint8) if number else None

    def ids(number: int) -> Optional[np.ndarray]:
        shape = (count, height, width)
        return rng.integers(0, number, shape).astype(np.uint8) if number else None

    instances = ids(3 if data.instances else 0)
    return RealBatch(
        pixels(channels), None, ids(data.label_count), instances, pixels(data.source_channels)
    )


def step_of(phase: str, real: RealBatch, rounds: int = 1, iteration: int = 0) -> Step:
    samples = range(real.images.shape[0])
    return Step(StepRandom(0, phase, iteration, samples), real, World(), rounds)


def softplus(x: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0)


class PairsInMemory:
    """As much of a PairedDataset as the trainer needs."""

    fingerprint = "memory"
    num_classes = 0

    def __init__(self, data: DataSpec, count: int = 4) -> None:
        self.image_shape = data.image_shape
        self.label_count, self.dont_care = data.label_count, None
        self.instances, self.source_channels = data.instances, data.source_channels
        self.originals = count

    def __len__(self) -> int:
        return self.originals


# --- losses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("gan", ["vanilla", "lsgan"])
@pytest.mark.parametrize("conditional", [True, False])
@pytest.mark.parametrize("rounds", [1, 2])
def test_losses_against_numpy(gan: str, conditional: bool, rounds: int) -> None:
    model = tiny(gan=gan, d_conditional=conditional, l1_weight=7.0, gan_weight=0.5)
    real = batch(LABELS)
    source, image = model.pair(real)
    edges = np.array([[[False]]]) | np.zeros((2, 16, 24), dtype=bool)
    ids = real.instances.numpy()
    edges[:, 1:] |= ids[:, 1:] != ids[:, :-1]
    edges[:, :-1] |= ids[:, 1:] != ids[:, :-1]
    edges[:, :, 1:] |= ids[:, :, 1:] != ids[:, :, :-1]
    edges[:, :, :-1] |= ids[:, :, 1:] != ids[:, :, :-1]
    one_hot = np.eye(4)[real.labelmaps.numpy()].transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(source.numpy(), np.concatenate([one_hot, edges[:, None]], 1))

    step = step_of("D", real, rounds)
    d_loss = float(model.discriminator_loss(step))
    g_loss = float(model.generator_loss(step_of("G", real, rounds)))
    shapes = model.generator.dropout_shapes(16, 24)
    coins = StepRandom(0, "dropout", 0, range(2)).coins("masks", shapes)
    fake = model.generator(source, [paddle.to_tensor(2 * c) for c in coins])

    def judge(image: paddle.Tensor) -> np.ndarray:
        seen = paddle.concat([source, image], 1) if conditional else image
        return model.discriminator(seen).numpy().astype(np.float64)

    def distance(logits: np.ndarray, answer: int) -> float:
        if gan == "lsgan":
            return float(((logits - answer) ** 2).mean())
        return float(softplus(-logits if answer else logits).mean())

    assert d_loss == pytest.approx((distance(judge(fake), 0) + distance(judge(image), 1)) / 2, 1e-5)
    l1 = np.abs(fake.numpy() - image.numpy()).mean()
    assert g_loss == pytest.approx(0.5 * distance(judge(fake), 1) + 7 * l1, rel=1e-5)


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_iterations_are_those_of_the_paper(norm: str) -> None:
    """D steps first, then G against the new D, from one pass of G, with Adam and a falling rate."""
    options = {**TINY, "norm": norm, "kimg": 0.012, "lr_decay": 0.5, "lr": 0.01}
    trainer = Trainer(Pix2PixConfig(**options), Pix2Pix, PairsInMemory(LABELS))
    g, d = (copy.deepcopy(trainer.networks[name]) for name in "GD")
    for p in [*g.parameters(), *d.parameters()]:
        p.stop_gradient = False
    adam = [
        paddle.optimizer.Adam(0.01, 0.5, 0.999, 1e-8, parameters=net.parameters()) for net in (g, d)
    ]
    reals = [batch(LABELS, seed=i) for i in range(6)]
    batches = iter([(real, None) for real in reals])
    for iteration, real in enumerate(reals):
        trainer.step(batches)
        source, image = trainer.algorithm.pair(real)
        random = StepRandom(0, "dropout", iteration, range(2))
        coins = random.coins("masks", g.dropout_shapes(16, 24))
        fake = g(source, [paddle.to_tensor(2 * c) for c in coins])
        for optimizer in adam:
            optimizer.set_lr(0.01 * [1, 1, 1, 1, 2 / 3, 1 / 3][iteration])

        def cross_entropy(image: paddle.Tensor, answer: float, source=source) -> paddle.Tensor:
            logits = d(paddle.concat([source, image], 1))
            target = paddle.full_like(logits, answer)
            return F.binary_cross_entropy_with_logits(logits, target)

        d_loss = cross_entropy(fake.detach(), 0.0) + cross_entropy(image, 1.0)
        (d_loss * 0.5).backward()
        adam[1].step()
        adam[1].clear_grad()
        (cross_entropy(fake, 1.0) + 100 * F.l1_loss(fake, image)).backward()
        adam[0].step()
        for optimizer in adam:  # what G's loss left in D, too
            optimizer.clear_grad()
    for ours, theirs in ((trainer.networks["G"], g), (trainer.networks["D"], d)):
        for (name, found), expected in zip(ours.state_dict().items(), theirs.state_dict().values()):
            if norm == "instance" and found.ndim == 1:
                continue  # biases that the norm takes away: their gradients are rounding errors
            np.testing.assert_allclose(
                found.numpy(), expected.numpy(), rtol=2e-3, atol=2e-5, err_msg=name
            )


def test_without_a_gan_there_is_no_discriminator_phase() -> None:
    model = tiny(gan_weight=0.0)
    assert [phase.name for phase in model.phases()] == ["G"]
    assert [phase.name for phase in tiny().phases()] == ["D", "G"]
    loss = model.generator_loss(step := step_of("G", batch(LABELS)))
    assert float(loss) == pytest.approx(100 * float(step.reports["l1"]))


def test_accumulation_leaves_one_trace_in_the_running_statistics() -> None:
    """D's phase of a split batch does not go on with its images, and leaves G as it was."""
    model = tiny()
    before = {k: v.numpy().copy() for k, v in model.generator.state_dict().items()}
    model.discriminator_loss(step_of("D", batch(LABELS), rounds=2))
    for name, value in model.generator.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    assert model.generator.training
    model.generator_loss(step_of("G", batch(LABELS), rounds=2))
    changed = [k for k, v in model.generator.state_dict().items() if (v.numpy() != before[k]).any()]
    assert changed
    assert all("running" in name for name in changed)


# --- networks that suit the data ------------------------------------------------------------------


def test_networks_follow_the_data() -> None:
    model = tiny()
    assert model.generator.downs == 3  # 16 x 24
    assert model.generator.encoder[0].weight.shape[1] == 5  # four classes and an edge
    assert model.discriminator.layers[0].weight.shape[1] == 8
    model = tiny(SOURCES)
    assert model.generator.encoder[0].weight.shape[1] == 2
    assert model.generator.to_image.weight.shape[1] == 3
    model = tiny(SOURCES, direction="BtoA", d_conditional=False)
    assert model.generator.encoder[0].weight.shape[1] == 3
    assert model.generator.to_image.weight.shape[1] == 2
    assert model.discriminator.layers[0].weight.shape[1] == 2
    real = batch(SOURCES)
    source, image = model.pair(real)
    np.testing.assert_array_equal(source.numpy(), real.images.numpy())
    np.testing.assert_array_equal(image.numpy(), real.sources.numpy())
    assert model.condition_of(real, model.config).sources is real.images
    assert model.target_of(real, model.config) is real.sources
    assert tiny(DataSpec((3, 36, 36), source_channels=1), pad=True).generator.downs == 3
    assert type(tiny(generator="resnet6").generator).__name__ == "ResnetGenerator"
    assert len(tiny(generator="resnet9").generator.blocks) == 9


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (
            DataSpec((3, 18, 16), source_channels=3),
            {},
            r"--data: .* multiples of 4: 4, 8, 12.*--pad",
        ),
        (LABELS, {"downs": 4}, r"--data: .* 24 x 16 .* multiples of 16"),
        (LABELS, {"d_layers": 3}, r"--d-layers: 3 need images of 24 pixels .* these are 24 x 16"),
        (LABELS, {"direction": "BtoA"}, r"--direction: BtoA .* label maps of 4 classes"),
        (LABELS, {"direction": "up"}, r"--direction: must be AtoB or BtoA, got 'up'"),
        (LABELS, {"gan": "wgan"}, r"--gan: must be vanilla or lsgan"),
        (LABELS, {"lr_decay": 1.5}, r"--lr-decay: must be from 0 to 1"),
        (LABELS, {"d_layers": 6}, r"--d-layers: must be from 0 to 5"),
        (LABELS, {"gan_weight": 0.0, "l1_weight": 0.0}, r"--l1-weight: must be positive without"),
    ],
)
def test_illegal_options_are_named(data: DataSpec, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Pix2Pix(Pix2PixConfig.from_dict({**TINY, **options}), data)


def test_presets_are_the_papers() -> None:
    facades = resolve(Pix2PixConfig, {"preset": "facades"}, 256, 1, images=400)
    assert (facades.kimg, facades.batch, facades.lr_decay, facades.dropout_places) == (
        80.0,
        1,
        0.0,
        "torch",
    )
    assert (facades.load_size, facades.crop, facades.mirror) == ("286", "256", True)
    shoes = resolve(Pix2PixConfig, {"preset": "edges2shoes"}, 256, 1, images=50000)
    assert (shoes.kimg, shoes.batch, shoes.mirror) == (750.0, 4, False)
    auto = resolve(Pix2PixConfig, {}, 256, 1, images=100)
    assert (auto.kimg, auto.lr_decay, auto.lr, auto.beta1, auto.l1_weight) == (
        20.0,
        0.5,
        2e-4,
        0.5,
        100.0,
    )
    assert resolve(Pix2PixConfig, {"kimg": 3.0}, 256, 1, images=100).kimg == 3.0
    pytorch = resolve(Pix2PixConfig, {"preset": "pytorch"}, 256, 1, images=400)
    assert (pytorch.lr_decay, pytorch.dropout_places) == (0.5, "pytorch")
    for preset in Pix2PixConfig.presets:
        resolve(Pix2PixConfig, {"preset": preset}, 256, 1, images=400)
    with pytest.raises(InputError, match="--preset: unknown preset 'x'"):
        resolve(Pix2PixConfig, {"preset": "x"}, 256, 1)


# --- images ---------------------------------------------------------------------------------------


def rendered(model: Pix2Pix, condition: Condition, seeds: list[int], **options: Any) -> np.ndarray:
    config = Pix2PixConfig(**{**TINY, **options})
    networks = {"G": model.generator}
    with paddle.no_grad():
        return type(model).render(networks, config, seeds, condition).numpy()


def test_images_are_functions_of_seed_and_condition() -> None:
    model = tiny()
    # Weights of a trained size, so that dropout and statistics are seen.
    for p in model.generator.parameters():
        p.set_value(p + 0.3 * paddle.randn(p.shape))
    model.generator(model.pair(batch(LABELS, seed=3))[0])  # moves the running statistics
    state = {k: v.numpy().copy() for k, v in model.generator.state_dict().items()}
    condition = batch(LABELS, 3).condition
    images = rendered(model, condition, [5, 6, 5])
    assert images.shape == (3, 3, 16, 24)
    # The same alone as with others, as the paper makes them.
    np.testing.assert_allclose(rendered(model, condition[1:2], [6]), images[1:2], atol=1e-6)
    other = rendered(model, condition, [5, 7, 5])
    assert np.abs(other[1] - images[1]).max() > 1e-3
    np.testing.assert_array_equal(other[[0, 2]], images[[0, 2]])
    plain = rendered(model, condition, [1, 2, 3], dropout="off")
    np.testing.assert_array_equal(plain, rendered(model, condition, [4, 5, 6], dropout="off"))
    assert np.abs(plain - images).max() > 1e-3

    source = model.encode(model.generator, condition)
    running = rendered(model, condition, [1, 2, 3], dropout="off", norm_stats="running")
    model.generator.eval()
    np.testing.assert_allclose(running, model.generator(source).numpy(), atol=1e-6)
    assert np.abs(running - plain).max() > 1e-3
    np.testing.assert_allclose(rendered(model, condition, [5, 6, 5]), images, atol=1e-6)
    model.generator.train()
    for name, value in model.generator.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), state[name])
    with pytest.raises(InputError, match="--style: pix2pix takes no style"):
        Pix2Pix.render({"G": model.generator}, model.config, [0], condition[:1], source)


# --- colourisation --------------------------------------------------------------------------------


def test_colours_are_lightness_and_ab_in_the_networks_units() -> None:
    images = paddle.to_tensor(np.array([[[[1.0]], [[-1.0]], [[-1.0]]]], dtype=np.float32))  # red
    lightness, colours = split(images)
    np.testing.assert_allclose(lightness.numpy().ravel(), [53.24 / 50 - 1], atol=1e-3)
    np.testing.assert_allclose(colours.numpy().ravel(), [80.09 / 110, 67.20 / 110], atol=1e-3)
    np.testing.assert_allclose(merge(lightness, colours).numpy(), images.numpy(), atol=1e-5)
    grey_image = grey(images)
    assert grey_image.shape == [1, 1, 1, 1]
    np.testing.assert_allclose(split(grey_image)[0].numpy(), lightness.numpy(), atol=1e-5)


def test_colourisation_needs_images_only() -> None:
    data = DataSpec((3, 16, 24))
    model = tiny(data, Pix2PixColorization)
    assert model.generator.encoder[0].weight.shape[1] == 1
    assert model.generator.to_image.weight.shape[1] == 2
    real = batch(data)
    source, target = model.pair(real)
    np.testing.assert_array_equal(source.numpy(), split(real.images)[0].numpy())
    np.testing.assert_array_equal(target.numpy(), split(real.images)[1].numpy())
    assert np.isfinite(float(model.discriminator_loss(step_of("D", real))))
    assert np.isfinite(float(model.generator_loss(step_of("G", real))))
    condition = model.condition_of(real, model.config)
    images = rendered(model, condition, [0, 1])
    assert images.shape == (2, 3, 16, 24)
    # New networks make hardly any colour, so that little is limited to sRGB: the lightness stays.
    found = split(paddle.to_tensor(images))[0].numpy()
    inside = np.abs(images).max(axis=1, keepdims=True) < 0.999
    np.testing.assert_allclose(found[inside], source.numpy()[inside], atol=1e-4)
    assert inside.mean() > 0.9
    with pytest.raises(InputError, match="needs images of 3 channels, these have 1"):
        tiny(DataSpec((1, 16, 16)), Pix2PixColorization)
