"""The perceptual loss of pix2pixHD and SPADE, on a file as torchvision publishes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from published import write_pth

from pygan.cli import main
from pygan.metrics.extractors import find_perceptual, installed

# Output channels of all 16 convolutions of the published network, "M" for a pool.
PLAN = [64, 64, "M", 128, 128, "M", *[256] * 4, "M", *[512] * 4, "M", *[512] * 4]
# relu1_1, relu2_1, relu3_1, relu4_1, relu5_1 by the index in torchvision's `features`.
TAPS = (1, 6, 11, 20, 29)


@pytest.fixture(scope="module")
def features() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    arrays, index, fan_in = {}, 0, 3
    for width in PLAN:
        if width == "M":
            index += 1
            continue
        scale = np.float32(np.sqrt(2 / (fan_in * 9)))
        shape = (width, fan_in, 3, 3)
        arrays[f"features.{index}.weight"] = rng.standard_normal(shape, np.float32) * scale
        arrays[f"features.{index}.bias"] = rng.normal(0, 0.1, width).astype(np.float32)
        index, fan_in = index + 2, width
    return arrays


def taps(images: np.ndarray, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    x, found, index = paddle.to_tensor(images), [], 0
    for width in PLAN[:-3]:
        if width == "M":
            x = F.max_pool2d(x, 2)
            index += 1
            continue
        weight, bias = (arrays[f"features.{index}.{part}"] for part in ("weight", "bias"))
        x = F.relu(F.conv2d(x, paddle.to_tensor(weight), paddle.to_tensor(bias), padding=1))
        index += 2
        if index - 1 in TAPS:
            found.append(x.numpy())
    return found


def test_distance_of_the_published_file(
    features: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYGAN_CACHE", str(tmp_path))
    monkeypatch.delenv("PYGAN_VGG19", raising=False)
    file = write_pth(tmp_path / "vgg19.pth", features)
    assert main(["weights", "convert", str(file)]) == 0
    assert installed() == ["vgg19"]
    a, b = np.random.default_rng(1).uniform(-1, 1, (2, 2, 3, 32, 48)).astype(np.float32)
    found = find_perceptual("vgg19").distance(paddle.to_tensor(a), paddle.to_tensor(b)).numpy()
    layers = list(zip(taps(a, features), taps(b, features), strict=True))
    assert len(layers) == 5
    means = [np.abs(one.astype(np.float64) - other).mean((1, 2, 3)) for one, other in layers]
    expected = np.array([1 / 32, 1 / 16, 1 / 8, 1 / 4, 1]) @ np.array(means)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
