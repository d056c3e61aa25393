"""Spectral normalisation: weights divided by their largest singular value.

Miyato et al. 2018, "Spectral normalization for generative adversarial networks", algorithm 1. With
W the weight as a matrix [O, I k k], one step of power iteration,

    v <- W^T u / |W^T u|,    u <- W v / |W v|,    sigma = u^T W v,

keeps u and v close to the first singular vectors while W changes slowly. u and v count as constants
in the gradient of sigma, which is exact where they are the singular vectors.

Parameters and buffers have the names that PyTorch gives them (``weight_orig``, ``weight_u``,
``weight_v``), so that checkpoints load.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
from paddle import nn

from pygan.nn.plain_conv import PlainConv2D

_EPSILON = 1e-12


class SpectralConv2D(PlainConv2D):
    """A :class:`PlainConv2D` whose weight is divided by its largest singular value.

    In training mode, every forward pass does one step of power iteration first, unless
    ``iterates`` is False: then :func:`power_iteration` does them, e.g. once per optimiser step, so
    that results do not depend on how a batch is split. In evaluation mode u and v are not changed.

    Buffers: ``weight_u`` [out] and ``weight_v`` [in k k], unit vectors. After :func:`fold`,
    ``weight_orig`` holds the divided weight, and nothing is computed any more.
    """

    weight_name = "weight_orig"

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, **kw: Any) -> None:
        super().__init__(in_channels, out_channels, kernel_size, **kw)
        self.iterates = True
        self.folded = False
        fan_in = in_channels * kernel_size**2
        self.register_buffer("weight_u", _unit(paddle.randn([out_channels])))
        self.register_buffer("weight_v", _unit(paddle.randn([fan_in])))

    def effective_weight(self) -> paddle.Tensor:
        """``weight_orig / sigma``."""
        if self.folded:
            return self.weight_orig
        if self.training and self.iterates:
            self.iterate()
        return self.weight_orig / self.sigma()

    def sigma(self) -> paddle.Tensor:
        """u^T W v, a differentiable scalar [1]."""
        rows = self.weight_orig.reshape([self.weight_orig.shape[0], -1])
        # Copies: autograd refuses to go back through buffers that a later pass has changed.
        u, v = self.weight_u.clone(), self.weight_v.clone()
        return (u * paddle.matmul(rows, v.unsqueeze(1)).squeeze(1)).sum().reshape([1])

    @paddle.no_grad()
    def iterate(self) -> None:
        """One step of power iteration."""
        rows = self.weight_orig.reshape([self.weight_orig.shape[0], -1])
        v = _unit(paddle.matmul(rows, self.weight_u.unsqueeze(1), transpose_x=True).squeeze(1))
        paddle.assign(v, output=self.weight_v)
        paddle.assign(_unit(paddle.matmul(rows, v.unsqueeze(1)).squeeze(1)), output=self.weight_u)

    @paddle.no_grad()
    def fold(self) -> None:
        """Stores the divided weight in ``weight_orig``; for inference only."""
        if not self.folded:
            self.weight_orig.set_value(self.weight_orig / self.sigma())
            self.folded = True


def spectral_layers(network: nn.Layer) -> list[SpectralConv2D]:
    """The spectrally normalised layers of a network."""
    return [
        layer for layer in network.sublayers(include_self=True) if isinstance(layer, SpectralConv2D)
    ]


def hold(network: nn.Layer) -> None:
    """Leaves power iteration to :func:`power_iteration`."""
    for layer in spectral_layers(network):
        layer.iterates = False


def power_iteration(network: nn.Layer) -> None:
    """One step of power iteration in every layer of a network."""
    for layer in spectral_layers(network):
        layer.iterate()


def fold(network: nn.Layer) -> None:
    """Divides the weights of a network once and for all, for inference.

    Its state dict then holds the divided weights; do not train it or save it as a checkpoint.
    """
    for layer in spectral_layers(network):
        layer.fold()


def right_vector(weight: np.ndarray, u: np.ndarray) -> np.ndarray:
    """v = W^T u / |W^T u| of a weight [O, ...]: what files without ``weight_v`` leave out."""
    v = weight.reshape(len(weight), -1).T.astype(np.float64) @ u.astype(np.float64)
    return (v / max(float(np.linalg.norm(v)), _EPSILON)).astype(weight.dtype)


def _unit(x: paddle.Tensor) -> paddle.Tensor:
    return x / paddle.clip(paddle.sqrt(paddle.square(x).sum()), min=_EPSILON)
