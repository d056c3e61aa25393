"""Published weights on emoji, where ``pygan weights get`` has installed them.

The numbers are those of the networks' own programs (stlpips-pytorch 0.0.2 and
efficientnet-lite-pytorch 0.1.0 in PyTorch 2.13) and, of VGG16's ONNX file, of onnxruntime 1.32.
"""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from pygan.data import open_dataset
from pygan.metrics.extractors import find_extractor, find_perceptual, installed


def need(name: str) -> None:
    if name not in installed():
        pytest.skip(f"the weights are missing: pygan weights get {name}")


@pytest.fixture(scope="module")
def emoji() -> np.ndarray:
    """A face, a planet and a flag, [3, 3, 64, 64]."""
    return open_dataset("emoji").load([0, 1000, 1700])[0]


def enlarged(images: np.ndarray, size: int) -> np.ndarray:
    """The middle of the images, each pixel four times as large."""
    border = (4 * images.shape[2] - size) // 2
    return images.repeat(4, 2).repeat(4, 3)[:, :, border : border + size, border : border + size]


def test_vgg16_has_the_activations_of_the_published_model(emoji: np.ndarray) -> None:
    need("vgg16")
    pixels = paddle.to_tensor(enlarged(emoji, 240).astype(np.float32))
    with paddle.no_grad():
        taps = find_perceptual("vgg16").network(pixels)
    means = [tap.numpy().mean(dtype=np.float64) for tap in taps]
    np.testing.assert_allclose(
        means, [157.29686, 206.97898, 174.66796, 20.13497, 0.87131], rtol=1e-5
    )


@pytest.mark.parametrize(
    ("name", "others", "shifted"),
    [
        (
            "stlpips-alex",
            [0.49556398, 0.4924127, 0.6257468],
            [0.00365034, 0.0028083, 0.00293821],
        ),
        (
            "stlpips-vgg",
            [0.46104947, 0.51253456, 0.5157397],
            [0.01134211, 0.00618632, 0.00935919],
        ),
    ],
)
def test_shift_tolerant_distances(
    name: str, others: list[float], shifted: list[float], emoji: np.ndarray
) -> None:
    need(name)
    network = find_perceptual(name)
    images = paddle.to_tensor(emoji.astype(np.float32) / 127.5 - 1)
    with paddle.no_grad():
        to_others = network.distance(images, images[[1, 2, 0]]).numpy()
        to_shifted = network.distance(images, paddle.roll(images, 1, 3)).numpy()
    np.testing.assert_allclose(to_others, others, rtol=1e-5)
    np.testing.assert_allclose(to_shifted, shifted, rtol=1e-4)


def test_efficientnet_has_the_outputs_of_the_published_model(emoji: np.ndarray) -> None:
    need("efficientnet-lite0")
    extractor = find_extractor("efficientnet-lite0")
    found = extractor(enlarged(emoji, 224), ["pool", "logits"])
    np.testing.assert_allclose(found["pool"].mean(1), [0.1979686, 0.2101434, 0.1917486], rtol=1e-4)
    logits = [
        [-0.7808716, 0.0867327, 0.7215065],
        [-0.0631827, 0.47189, -1.3353301],
        [-0.9507166, -0.5307305, -2.0906756],
    ]
    np.testing.assert_allclose(found["logits"][:, :3], logits, atol=1e-4)
    np.testing.assert_array_equal(found["logits"].argmax(1), [518, 641, 610])
