"""SPADE: sizes, agreement with a composition of Paddle's operators, gradients, errors."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
import translation_oracle as oracle

from pygan.models.multiscale_discriminator import MultiscaleDiscriminator
from pygan.models.spade import SPADEGenerator, StyleEncoder, side_of_style, start_size
from pygan.nn.spectral_norm import spectral_layers

TINY = {"base": 2, "hidden": 4}


def count(network):
    return sum(int(np.prod(p.shape)) for p in network.parameters())


def randomize(network, seed=0):
    """float64, evaluation of spectral norms, and no tensor left at a neutral value."""
    network.to(dtype="float64")
    rng = np.random.default_rng(seed)
    for name, t in network.state_dict().items():
        if not name.endswith(("_u", "_v", "running_var")):
            t.set_value(t.numpy() + 0.3 * rng.standard_normal(t.shape))
    for layer in spectral_layers(network):
        layer.iterates = False
        for _ in range(3):
            layer.iterate()
    return network


def label_map(n, count, size, seed=0, lowest=-1):
    rng = np.random.default_rng(seed)
    return paddle.to_tensor(rng.integers(lowest, count, (n, *size)).astype("int32"))


def normal(*shape, seed=0):
    return paddle.to_tensor(np.random.default_rng(seed).standard_normal(shape))


def flat(lists):
    return [item for part in lists for item in part]


# --- sizes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "labels", "extra", "options", "expected"),
    [
        ((256, 256), 184, 0, {}, 97_480_899),
        ((256, 256), 151, 0, {}, 96_492_483),
        ((256, 512), 35, 1, {"layers": "more"}, 93_048_003),
        ((256, 256), 184, 0, {"z_dim": 256}, 112_626_883),
    ],
    ids=["coco", "ade", "cityscapes", "coco-vae"],
)
def test_parameter_counts_of_the_published_generators(size, labels, extra, options, expected):
    with paddle.LazyGuard():  # no memory for 100 million numbers
        assert count(SPADEGenerator(size, labels, extra, **options)) == expected


def test_parameter_counts_of_the_published_discriminators_and_encoder():
    with paddle.LazyGuard():
        for labels, extra, expected in [
            (184, 3, 5_904_514),
            (151, 3, 5_836_930),
            (35, 4, 5_601_410),
        ]:
            network = MultiscaleDiscriminator(labels, extra, halvings=3, spectral=True)
            assert count(network) == expected
        assert count(StyleEncoder()) == 10_463_424


@pytest.mark.parametrize(
    ("size", "layers", "start"),
    [((256, 512), "more", (4, 8)), ((96, 32), "normal", (3, 1)), ((128, 256), "most", (1, 2))],
)
def test_start_size(size, layers, start):
    assert start_size(size, layers) == start


def test_sizes_that_cannot_be_made_are_refused_with_the_next_ones():
    with pytest.raises(ValueError, match="multiples of 32, such as 128 x 160"):
        start_size((144, 160), "normal")
    with pytest.raises(ValueError, match="normal, more, most"):
        start_size((64, 64), "few")


def test_side_of_style():
    assert [side_of_style(s) for s in [(1024, 512), (256, 256), (144, 96), (64, 64), (4, 4)]] == [
        256,
        256,
        128,
        64,
        8,
    ]


# --- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", ["normal", "more", "most"])
@pytest.mark.parametrize("z_dim", [0, 5])
def test_generator_against_the_composition(layers, z_dim):
    size = {"normal": (32, 64), "more": (128, 64), "most": (128, 128)}[layers]
    network = randomize(SPADEGenerator(size, 3, 1, layers=layers, z_dim=z_dim, **TINY))
    labels, extra = label_map(2, 3, size), normal(2, 1, *size)
    z = normal(2, 5) if z_dim else None
    images = network(labels, extra, z)
    assert images.shape == [2, 3, *size]
    expected = oracle.spade_generator(network, oracle.dense(labels, 3, extra), z)
    np.testing.assert_allclose(images.numpy(), expected.numpy(), rtol=1e-9, atol=1e-9)


def test_instance_norm_and_other_channels():
    network = randomize(SPADEGenerator((32, 32), 4, 0, 4, norm="instance", **TINY))
    labels = label_map(2, 4, (32, 32))
    expected = oracle.spade_generator(network, oracle.dense(labels, 4), norm=oracle.instance_norm)
    np.testing.assert_allclose(network(labels).numpy(), expected.numpy(), rtol=1e-9, atol=1e-9)


def test_other_sizes_without_a_code():
    network = randomize(SPADEGenerator((32, 32), 4, **TINY))
    labels = label_map(1, 4, (32, 96))
    network.start = (1, 3)  # the oracle's first features
    expected = oracle.spade_generator(network, oracle.dense(labels, 4))
    np.testing.assert_allclose(network(labels).numpy(), expected.numpy(), rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match="multiples of 32"):
        network(label_map(1, 4, (32, 48)))


def test_evaluation_uses_the_running_statistics():
    network = randomize(SPADEGenerator((32, 32), 3, **TINY))
    labels = label_map(3, 3, (32, 32))
    network(labels)
    network.eval()
    every = network(labels)
    alone = network(labels[:1])
    np.testing.assert_allclose(alone.numpy(), every[:1].numpy(), rtol=1e-9)
    network.train()
    assert abs(network(labels[:1]) - every[:1]).max().item() > 1e-3


def test_encoder_against_the_composition():
    network = randomize(StyleEncoder(base=2, z_dim=3, side=32))
    images = normal(2, 3, 32, 32)
    for ours, theirs in zip(network(images), oracle.style_encoder(network, images)):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-9, atol=1e-9)
    mean, variance = network(normal(2, 3, 24, 40))  # resized
    assert mean.shape == variance.shape == [2, 3]


@pytest.mark.parametrize("labels", [0, 3])
@pytest.mark.parametrize("spectral", [False, True])
def test_discriminator_against_the_composition(labels, spectral):
    network = randomize(
        MultiscaleDiscriminator(labels, 4, scales=3, base=2, halvings=2, spectral=spectral)
    )
    size = (25, 34)  # odd: windows of the pyramid are cut at the border
    ids = label_map(2, labels, size) if labels else None
    extra = normal(2, 4, *size)
    x = extra if ids is None else oracle.dense(ids, labels, extra)
    found, expected = network(ids, extra), oracle.discriminator(network, x)
    assert [len(layers) for layers in found] == [4, 4, 4]
    for ours, theirs in zip(flat(found), flat(expected), strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-8, atol=1e-9)


# --- gradients ----------------------------------------------------------------------------------


def test_gradients_reach_every_parameter():
    generator = randomize(SPADEGenerator((64, 32), 3, 1, z_dim=4, **TINY))
    encoder = randomize(StyleEncoder(base=2, z_dim=4, side=16))
    discriminator = randomize(
        MultiscaleDiscriminator(3, 4, scales=2, base=2, halvings=2, spectral=True)
    )
    labels, edges = label_map(2, 3, (64, 32), lowest=0), normal(2, 1, 64, 32)
    mean, log_variance = encoder(normal(2, 3, 64, 32))
    fakes = generator(labels, edges, mean + paddle.exp(0.5 * log_variance))
    layers = discriminator(labels, paddle.concat([edges, fakes], axis=1))
    sum(paddle.square(layer).mean() for layer in flat(layers)).backward()
    for network in (generator, encoder, discriminator):
        for name, parameter in network.named_parameters():
            cancelled = name.endswith("bias") and "conv_0" in name  # by the norm that follows
            assert parameter.grad is not None, name
            assert cancelled or abs(parameter.grad).max().item() > 0, name


def test_gradients_against_the_composition():
    network = randomize(SPADEGenerator((32, 32), 3, **TINY))
    labels = label_map(2, 3, (32, 32))
    target = normal(2, 3, 32, 32)
    grads = []
    for images in (network(labels), oracle.spade_generator(network, oracle.dense(labels, 3))):
        (images * target).sum().backward()
        grads.append({n: p.grad for n, p in network.named_parameters() if "orig" not in n})
        network.clear_gradients(set_to_zero=False)
    for name, ours in grads[0].items():
        np.testing.assert_allclose(
            ours.numpy(), grads[1][name].numpy(), rtol=1e-7, atol=1e-8, err_msg=name
        )


# --- errors -------------------------------------------------------------------------------------


def test_errors_say_what_is_legal():
    network = SPADEGenerator((32, 32), 3, z_dim=4, **TINY)
    labels = label_map(1, 3, (32, 32))
    with pytest.raises(ValueError, match=r"images of \[N, 32, 32\]"):
        network(label_map(1, 3, (64, 32)))
    with pytest.raises(ValueError, match=r"`z` is None; this network takes a code \[N, 4\]"):
        network(labels)
    with pytest.raises(ValueError, match=r"it must be \[N, 4\]"):
        network(labels, None, paddle.zeros([1, 3]))
    with pytest.raises(ValueError, match="power of two"):
        StyleEncoder(side=48)
    with pytest.raises(ValueError, match="at least 1"):
        MultiscaleDiscriminator(3, 3, scales=0)
