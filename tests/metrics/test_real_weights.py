"""Published weights on photographs, where ``pygan weights get`` and scikit-image have left them.

The numbers come from the networks' own programs, or from onnxruntime.
"""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from PIL import Image, ImageFilter

from pygan.metrics.extractors import find_extractor, find_perceptual, installed

data = pytest.importorskip("skimage.data", reason="the photographs of scikit-image are missing")


def need(name: str) -> None:
    if name not in installed():
        pytest.skip(f"the weights are missing: pygan weights get {name}")


def photograph(name: str, size: int) -> Image.Image:
    image = Image.fromarray(getattr(data, name)()[..., :3])
    return image.resize((size, size), Image.Resampling.BICUBIC)


def test_vgg16_has_the_activations_of_the_published_model() -> None:
    need("vgg16")
    pixels = np.asarray(photograph("chelsea", 240), np.float32).transpose(2, 0, 1)[None]
    with paddle.no_grad():
        taps = find_perceptual("vgg16").network(paddle.to_tensor(pixels))
    means = [float(tap.mean()) for tap in taps]
    np.testing.assert_allclose(means, [79.215, 140.553, 136.302, 19.197, 1.958], rtol=3e-4)


@pytest.mark.parametrize(
    ("name", "golden"),
    [
        ("stlpips-alex", [0.0763, 0.4501, 0.1549, 0.6214, 0.0044, 0.0194, 0.6644, 0]),
        ("stlpips-vgg", [0.1642, 0.5307, 0.2455, 0.6687, 0.0149, 0.0221, 0.7407, 0]),
    ],
)
def test_shift_tolerant_distances(name: str, golden: list[float]) -> None:
    need(name)
    cat = photograph("chelsea", 256)
    pixels, noise = np.asarray(cat), np.random.RandomState(0)
    others = [
        np.clip(pixels + noise.randn(*pixels.shape) * sigma, 0, 255).astype(np.uint8)
        for sigma in (5, 15)
    ]
    others += [np.asarray(cat.filter(ImageFilter.GaussianBlur(radius))) for radius in (1, 4)]
    others += [np.roll(pixels, 1, 1), np.minimum(pixels.astype(int) + 20, 255)]
    others += [np.asarray(photograph("coffee", 256)), pixels]
    network = find_perceptual(name)
    tensors = [
        paddle.to_tensor((x.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None])
        for x in (pixels, *others)
    ]
    with paddle.no_grad():
        got = [float(network.distance(tensors[0], other)[0]) for other in tensors[1:]]
    np.testing.assert_allclose(got, golden, atol=6e-5)


@pytest.mark.parametrize(("name", "label"), [("chelsea", 285), ("coffee", 967)])
def test_efficientnet_knows_what_it_sees(name: str, label: int) -> None:
    need("efficientnet-lite0")
    pixels = np.asarray(photograph(name, 224)).transpose(2, 0, 1)[None]
    features = find_extractor("efficientnet-lite0")(pixels, ["logits"])
    assert int(features["logits"].argmax()) == label
