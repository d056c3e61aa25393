"""Pix2Pix's networks: counts, values against a nested composition, dropout, patches, sizes."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from pix2pix_oracle import Oracle, published

from pygan.models.pix2pix import (
    PatchDiscriminator,
    ResnetGenerator,
    UNetGenerator,
    downs_for,
)

TINY = {"channel_base": 2, "channel_max": 5}


@pytest.fixture(autouse=True)
def _seed():
    paddle.seed(7)


def count(net):
    return sum(int(np.prod(p.shape)) for p in net.parameters())


def randomized(net, seed=0):
    """float64, with statistics and biases that are not neutral."""
    net.to(dtype="float64")
    rng = np.random.default_rng(seed)
    for name, value in net.state_dict().items():
        spread = 0.3 * rng.standard_normal(value.shape)
        value.set_value(np.abs(value.numpy() + spread) if "var" in name else value.numpy() + spread)
    return net


def random(*shape, seed=1):
    return paddle.to_tensor(np.random.default_rng(seed).standard_normal(shape))


def masks_for(shapes, samples, seed=2):
    rng = np.random.default_rng(seed)
    return [paddle.to_tensor(2.0 * rng.integers(0, 2, (samples, *shape))) for shape in shapes]


# --- the published sizes --------------------------------------------------------------------------


@pytest.fixture
def no_random_init(monkeypatch):
    """Counting parameters needs no random numbers, and they are what makes large networks slow."""
    constant = paddle.nn.initializer.Constant
    monkeypatch.setattr(paddle.nn.initializer, "Normal", lambda *_: constant(0.0))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: UNetGenerator(3, 3), 54_413_955),
        (lambda: UNetGenerator(3, 3, downs=7), 41_828_995),
        (lambda: ResnetGenerator(3, 3), 11_383_427),
        (lambda: ResnetGenerator(3, 3, blocks=6), 7_841_411),
        (lambda: ResnetGenerator(3, 3, norm="instance"), 11_378_179),
        (lambda: PatchDiscriminator(6), 2_768_705),
    ],
    ids=["unet256", "unet128", "resnet9", "resnet6", "resnet9-instance", "patch70"],
)
def test_parameter_counts_of_the_published_networks(no_random_init, make, expected):
    assert count(make()) == expected


def test_initial_weights():
    net = UNetGenerator(3, 3, downs=4, channel_max=64)
    for name, p in net.named_parameters():
        values = p.numpy()
        if name.endswith("bias"):
            assert not values.any(), name
        elif "norms" in name:
            assert abs(values.mean() - 1) < 0.01, name
            assert 0.012 < values.std() < 0.028, name
        else:
            assert values.std() == pytest.approx(0.02, rel=0.05), name


# --- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize(("downs", "size"), [(2, (4, 12)), (5, (32, 64))])
def test_unet_values(norm, running, downs, size):
    net = randomized(UNetGenerator(3, 2, downs=downs, norm=norm, **TINY))
    weights = published(net)
    (net.eval if running else net.train)()
    oracle = Oracle(weights, norm, running)
    x = random(2, 3, *size)
    masks = masks_for(net.dropout_shapes(*size), 2)
    assert len(masks) == min(downs - 1, 3)
    expected = oracle.unet(x, downs, masks)
    np.testing.assert_allclose(net(x, masks).numpy(), expected.numpy(), atol=1e-10)
    assert oracle.read >= set(weights)  # nothing is left over
    assert np.abs(net(x).numpy() - expected.numpy()).max() > 1e-3  # dropout does something


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("dropout", ["torch", "none"])
def test_resnet_values(norm, running, dropout):
    net = randomized(ResnetGenerator(3, 2, blocks=2, channel_base=2, norm=norm, dropout=dropout))
    weights = published(net)
    (net.eval if running else net.train)()
    oracle = Oracle(weights, norm, running)
    x = random(2, 3, 12, 8)
    masks = masks_for(net.dropout_shapes(12, 8), 2)
    assert [m.shape for m in masks] == ([] if dropout == "none" else [[2, 8, 3, 2]] * 2)
    expected = oracle.resnet(x, 2, masks or None)
    np.testing.assert_allclose(net(x, masks).numpy(), expected.numpy(), atol=1e-10)
    assert oracle.read >= set(weights)


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("layers", range(6))
def test_patch_discriminator_values(norm, layers):
    net = randomized(PatchDiscriminator(4, layers=layers, channel_base=2, norm=norm))
    oracle = Oracle(published(net), norm)
    side = 3 * 2**layers + 5
    x = random(2, 4, side, side + 7)
    expected = oracle.patches(x, layers)
    np.testing.assert_allclose(net(x).numpy(), expected.numpy(), atol=1e-10)
    assert oracle.read >= set(oracle.weights) - {n for n in oracle.weights if "running" in n}


def test_one_source_channel_and_many_image_channels():
    net = UNetGenerator(1, 4, downs=3, **TINY)
    assert net(paddle.ones([1, 1, 8, 16])).shape == [1, 4, 8, 16]


# --- gradients ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: UNetGenerator(2, 2, downs=3, **TINY),
        lambda: ResnetGenerator(2, 2, blocks=1, channel_base=2),
    ],
)
def test_gradients(make):
    """Central differences of a weighted sum of the image along a random direction of everything."""
    net = randomized(make())
    x, weight = random(2, 2, 8, 16), random(2, 2, 8, 16, seed=5)
    masks = masks_for(net.dropout_shapes(8, 16), 2)
    rng = np.random.default_rng(3)
    parameters = net.parameters()
    start = [p.numpy() for p in parameters]
    direction = [rng.standard_normal(p.shape) for p in parameters]

    def value(step):
        for p, a, d in zip(parameters, start, direction):
            p.set_value(a + step * d)
        return float((net(x, masks) * weight).sum())

    eps = 1e-6
    expected = (value(eps) - value(-eps)) / (2 * eps)
    value(0.0)
    loss = (net(x, masks) * weight).sum()
    gradients = paddle.grad([loss], parameters)
    found = sum(float((g.numpy() * d).sum()) for g, d in zip(gradients, direction))
    assert found == pytest.approx(expected, rel=1e-5)


# --- receptive fields -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "field"), [(0, 1), (1, 16), (2, 34), (3, 70), (4, 142), (5, 286)]
)
def test_receptive_fields(layers, field):
    """The pixels that the gradient of one logit in the middle reaches, in evaluation mode."""
    net = PatchDiscriminator(1, layers=layers, channel_base=1)
    net.eval()
    for p in net.parameters():  # no gradient may cancel out
        p.set_value(paddle.ones(p.shape))
    assert net.receptive_field == field
    side = max(2 * field + 2 ** (layers + 2), 4)
    x = paddle.ones([1, 1, side, side])
    x.stop_gradient = False
    logits = net(x)
    (gradient,) = paddle.grad([logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2]], [x])
    support = np.argwhere(gradient.numpy()[0, 0])
    assert (np.ptp(support, axis=0) + 1).tolist() == [field, field]


def test_the_70_pixel_discriminator_has_30_x_30_logits():
    net = PatchDiscriminator(6, channel_base=1)
    assert net(paddle.ones([1, 6, 256, 256])).shape == [1, 1, 30, 30]


# --- dropout --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dropout", "downs", "expected"),
    [
        ("torch", 8, [2, 4, 8]),
        ("torch", 7, [2, 4, 8]),
        ("pytorch", 8, [4, 8, 16]),
        ("pytorch", 7, [4, 8]),
        ("pytorch", 5, []),
        ("none", 8, []),
    ],
)
def test_published_places_of_dropout(no_random_init, dropout, downs, expected):
    net = UNetGenerator(3, 3, downs=downs, dropout=dropout, channel_base=1, channel_max=8)
    shapes = net.dropout_shapes(2**downs, 2 ** (downs + 1))
    assert shapes == [(8, side, 2 * side) for side in expected]


# --- sizes of images ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((256, 256), 8),
        ((512, 512), 8),
        ((128, 256), 7),
        ((64, 64), 6),
        ((144, 144), 4),
        ((7, 4), 0),
    ],
)
def test_depth_for_a_size(size, expected):
    assert downs_for(*size) == expected


def test_padding_allows_deeper_networks():
    assert downs_for(144, 144, 0.125) == 5
    assert downs_for(100, 100, 0.125) == 4
    assert downs_for(250, 100, 0.125) == 4
    assert downs_for(255, 256, 0.125) == 8


def test_illegal_sizes_are_refused_with_the_legal_ones():
    net = UNetGenerator(3, 3, downs=3, **TINY)
    with pytest.raises(ValueError, match=r"are 12 x 8 pixels; .* multiples of 8: 8, 16, 24"):
        net(paddle.ones([1, 3, 8, 12]))
    with pytest.raises(ValueError, match=r"multiples of 4: 8, 12, 16"):
        ResnetGenerator(3, 3, blocks=1, channel_base=2)(paddle.ones([1, 3, 10, 8]))
    with pytest.raises(ValueError, match=r"the smallest with a logit have 24 on each side"):
        PatchDiscriminator(6, channel_base=2)(paddle.ones([1, 6, 23, 40]))


@pytest.mark.parametrize(
    "make",
    [
        lambda: UNetGenerator(2, 2, downs=3, pad=True, **TINY),
        lambda: ResnetGenerator(2, 2, blocks=1, channel_base=2, pad=True),
    ],
)
def test_padding_repeats_the_border_and_is_cut_off(make):
    net = randomized(make())
    x = random(1, 2, 14, 9)
    wide = paddle.to_tensor(np.pad(x.numpy(), [(0, 0), (0, 0), (0, 2), (0, 7)], mode="edge"))
    extra = 16 if isinstance(net, UNetGenerator) else 12
    wide = wide[:, :, :, :extra]
    shapes = net.dropout_shapes(14, 9)
    assert shapes == net.dropout_shapes(16, extra)
    masks = masks_for(shapes, 1)
    y = net(x, masks)
    assert y.shape == [1, 2, 14, 9]
    np.testing.assert_allclose(y.numpy(), net(wide, masks)[:, :, :14, :9].numpy(), atol=1e-12)


def test_errors():
    with pytest.raises(ValueError, match="`downs` is 1; it must be 2 or more"):
        UNetGenerator(downs=1)
    with pytest.raises(ValueError, match="`dropout` is 'some'"):
        UNetGenerator(downs=3, dropout="some")
    with pytest.raises(ValueError, match="`norm` is 'layer'; it must be one of batch, instance"):
        UNetGenerator(downs=3, norm="layer", **TINY)
    with pytest.raises(ValueError, match="`layers` is 6; it must be from 0 to 5"):
        PatchDiscriminator(layers=6)
