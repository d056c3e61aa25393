"""The FID network against torch-fidelity's, whose outputs are recorded, and its traps in numpy."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from published import conv2d, windows, write_pth

from pygan.errors import InputError
from pygan.metrics.extractors import find_extractor
from pygan.metrics.extractors import inception_2015 as inception
from pygan.metrics.extractors.extractor import FeatureExtractor
from pygan.metrics.extractors.inception_2015 import Inception2015

# FeatureExtractorInceptionV3 of torch-fidelity 0.4.0 (PyTorch 2.13) with `random_state()` on
# `golden_images()`: the first four numbers of either image, and the mean of all absolute values.
GOLDEN = {
    "64": "1.480323 0.320711 0.004743 0.087898 1.523466 0.3179 0.004265 0.098786 0.408887",
    "192": "0.228388 0.0 0.176296 0.189941 0.228555 0.0 0.170267 0.217608 0.725301",
    "768": "0.005748 0.012866 1.205907 2.684753 0.008253 0.016123 1.221172 2.706879 0.906563",
    "2048": "0.896673 2.082378 0.0 0.439797 0.892379 2.088733 0.0 0.478061 1.134874",
    "logits_unbiased": "3.187699 0.013921 0.9823 0.810665 "
    "3.238522 0.052565 1.009328 0.790932 1.416419",
    "logits": "3.144198 0.032143 0.233846 -0.595614 3.195022 0.070787 0.260874 -0.615347 1.596047",
}


def random_state() -> dict[str, np.ndarray]:
    """A state dict with the published names, in which activations keep their size."""
    generator, state = np.random.default_rng(2015), {}
    parameters = Inception2015().state_dict()
    for name in sorted(n[: -len(".weight")] for n in parameters if n.endswith(".weight")):
        shape = parameters[f"{name}.weight"].shape
        weight = generator.standard_normal(shape, dtype=np.float32)
        if name == "fc":
            state["fc.weight"] = weight * np.float32(0.02)
            state["fc.bias"] = generator.standard_normal(shape[0], dtype=np.float32)
            continue
        state[f"{name}.conv.weight"] = weight * np.float32(np.sqrt(2 / np.prod(shape[1:])))
        for part, middle, spread in (
            ("weight", 1.0, 0.2),
            ("bias", 0.0, 0.2),
            ("running_mean", 0.0, 0.2),
            ("running_var", 1.0, 0.1),
        ):
            noise = generator.standard_normal(shape[0], dtype=np.float32)
            state[f"{name}.bn.{part}"] = (
                np.abs(middle + spread * noise) if middle else spread * noise
            )
    return state


def golden_images() -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, [2, 3, 40, 52], dtype=np.uint8)


@pytest.fixture(scope="module")
def extractor(tmp_path_factory: pytest.TempPathFactory) -> FeatureExtractor:
    """As users get it: from a published file that the variable names."""
    path = tmp_path_factory.mktemp("inception") / "pt_inception.pth"
    write_pth(path, random_state())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYGAN_INCEPTION", str(path))
        return find_extractor("inception-2015")


def test_all_outputs_are_those_of_torch_fidelity(extractor: FeatureExtractor) -> None:
    assert extractor.resize == "tf1-bilinear"
    assert sorted(GOLDEN) == sorted(extractor.dims)
    got = extractor(golden_images(), list(extractor.dims))
    for name, words in GOLDEN.items():
        numbers = [float(word) for word in words.split()]
        assert got[name].shape == (2, extractor.dims[name])
        assert got[name].dtype == np.float32
        want = np.array(numbers[:8]).reshape(2, 4)
        np.testing.assert_allclose(got[name][:, :4], want, rtol=2e-5, atol=2e-5, err_msg=name)
        assert np.abs(got[name]).mean() == pytest.approx(numbers[8], rel=1e-5)


def test_features_do_not_depend_on_the_batch(extractor: FeatureExtractor) -> None:
    """Drift of FID's features, far below the 1e-3 that would show in a metric."""
    images = np.concatenate([golden_images(), golden_images()[:, :, ::-1], golden_images() // 2])
    together = extractor(images, ["2048"])["2048"]
    alone = [extractor(images[i : i + 1], ["2048"])["2048"] for i in (0, 3, 5)]
    assert together.std(0).mean() > 1e-2
    np.testing.assert_allclose(np.concatenate(alone), together[[0, 3, 5]], rtol=1e-5, atol=1e-5)


def test_grey_images_are_colour_images_of_three_equal_channels(extractor: FeatureExtractor) -> None:
    grey = golden_images()[:1, :1]
    colour = paddle.to_tensor(np.repeat(grey, 3, 1))
    np.testing.assert_array_equal(extractor(grey, "64")["64"], extractor(colour, "64")["64"])


def test_arguments(extractor: FeatureExtractor) -> None:
    assert len(extractor.sha256) == 64
    assert extractor(np.zeros([0, 3, 8, 8], np.uint8), ["64"])["64"].shape == (0, 64)
    for images in (
        np.zeros([1, 3, 8, 8], np.float32),
        np.zeros([1, 4, 8, 8], np.uint8),
        np.zeros([3, 8, 8], np.uint8),
        np.zeros([1, 3, 0, 8], np.uint8),
    ):
        with pytest.raises(InputError, match="images: "):
            extractor(images, ["64"])
    with pytest.raises(InputError, match="has no 'pool'; choose from: 2048"):
        extractor(np.zeros([1, 3, 8, 8], np.uint8), ["pool"])


def filled(block: paddle.nn.Layer) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Random weights in all convolutions of a block, also returned."""
    generator, weights = np.random.default_rng(0), {}
    for name, conv in block.named_children():
        weight = generator.normal(0, 0.05, conv.weight.shape).astype(np.float32)
        bias = generator.normal(0, 0.1, conv.bias.shape).astype(np.float32)
        conv.weight.set_value(weight)
        conv.bias.set_value(bias)
        weights[name] = weight, bias
    return weights


def mean_without_padding(x: np.ndarray) -> np.ndarray:
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)])
    inside = np.pad(np.ones_like(x), [(0, 0), (0, 0), (1, 1), (1, 1)])
    return windows(padded, 3, 1).sum((4, 5)) / windows(inside, 3, 1).sum((4, 5))


def max_of_neighbours(x: np.ndarray) -> np.ndarray:
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)], constant_values=-np.inf)
    return windows(padded, 3, 1).max((4, 5))


@pytest.mark.parametrize(
    ("block", "fan_in", "pool"),
    [
        (lambda: inception._A(12, pool=32), 12, mean_without_padding),
        (lambda: inception._C(128), 768, mean_without_padding),
        (lambda: inception._E(16, maximum=False), 16, mean_without_padding),
        (lambda: inception._E(16, maximum=True), 16, max_of_neighbours),
    ],
    ids=["A", "C", "7b", "7c"],
)
def test_pool_branch(block, fan_in: int, pool) -> None:  # type: ignore[no-untyped-def]
    """The last channels of a block."""
    layer = block()
    weight, bias = filled(layer)["branch_pool"]
    x = np.random.default_rng(1).normal(0, 1, [2, fan_in, 4, 5]).astype(np.float32)
    want = np.maximum(conv2d(pool(x), weight, bias), 0)
    got = layer(paddle.to_tensor(x)).numpy()[:, -len(weight) :]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_the_last_blocks_pool_differently() -> None:
    network = Inception2015()
    assert not network.Mixed_7b._maximum
    assert network.Mixed_7c._maximum


def test_rectangular_kernels() -> None:
    """1 × 7 then 7 × 1 in the branch of 7 × 7."""
    layer = inception._C(8)
    weights = filled(layer)
    assert weights["branch7x7_2"][0].shape == (8, 8, 1, 7)
    assert weights["branch7x7_3"][0].shape == (192, 8, 7, 1)
    x = np.random.default_rng(1).normal(0, 1, [1, 768, 5, 4]).astype(np.float32)
    y = np.maximum(conv2d(x, *weights["branch7x7_1"]), 0)
    for name in ("branch7x7_2", "branch7x7_3"):
        weight, bias = weights[name]
        square = np.zeros([*weight.shape[:2], 7, 7])
        if weight.shape[2] == 1:
            square[:, :, 3, :] = weight[:, :, 0, :]
        else:
            square[:, :, :, 3] = weight[:, :, :, 0]
        y = np.maximum(conv2d(y, square, bias, padding=3), 0)
    got = layer(paddle.to_tensor(x)).numpy()[:, 192:384]
    np.testing.assert_allclose(got, y, rtol=1e-4, atol=1e-5)
