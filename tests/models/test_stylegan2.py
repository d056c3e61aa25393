"""StyleGAN2 networks: sizes, agreement with a numpy implementation, conditioning, noise, state."""

import numpy as np
import paddle
import pytest
import stylegan2_oracle as oracle

from pygan.models.stylegan2 import Discriminator, Generator

ARCHITECTURES = ["orig", "skip", "resnet"]
TINY = {"channel_base": 64, "channel_max": 4}
TINY_G = dict(TINY, z_dim=5, w_dim=6, mapping_layers=2)
# Not symmetric, so that a flipped filter shows; sums to a power of two, so that it is exact.
TAPS = (1, 2, 4, 1)
BLOCKS = [(16, ["b4", "b8", "b16"]), ((8, 12), ["b4x6", "b8x12"])]


@pytest.fixture(autouse=True)
def _seed():
    paddle.seed(7)


def randomize(net, seed=0):
    """float64, and no parameter left at a neutral value such as 0 or 1."""
    net.to(dtype="float64")
    rng = np.random.default_rng(seed)
    for p in net.parameters():
        p.set_value(np.asarray(p.numpy() + 0.3 * rng.standard_normal(p.shape)))
    return net


def arrays(net):
    return oracle.Weights({k: v.numpy() for k, v in net.state_dict().items()})


def tensor(rng, *shape):
    return paddle.to_tensor(rng.standard_normal(shape))


def noise_list(rng, net, n):
    return [tensor(rng, n, 1, *shape) for shape in net.synthesis.noise_shapes]


# --- sizes --------------------------------------------------------------------------------------


@pytest.fixture
def no_random_init(monkeypatch):
    """Counting parameters needs no random numbers, and they are what makes large networks slow."""
    monkeypatch.setattr(
        paddle.nn.initializer, "Normal", lambda *_: paddle.nn.initializer.Constant(0.0)
    )


def count(net):
    return sum(int(np.prod(p.shape)) for p in net.parameters())


HALF = {"channel_base": 16384}


@pytest.mark.parametrize(
    ("resolution", "g_args", "g_count", "d_args", "d_count"),
    [
        (1024, {}, 30_370_060, {}, 29_012_513),
        (256, {}, 30_034_338, {}, 28_864_129),
        (256, HALF, 24_767_458, HALF, 24_001_089),
        (256, dict(HALF, mapping_layers=2), 23_191_522, None, None),
        (512, {}, 30_276_583, {}, 28_982_849),
        (512, {"mapping_layers": 2}, 28_700_647, None, None),
        (1024, {"mapping_layers": 2}, 28_794_124, None, None),
        (32, {"mapping_layers": 2}, 19_947_539, {"architecture": "orig"}, 20_720_641),
        (64, HALF, 23_819_544, HALF, 23_407_361),
        (64, {}, 27_032_600, {}, 26_488_833),
    ],
    ids=["1024", "256", "paper256", "auto256", "512", "auto512", "auto1024", "cifar", "64h", "64"],
)
def test_parameter_counts_of_the_published_networks(
    no_random_init, resolution, g_args, g_count, d_args, d_count
):
    assert count(Generator(resolution=resolution, **g_args)) == g_count
    if d_args is not None:
        assert count(Discriminator(resolution=resolution, **d_args)) == d_count


@pytest.mark.parametrize(
    ("resolution", "num_ws"), [(64, 10), (256, 14), (1024, 18), ((384, 512), 16)]
)
def test_number_of_styles(resolution, num_ws):
    net = Generator(resolution=resolution, channel_base=1024, channel_max=1, z_dim=2, w_dim=2)
    assert net.num_ws == num_ws
    assert len(net.synthesis.noise_shapes) == num_ws - 1
    assert net.synthesis.noise_shapes[-1] == net.resolution


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("resolution", [16, (16, 24), (12, 16), (32, 8), 20])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_shapes(architecture, resolution, channels):
    size = (resolution, resolution) if isinstance(resolution, int) else resolution
    args = dict(TINY, resolution=resolution, channels=channels, architecture=architecture)
    generator = Generator(**args, z_dim=5, w_dim=6)
    images = generator(paddle.randn([4, 5]))
    assert images.shape == [4, channels, *size]
    assert Discriminator(**args)(images).shape == [4, 1]


def test_parameter_names_follow_published_checkpoints():
    generator = Generator(resolution=8, architecture="resnet", c_dim=3, **TINY_G)
    conv = ["weight", "noise_strength", "bias", "affine.weight", "affine.bias", "noise_const"]
    names = ["embed.weight", "embed.bias", "w_avg"]
    names += [f"fc{i}.{p}" for i in range(2) for p in ("weight", "bias")]
    expected = {f"mapping.{n}" for n in names}
    expected |= {f"synthesis.b4.conv1.{p}" for p in conv} | {"synthesis.b4.const"}
    expected |= {f"synthesis.b8.conv{i}.{p}" for i in (0, 1) for p in conv}
    expected |= {"synthesis.b8.skip.weight"}
    expected |= {f"synthesis.b8.torgb.{p}" for p in ("weight", "bias", *conv[3:5])}
    assert set(generator.state_dict()) == expected
    assert generator.mapping.fc0.weight.shape == [6, 11]  # [out, in], in = z_dim + embedding
    assert generator.synthesis.b8.conv0.weight.shape == [4, 4, 3, 3]
    assert generator.synthesis.b8.conv0.noise_strength.shape == []

    discriminator = Discriminator(resolution=8, c_dim=3, mapping_layers=1, **TINY)
    layers = ["b8.fromrgb", "b8.conv0", "b8.conv1", "b4.conv", "b4.fc", "b4.out"]
    layers += ["mapping.embed", "mapping.fc0"]
    expected = {f"{layer}.{p}" for layer in layers for p in ("weight", "bias")}
    assert set(discriminator.state_dict()) == expected | {"b8.skip.weight"}


def test_initial_values_are_those_of_the_paper():
    net = Generator(resolution=8, z_dim=256, w_dim=256, channel_base=1024, channel_max=128)
    conv = net.synthesis.b8.conv1
    assert float(conv.noise_strength) == 0
    assert (conv.bias.numpy() == 0).all()
    assert (conv.affine.bias.numpy() == 1).all()
    for value, std in [(conv.weight, 1), (conv.affine.weight, 1), (net.mapping.fc0.weight, 100)]:
        assert value.numpy().std() == pytest.approx(std, rel=0.02)


# --- agreement with the numpy implementation ----------------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("resolution", "blocks"), BLOCKS)
def test_generator_agrees_with_numpy(architecture, resolution, blocks):
    rng = np.random.default_rng(1)
    args = dict(TINY_G, resolution=resolution, architecture=architecture, resample_filter=TAPS)
    net = randomize(Generator(**args))
    z, noise = tensor(rng, 2, 5), noise_list(rng, net, 2)
    noise[1] = None
    ws = net.mapping(z)
    image = net.synthesis(ws, noise=noise)

    weights = arrays(net)
    w = oracle.mapping(weights.mapping, z.numpy(), layers=2)
    np.testing.assert_allclose(ws.numpy(), np.repeat(w[:, None], net.num_ws, 1), rtol=1e-10)
    # Different codes per layer, so that the routing of styles shows.
    ws = ws + 0.5 * tensor(rng, *ws.shape)
    image = net.synthesis(ws, noise=noise)
    maps = [None if m is None else m.numpy() for m in noise]
    expected = oracle.synthesis(weights.synthesis, ws.numpy(), maps, blocks, architecture, TAPS)
    np.testing.assert_allclose(image.numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("resolution", "blocks"), BLOCKS)
def test_discriminator_agrees_with_numpy(architecture, resolution, blocks):
    rng = np.random.default_rng(2)
    args = dict(TINY, resolution=resolution, architecture=architecture, resample_filter=TAPS)
    net = randomize(Discriminator(**args, mbstd_group_size=2))
    images = tensor(rng, 4, 3, *net.resolution)
    expected = oracle.discriminator(
        arrays(net), images.numpy(), blocks[::-1], architecture, TAPS, group=2
    )
    np.testing.assert_allclose(net(images).numpy(), expected, rtol=1e-9, atol=1e-9)


def test_conditional_networks_agree_with_numpy():
    rng = np.random.default_rng(3)
    z, c = tensor(rng, 4, 5), np.eye(3)[[0, 2, 1, 2]]
    net = randomize(Generator(resolution=8, c_dim=3, **TINY_G))
    expected = oracle.mapping(arrays(net).mapping, z.numpy(), c, layers=2)
    actual = net.mapping(z, paddle.to_tensor(c))
    np.testing.assert_allclose(actual[:, 0].numpy(), expected, rtol=1e-10)

    net = randomize(Discriminator(resolution=8, c_dim=3, mapping_layers=2, cmap_dim=5, **TINY))
    images = tensor(rng, 4, 3, 8, 8)
    expected = oracle.discriminator(
        arrays(net), images.numpy(), ["b8", "b4"], "resnet", (1, 3, 3, 1), 4, c, 2
    )
    actual = net(images, paddle.to_tensor(c))
    assert actual.shape == [4, 1]
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-9, atol=1e-9)
    # Class indices are the same as one-hot vectors.
    indices = paddle.to_tensor([0, 2, 1, 2])
    np.testing.assert_array_equal(net(images, indices).numpy(), actual.numpy())


def test_clamp_limits_every_convolution():
    net = Generator(resolution=8, conv_clamp=0.01, **TINY_G)
    image = net(paddle.randn([2, 5]))
    assert float(image.abs().max()) <= 0.01 * 4 + 0.01 + 1e-6  # upsampled 4x4 image plus the 8x8
    limited = Discriminator(resolution=8, conv_clamp=1e-3, **TINY)
    features, _ = limited.b8(None, paddle.randn([2, 3, 8, 8]))
    skip_only = limited.b8.skip(limited.b8.fromrgb(paddle.randn([2, 3, 8, 8])))
    assert float(features.abs().max()) <= 1e-3 * 2**-0.5 + float(skip_only.abs().max()) * 3


# --- latent codes, truncation, noise ------------------------------------------------------------


def test_truncation_moves_codes_towards_the_mean():
    net = Generator(resolution=16, **TINY_G).mapping
    z = paddle.randn([3, 5])
    net.w_avg.set_value(paddle.randn([6]))
    w, mean = net(z).numpy(), net.w_avg.numpy()
    expected = mean + 0.3 * (w - mean)
    np.testing.assert_allclose(net(z, truncation=0.3).numpy(), expected, rtol=1e-5, atol=1e-7)
    cut = net(z, truncation=0.3, truncation_cutoff=2).numpy()
    np.testing.assert_allclose(cut[:, :2], expected[:, :2], rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(cut[:, 2:], w[:, 2:])
    np.testing.assert_allclose(
        net(z, truncation=0.0).numpy(), np.broadcast_to(mean, w.shape), rtol=1e-6
    )
    np.testing.assert_array_equal(net(z, truncation=0.0, truncation_cutoff=0).numpy(), w)


def test_mean_code_is_tracked_on_request_only():
    net = Generator(resolution=8, w_avg_beta=0.9, **TINY_G).mapping
    mean = paddle.randn([6])
    net.w_avg.set_value(mean)
    z = paddle.randn([4, 5])
    w = net(z)[:, 0].numpy()
    np.testing.assert_array_equal(net.w_avg.numpy(), mean.numpy())
    ws = net(z, update_w_avg=True)
    expected = 0.9 * mean.numpy() + 0.1 * w.mean(axis=0)
    np.testing.assert_allclose(net.w_avg.numpy(), expected, rtol=1e-5, atol=1e-7)
    assert not ws.stop_gradient
    assert net.w_avg.stop_gradient
    assert "mapping.w_avg" not in [name for name, _ in net.named_parameters()]


def test_noise_modes():
    net = Generator(resolution=8, **TINY_G)
    for layer in net.synthesis.noise_layers:
        layer.noise_strength.set_value(paddle.to_tensor(0.5))
    ws = net.mapping(paddle.randn([2, 5]))

    def draw(noise):
        return net.synthesis(ws, noise=noise).numpy()

    shapes = net.synthesis.noise_shapes
    assert shapes == [(4, 4), (8, 8), (8, 8)]
    np.testing.assert_array_equal(draw("none"), draw("none"))
    np.testing.assert_array_equal(draw("const"), draw("const"))
    stored = [layer.noise_const for layer in net.synthesis.noise_layers]
    np.testing.assert_array_equal(draw("const"), draw(stored))
    np.testing.assert_array_equal(draw("none"), draw([None] * 3))
    zeros = [paddle.zeros([2, 1, *s]) for s in shapes]
    np.testing.assert_allclose(draw("none"), draw(zeros), atol=1e-6)
    assert np.abs(draw("random") - draw("random")).max() > 1e-3
    assert np.abs(draw("const") - draw("none")).max() > 1e-3
    paddle.seed(3)
    first = draw("random")
    paddle.seed(3)
    np.testing.assert_array_equal(first, draw("random"))
    # The default of the whole network, noise and truncation are passed on.
    z = paddle.randn([2, 5])
    whole = net(z, truncation=0.5, truncation_cutoff=1, noise="const").numpy()
    parts = net.synthesis(net.mapping(z, truncation=0.5, truncation_cutoff=1), noise="const")
    np.testing.assert_array_equal(whole, parts.numpy())


def test_noise_maps_and_strengths_receive_gradients():
    net = randomize(Generator(resolution=8, **TINY_G))
    rng = np.random.default_rng(4)
    noise = noise_list(rng, net, 2)
    for m in noise:
        m.stop_gradient = False
    net.synthesis(net.mapping(tensor(rng, 2, 5)), noise=noise).sum().backward()
    assert all(m.grad is not None and float(m.grad.abs().sum()) > 0 for m in noise)
    for layer in net.synthesis.noise_layers:
        assert float(layer.noise_strength.grad.abs()) > 0


# --- state and errors ---------------------------------------------------------------------------


def test_state_dict_round_trip(tmp_path):
    args = dict(TINY_G, resolution=8, c_dim=2, architecture="resnet")
    source, target = Generator(**args), Generator(**args)
    for layer in source.synthesis.noise_layers:
        layer.noise_strength.set_value(paddle.to_tensor(0.5))
    z, c = paddle.randn([2, 5]), paddle.to_tensor([0, 1])
    source.mapping(z, c, update_w_avg=True)
    path = str(tmp_path / "g.pdparams")
    paddle.save(source.state_dict(), path)
    assert target.set_state_dict(paddle.load(path)) == ([], [])

    def draw(net):
        return net(z, c, truncation=0.7, noise="const").numpy()

    np.testing.assert_array_equal(draw(source), draw(target))
    source, target = (Discriminator(resolution=8, **TINY) for _ in range(2))
    target.set_state_dict(source.state_dict())
    images = paddle.randn([4, 3, 8, 8])
    np.testing.assert_array_equal(source(images).numpy(), target(images).numpy())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g, d: Generator(resolution=8, architecture="dense"), "architecture"),
        (lambda g, d: Discriminator(resolution=8, architecture="dense"), "architecture"),
        (lambda g, d: g(paddle.zeros([2, 4])), r"`z`.*\[2, 4\].*\[N, 5\]"),
        (lambda g, d: g.synthesis(paddle.zeros([2, 3, 6])), r"`ws`.*\[N, 4, 6\]"),
        (lambda g, d: g(paddle.zeros([2, 5]), noise="rand"), "'const'"),
        (lambda g, d: g(paddle.zeros([2, 5]), noise=[None]), "3"),
        (lambda g, d: g(paddle.zeros([2, 5]), noise=[paddle.zeros([8, 8])] * 3), "4 x 4"),
        (lambda g, d: d(paddle.zeros([4, 3, 8, 16])), r"`images`.*\[N, 3, 8, 8\]"),
        (lambda g, d: d(paddle.zeros([6, 3, 8, 8])), "6"),
        (
            lambda g, d: Generator(resolution=8, c_dim=3, **TINY_G)(paddle.zeros([2, 5])),
            r"`c`.*\[N, 3\]",
        ),
        (lambda g, d: Generator(resolution=64, channel_base=32), "channel_base"),
        (lambda g, d: Discriminator(resolution=8, c_dim=2).mapping(None), "`c`"),
    ],
)
def test_errors_name_the_argument_and_what_is_legal(call, message):
    generator = Generator(resolution=8, **TINY_G)
    discriminator = Discriminator(resolution=8, **TINY)
    with pytest.raises(ValueError, match=message):
        call(generator, discriminator)
