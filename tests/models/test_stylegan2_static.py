"""StyleGAN2 in the static graphs of Paddle 3: programs saved, loaded and compared with eager."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest

from pygan.models.stylegan2 import ARCHITECTURES, Discriminator, Generator
from pygan.ops import native_info

pytestmark = pytest.mark.skipif(
    paddle.__version__.startswith("2."), reason="Paddle 3's static graphs"
)


class Synthesis(paddle.nn.Layer):
    """The synthesis network with its constant noise, as one would deploy it."""

    def __init__(self, synthesis: paddle.nn.Layer) -> None:
        super().__init__()
        self.synthesis = synthesis

    def forward(self, ws: paddle.Tensor) -> paddle.Tensor:
        return self.synthesis(ws, noise="const")


class Sampler(paddle.nn.Layer):
    """Latent codes to images."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: paddle.Tensor) -> paddle.Tensor:
        return self.generator(z, truncation=0.7, noise="const")


def generator(architecture: str = "skip") -> Generator:
    paddle.seed(0)
    network = Generator(
        resolution=16, z_dim=8, w_dim=8, mapping_layers=2, channel_base=64, channel_max=8,
        architecture=architecture,
    )  # fmt: skip
    for name, parameter in network.named_parameters():
        if name.endswith("noise_strength"):
            parameter.set_value(paddle.full(parameter.shape, 0.3))
    network.eval()
    return network


def saved(layer: paddle.nn.Layer, shape: list, folder: Path) -> paddle.nn.Layer:
    layer.eval()
    spec = [paddle.static.InputSpec(shape, "float32")]
    paddle.jit.save(layer, str(folder / "model"), input_spec=spec)
    return paddle.jit.load(str(folder / "model"))


def assert_same(got: paddle.Tensor, want: paddle.Tensor) -> None:
    # The reference, without native operators, orders its sums otherwise in a static graph.
    limit = 1e-6 if native_info()["available"] else 1e-4
    assert got.shape == want.shape
    assert np.abs(got.numpy() - want.numpy()).max() <= limit * np.abs(want.numpy()).max()


@pytest.mark.parametrize("batch", [2, None])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_saved_synthesis(architecture: str, batch: object, tmp_path: Path) -> None:
    g = generator(architecture)
    loaded = saved(Synthesis(g.synthesis), [batch, g.num_ws, 8], tmp_path)
    for samples in (2,) if batch else (2, 3):
        ws = paddle.randn([samples, g.num_ws, 8])
        assert_same(loaded(ws), g.synthesis(ws, noise="const"))


def test_saved_generator_with_its_mapping_network(tmp_path: Path) -> None:
    g = generator()
    loaded = saved(Sampler(g), [2, 8], tmp_path)
    z = paddle.randn([2, 8])
    assert_same(loaded(z), g(z, truncation=0.7, noise="const"))


def test_saved_discriminator(tmp_path: Path) -> None:
    paddle.seed(0)
    d = Discriminator(resolution=16, channel_base=64, channel_max=8)
    x = paddle.randn([4, 3, 16, 16])
    assert_same(saved(d, [4, 3, 16, 16], tmp_path)(x), d(x))
