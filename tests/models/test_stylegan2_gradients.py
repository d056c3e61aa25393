"""R1 and path-length gradients of whole networks against central finite differences (float64)."""

import numpy as np
import paddle
import pytest

from pygan.models.stylegan2 import Discriminator, Generator
from pygan.ops import no_weight_gradients

ARCHITECTURES = ["orig", "skip", "resnet"]
TINY = {"resolution": 8, "channel_base": 64, "channel_max": 3}


@pytest.fixture(autouse=True)
def _seed():
    paddle.seed(11)


def randomize(net, seed=0):
    net.to(dtype="float64")
    rng = np.random.default_rng(seed)
    for p in net.parameters():
        p.set_value(np.asarray(p.numpy() + 0.3 * rng.standard_normal(p.shape)))
    return net


def r1(net, images, c=None, create_graph=True):
    """Mean squared norm of the gradient of the logits with respect to the images."""
    images = images.detach()
    images.stop_gradient = False
    logits = net(images, c)
    with no_weight_gradients():
        (grad,) = paddle.grad(logits.sum(), [images], create_graph=create_graph)
    return paddle.square(grad).sum(axis=[1, 2, 3]).mean()


def path_length(net, z, y, noise, c=None, create_graph=True):
    """Mean squared deviation of the path lengths ||J^T y|| from a constant."""
    ws = net.mapping(z, c)
    images = net.synthesis(ws, noise=noise)
    with no_weight_gradients():
        (grad,) = paddle.grad((images * y).sum(), [ws], create_graph=create_graph)
    lengths = paddle.sqrt(paddle.square(grad).sum(axis=2).mean(axis=1))
    return paddle.square(lengths - 0.7).mean()


def assert_gradients_match(net, penalty, seed=0):
    """backward() of penalty(True) against finite differences, one random entry per parameter.

    Returns the names of the parameters whose derivative is not zero.
    """
    rng = np.random.default_rng(seed)
    net.clear_gradients()
    penalty(True).backward()
    analytic, numeric, names = [], [], []
    for name, p in net.named_parameters():
        value = p.numpy()
        index = tuple(int(rng.integers(n)) for n in value.shape)
        eps = 1e-5 * max(1.0, float(np.abs(value).mean()))
        ends = []
        for sign in (1, -1):
            moved = value.copy()
            moved[index] += sign * eps
            p.set_value(moved)
            ends.append(float(penalty(False)))
        p.set_value(value)
        numeric.append((ends[0] - ends[1]) / (2 * eps))
        analytic.append(0.0 if p.grad is None else float(p.grad.numpy()[index]))
        names.append(name)
    numeric, analytic = np.array(numeric), np.array(analytic)
    scale = np.abs(numeric).max()
    assert scale > 1e-6
    bad = np.abs(analytic - numeric) > 5e-5 * np.abs(numeric) + 1e-7 * scale
    report = [f"{n}: {a} != {b}" for n, a, b, x in zip(names, analytic, numeric, bad) if x]
    assert not report, "\n".join(report)
    live = {n for n, b in zip(names, numeric) if abs(b) > 1e-10 * scale}
    return live


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("activation", ["lrelu", "tanh"])
def test_r1_gradients(architecture, activation):
    rng = np.random.default_rng(1)
    net = randomize(
        Discriminator(architecture=architecture, activation=activation, mbstd_group_size=2, **TINY)
    )
    images = paddle.to_tensor(rng.standard_normal([4, 3, 8, 8]))
    live = assert_gradients_match(net, lambda graph: r1(net, images, create_graph=graph))
    assert {"b8.fromrgb.weight", "b8.conv0.weight", "b8.conv1.weight", "b4.fc.weight"} <= live


def test_r1_gradients_of_a_conditional_discriminator():
    rng = np.random.default_rng(2)
    net = randomize(Discriminator(c_dim=2, mapping_layers=2, mbstd_group_size=2, **TINY))
    images = paddle.to_tensor(rng.standard_normal([4, 3, 8, 8]))
    c = paddle.to_tensor([0, 1, 1, 0])
    live = assert_gradients_match(net, lambda graph: r1(net, images, c, create_graph=graph))
    assert {"mapping.embed.weight", "mapping.fc0.weight", "mapping.fc1.weight"} <= live


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("activation", ["lrelu", "tanh"])
def test_path_length_gradients(architecture, activation):
    rng = np.random.default_rng(3)
    net = randomize(
        Generator(
            architecture=architecture,
            activation=activation,
            z_dim=4,
            w_dim=4,
            mapping_layers=2,
            **TINY,
        )
    )
    z = paddle.to_tensor(rng.standard_normal([2, 4]))
    y = paddle.to_tensor(rng.standard_normal([2, 3, 8, 8]))
    noise = [paddle.to_tensor(rng.standard_normal([2, 1, *s])) for s in net.synthesis.noise_shapes]
    live = assert_gradients_match(
        net, lambda graph: path_length(net, z, y, noise, create_graph=graph)
    )
    assert {"mapping.fc0.weight", "synthesis.b8.conv0.weight", "synthesis.b4.const"} <= live
    assert {"synthesis.b8.conv1.affine.weight", "synthesis.b8.torgb.weight"} <= live


def test_path_length_gradients_of_a_conditional_generator():
    rng = np.random.default_rng(4)
    net = randomize(Generator(c_dim=2, z_dim=4, w_dim=4, mapping_layers=2, **TINY))
    z = paddle.to_tensor(rng.standard_normal([2, 4]))
    y = paddle.to_tensor(rng.standard_normal([2, 3, 8, 8]))
    noise = [paddle.to_tensor(rng.standard_normal([2, 1, *s])) for s in net.synthesis.noise_shapes]
    c = paddle.to_tensor([0, 1])
    live = assert_gradients_match(
        net, lambda graph: path_length(net, z, y, noise, c, create_graph=graph)
    )
    assert {"mapping.embed.weight", "mapping.fc0.weight"} <= live


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_first_order_gradients(architecture):
    """Of the generator through the discriminator, as one training step takes them."""
    rng = np.random.default_rng(5)
    generator = randomize(
        Generator(architecture=architecture, z_dim=4, w_dim=4, mapping_layers=2, **TINY)
    )
    discriminator = randomize(Discriminator(architecture=architecture, **TINY), seed=1)
    z = paddle.to_tensor(rng.standard_normal([2, 4]))
    noise = [
        paddle.to_tensor(rng.standard_normal([2, 1, *s])) for s in generator.synthesis.noise_shapes
    ]

    def loss(_graph):
        logits = discriminator(generator(z, noise=noise))
        return paddle.nn.functional.softplus(-logits).mean()

    for net in (generator, discriminator):
        assert_gradients_match(net, loss)
