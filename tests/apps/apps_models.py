"""Tiny models with weights from a seed."""

from __future__ import annotations

import numpy as np
import paddle

from pygan.algorithms import find_algorithm
from pygan.apps.sample import TrainedModel
from pygan.training.algorithm import DataSpec

SIZES = {"channel_base": 128, "channel_max": 8, "z_dim": 8, "w_dim": 8, "mapping_layers": 2}


def make_model(shape: tuple[int, int, int] = (3, 16, 16), classes: int = 0) -> TrainedModel:
    """A model whose noise and mean code matter, as in a trained one."""
    algorithm = find_algorithm("stylegan2")
    config = algorithm.Config.from_dict({"data": "none", "out": "none", **SIZES})
    data = DataSpec(shape, (1,) * classes)
    paddle.seed(0)
    generator = algorithm.build("G", config, data)
    for layer in generator.synthesis.noise_layers:
        layer.noise_strength.set_value(np.array(0.1, dtype=np.float32))
    generator.mapping.w_avg.set_value(np.linspace(-0.5, 0.5, config.w_dim, dtype=np.float32))
    generator.eval()
    return TrainedModel(algorithm, config, data, {"G": generator}, 0)


def assert_same_images(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal up to rounding: matrix products differ in their last bit with the size of the batch."""
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert (found == expected).mean() > 0.99
