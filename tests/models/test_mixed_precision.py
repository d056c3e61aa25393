"""Half precision at the highest resolutions: close to float32, with weights in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest

from pygan.models.stylegan2 import Discriminator, Generator
from pygan.nn import fork, join
from pygan.ops import native_info

if not native_info()["available"]:
    pytest.skip("half precision on the CPU needs the native operators", allow_module_level=True)

# Relative errors: bfloat16 has 8 significant bits, float16 has 11. The slope of a leaky ReLU jumps
# where rounding changes the sign of its input, so a smooth activation is compared.
TOLERANCES = {"bfloat16": 0.06, "float16": 0.006}
SMOOTH = "swish"
# Training multiplies the penalty by gamma / 2 and its interval. Without a factor the smallest
# terms of its gradient would be below float16's range.
R1_GAIN = 1024.0
HALVES = sorted(TOLERANCES)
ARCHITECTURES = [("skip", "resnet"), ("resnet", "skip"), ("orig", "orig")]


def generator(half_type: str | None, architecture: str = "skip", **options: Any) -> Generator:
    paddle.seed(0)
    settings = {"z_dim": 8, "w_dim": 8, "mapping_layers": 1, "channel_base": 256, "channel_max": 8}
    settings.update({"conv_clamp": 256, "half_type": half_type, **options})
    network = Generator(resolution=32, architecture=architecture, **settings)
    for layer in network.synthesis.noise_layers:
        layer.noise_strength.set_value(np.array(0.1, dtype=np.float32))
    return network


def discriminator(half_type: str | None, architecture: str = "resnet", **options: Any) -> Any:
    paddle.seed(0)
    settings = {"channel_base": 256, "channel_max": 8, "mbstd_group_size": 2, "conv_clamp": 256}
    settings.update({"half_type": half_type, **options})
    return Discriminator(resolution=32, architecture=architecture, **settings)


def numbers(seed: int, *shape: int) -> paddle.Tensor:
    return paddle.to_tensor(np.random.RandomState(seed).randn(*shape).astype(np.float32))


def gradients(network: paddle.nn.Layer) -> np.ndarray:
    """All gradients in one vector; those of parameters without one are zero."""
    parts = []
    for parameter in network.parameters():
        assert parameter.dtype == paddle.float32
        if parameter.grad is None:
            parts.append(np.zeros(parameter.size, dtype=np.float32))
        else:
            assert parameter.grad.dtype == paddle.float32
            parts.append(parameter.grad.numpy().ravel())
    return np.concatenate(parts)


def relative_error(found: Any, expected: Any) -> float:
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert np.isfinite(found).all()
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def generator_step(network: Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, gradient of a loss of them, and gradient of the path lengths."""
    images = network(numbers(1, 4, 8), noise="const")
    assert images.dtype == paddle.float32
    (images * numbers(2, *images.shape)).mean().backward()
    first = gradients(network)
    network.clear_gradients()
    ws = network.mapping(numbers(3, 4, 8))
    images = network.synthesis(ws, noise="const")
    (slope,) = paddle.grad(
        [(images * numbers(4, *images.shape)).sum() / 32], [ws], create_graph=True
    )
    assert slope.dtype == paddle.float32
    paddle.sqrt(paddle.square(slope).sum(axis=2).mean(axis=1)).mean().backward()
    return images.numpy(), first, gradients(network)


def discriminator_step(network: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, gradient of a loss of them, and gradient of R1."""
    images = numbers(5, 4, 3, 32, 32)
    images.stop_gradient = False
    logits = network(images)
    assert logits.dtype == paddle.float32
    paddle.nn.functional.softplus(logits).mean().backward()
    first = gradients(network)
    network.clear_gradients()
    (slope,) = paddle.grad([network(images).sum()], [images], create_graph=True)
    assert slope.dtype == paddle.float32
    (paddle.square(slope).sum(axis=[1, 2, 3]).mean() * R1_GAIN).backward()
    return logits.numpy(), first, gradients(network)


@pytest.mark.parametrize("half_type", HALVES)
@pytest.mark.parametrize("architecture", [pair[0] for pair in ARCHITECTURES])
@pytest.mark.parametrize("resolutions", [1, 4])
def test_generator(half_type: str, architecture: str, resolutions: int) -> None:
    options = {"architecture": architecture, "half_resolutions": resolutions}
    options["activation"] = SMOOTH
    expected = generator_step(generator(None, **options))
    found = generator_step(generator(half_type, **options))
    for what, ours, theirs in zip(("images", "loss", "path length"), found, expected):
        assert 0 < relative_error(ours, theirs) < TOLERANCES[half_type], what


@pytest.mark.parametrize("half_type", HALVES)
@pytest.mark.parametrize("architecture", [pair[1] for pair in ARCHITECTURES])
@pytest.mark.parametrize("resolutions", [1, 4])
def test_discriminator(half_type: str, architecture: str, resolutions: int) -> None:
    options = {"architecture": architecture, "half_resolutions": resolutions}
    options["activation"] = SMOOTH
    expected = discriminator_step(discriminator(None, **options))
    found = discriminator_step(discriminator(half_type, **options))
    for what, ours, theirs in zip(("logits", "loss", "R1"), found, expected):
        assert 0 < relative_error(ours, theirs) < TOLERANCES[half_type], what


@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_half_precision_starts_at_the_top_and_spares_the_lowest_resolution(count: int) -> None:
    half, types = paddle.float16, []
    synthesis = generator("float16", half_resolutions=count).synthesis
    for name in synthesis.block_names:
        block = getattr(synthesis, name)
        block.conv1.register_forward_post_hook(lambda _, __, y: types.append(y.dtype))
    synthesis(numbers(0, 2, synthesis.num_ws, 8), noise="none")
    assert [dtype == half for dtype in types] == [i >= 4 - min(count, 3) for i in range(4)]
    network, types = discriminator("float16", half_resolutions=count), []
    for name in network.block_names:
        layer = getattr(network, name).conv1
        layer.register_forward_post_hook(lambda _, __, y: types.append(y.dtype))
    network(numbers(0, 2, 3, 32, 32))
    assert [dtype == half for dtype in types] == [i < count for i in range(3)]


def test_large_weights_and_styles_do_not_overflow_float16() -> None:
    network = generator("float16")
    reference = generator(None)
    for each in (network, reference):
        for name, weight in each.named_parameters():
            if ".conv" in name and name.endswith(("weight", "affine.bias")):
                weight.set_value(weight * 300.0)
    images, expected = (n(numbers(1, 4, 8), noise="const").numpy() for n in (network, reference))
    assert relative_error(images, expected) < TOLERANCES["float16"]


def test_activations_are_clamped() -> None:
    network = discriminator("float16", conv_clamp=2.0)
    largest = []
    for name in network.block_names:
        layer = getattr(network, name).conv0
        layer.register_forward_post_hook(lambda _, __, y: largest.append(y))
    network(numbers(0, 2, 3, 32, 32) * 100)
    assert max(y.astype("float32").abs().max().item() for y in largest) == 2.0


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_branches_meet_in_sums_and_gradients(dtype: str) -> None:
    x = numbers(0, 5)
    x.stop_gradient = False
    a, b = fork(x.astype(dtype))
    y = join(a * 2, b * 3)
    assert str(y.dtype).endswith(dtype)
    np.testing.assert_allclose(y.astype("float32").numpy(), 5 * x.numpy(), rtol=0.02)
    (slope,) = paddle.grad([y.astype("float32").sum()], [x], create_graph=True)
    np.testing.assert_array_equal(slope.numpy(), np.full(5, 5, dtype=np.float32))


def test_unknown_types_are_named() -> None:
    with pytest.raises(ValueError, match="`half_type` is 'float8'; it must be None or one of"):
        generator("float8")
    with pytest.raises(ValueError, match="`half_resolutions` is -1"):
        discriminator("float16", half_resolutions=-1)
