"""EfficientNet-Lite0 against numpy: TensorFlow's padding, the blocks, the names in its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from published import batch_norm, conv2d, convolution, windows, write_pth

from pygan.metrics.extractors import find_extractor
from pygan.metrics.extractors.efficientnet_lite import EfficientNetLite0, _Same
from pygan.metrics.extractors.extractor import FeatureExtractor

# Kernel, stride and repeats; channels in and out; as in EfficientNet-B0 (Tan and Le, table 1).
STAGES = (
    (3, 1, 1, 32, 16),
    (3, 2, 2, 16, 24),
    (5, 2, 2, 24, 40),
    (3, 2, 3, 40, 80),
    (5, 1, 3, 80, 112),
    (5, 2, 4, 112, 192),
    (3, 1, 1, 192, 320),
)
State = dict[str, np.ndarray]


def blocks() -> list[tuple[int, int, int, int]]:
    """Kernel, stride, channels in and out of each block."""
    found = []
    for kernel, stride, repeats, fan_in, fan_out in STAGES:
        found.append((kernel, stride, fan_in, fan_out))
        found += [(kernel, 1, fan_out, fan_out)] * (repeats - 1)
    return found


def random_state() -> State:
    """A state dict with the published names."""
    generator = np.random.default_rng(0)
    state: State = {}

    def put(conv: str, norm: str, fan_out: int, fan_in: int, size: int) -> None:
        state[f"{conv}.weight"] = convolution(generator, fan_out, fan_in, size)[0]
        state.update(batch_norm(norm, fan_out, len(state)))

    put("_conv_stem", "_bn0", 32, 3, 3)
    for number, (kernel, _, fan_in, fan_out) in enumerate(blocks()):
        name, width = f"_blocks.{number}", fan_in * (6 if number else 1)
        if number:
            put(f"{name}._expand_conv", f"{name}._bn0", width, fan_in, 1)
        put(f"{name}._depthwise_conv", f"{name}._bn1", width, 1, kernel)
        put(f"{name}._project_conv", f"{name}._bn2", fan_out, width, 1)
    put("_conv_head", "_bn1", 1280, 320, 1)
    state["_fc.weight"], state["_fc.bias"] = convolution(generator, 1000, 1280, 1)
    state["_fc.weight"] = state["_fc.weight"][:, :, 0, 0]
    return state


def same_padding(x: np.ndarray, kernel: int, stride: int) -> np.ndarray:
    """TensorFlow's: as many zeros as ⌈size / stride⌉ windows need, the odd one at the end."""
    pads = [(0, 0), (0, 0)]
    for size in x.shape[2:]:
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads.append((total // 2, total - total // 2))
    return np.pad(x, pads)


def same(x: np.ndarray, weight: np.ndarray, stride: int) -> np.ndarray:
    """A convolution, depthwise where the weight has one input channel and images have many."""
    x = same_padding(x, weight.shape[-1], stride)
    if weight.shape[1] == x.shape[1]:
        return conv2d(x, weight, np.zeros(len(weight)), stride)
    return np.einsum("nchwij,cij->nchw", windows(x, weight.shape[-1], stride), weight[:, 0])


def network_of_numpy(state: State, x: np.ndarray) -> dict[str, np.ndarray]:
    def layer(x: np.ndarray, conv: str, norm: str, stride: int = 1) -> np.ndarray:
        gamma, beta, mean, variance = (
            state[f"{norm}.{part}"][:, None, None]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        y = same(x, state[f"{conv}.weight"], stride)
        return (y - mean) / np.sqrt(variance + 1e-3) * gamma + beta

    def relu6(x: np.ndarray) -> np.ndarray:
        return np.clip(x, 0, 6)

    x = relu6(layer((x - 127.0) / 128.0, "_conv_stem", "_bn0", 2))
    for number, (_, stride, fan_in, fan_out) in enumerate(blocks()):
        name, y = f"_blocks.{number}", x
        if number:
            y = relu6(layer(y, f"{name}._expand_conv", f"{name}._bn0"))
        y = relu6(layer(y, f"{name}._depthwise_conv", f"{name}._bn1", stride))
        y = layer(y, f"{name}._project_conv", f"{name}._bn2")
        x = x + y if stride == 1 and fan_in == fan_out else y
    pool = relu6(layer(x, "_conv_head", "_bn1")).mean((2, 3))
    return {"pool": pool, "logits": pool @ state["_fc.weight"].T + state["_fc.bias"]}


@pytest.fixture(scope="module")
def extractor(tmp_path_factory: pytest.TempPathFactory) -> FeatureExtractor:
    """As users get it who have the file already: the variable names it."""
    path: Path = tmp_path_factory.mktemp("efficientnet") / "lite0.pth"
    write_pth(path, random_state())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYGAN_EFFICIENTNET_LITE0", str(path))
        return find_extractor("efficientnet-lite0")


def test_the_network_is_numpys(extractor: FeatureExtractor) -> None:
    """On images whose sizes are even as often as those of 224 × 224."""
    x = np.random.default_rng(1).uniform(0, 255, [2, 3, 64, 32]).astype(np.float32)
    network: Any = extractor._network
    got = network.features(paddle.to_tensor(x))
    want = network_of_numpy(random_state(), x.astype(np.float64))
    assert sorted(got) == sorted(extractor.dims) == sorted(want)
    for name, values in want.items():
        assert values.std() > 0.1
        np.testing.assert_allclose(got[name].numpy(), values, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (5, 1), (3, 2), (5, 2)])
def test_same_padding(kernel: int, stride: int, groups: int) -> None:
    generator = np.random.default_rng(kernel)
    layer = _Same(4, 4, kernel, stride, groups)
    weight, bias = convolution(generator, 4, 4 // groups, kernel)
    layer.weight.set_value(weight)
    layer.bias.set_value(bias)
    x = generator.normal(0, 1, [2, 4, 8, 6]).astype(np.float32)
    want = same(x, weight, stride) + bias[:, None, None]
    got = layer(paddle.to_tensor(x)).numpy()
    assert got.shape == (2, 4, 8 // stride, 6 // stride)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_features_do_not_depend_on_the_batch(extractor: FeatureExtractor) -> None:
    images = np.random.default_rng(2).integers(0, 256, [11, 3, 30, 41], np.uint8)
    together = extractor(images, list(extractor.dims))
    alone = [extractor(images[i : i + 1], list(extractor.dims)) for i in range(11)]
    for name, values in together.items():
        assert values.shape == (11, extractor.dims[name])
        one_by_one = np.concatenate([found[name] for found in alone])
        np.testing.assert_allclose(one_by_one, values, rtol=1e-4, atol=1e-5)


def test_the_size_of_images_is_brought_to_the_networks(extractor: FeatureExtractor) -> None:
    assert extractor.resize == "bicubic"
    assert EfficientNetLite0.input_size == 224
    flat = np.full([2, 3, 9, 7], 200, np.uint8)
    large = np.full([2, 3, 224, 224], 200, np.uint8)
    ours, theirs = (extractor(images, ["pool"])["pool"] for images in (flat, large))
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
