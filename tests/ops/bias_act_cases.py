"""bias_act in numpy, and what its tests compare with."""

from __future__ import annotations

import math

import numpy as np
import paddle

DEFAULT_GAINS = {"relu": math.sqrt(2), "lrelu": math.sqrt(2), "swish": math.sqrt(2)}
# Largest error relative to max(1, |y|): some units of the last place of the type.
TOLERANCES = {"float64": 2e-15, "float32": 1e-6, "float16": 1e-3, "bfloat16": 8e-3}

ACTIVATIONS = {
    "linear": lambda u, a: u,
    "relu": lambda u, a: np.maximum(u, 0),
    "lrelu": lambda u, a: np.where(u > 0, u, a * u),
    "tanh": lambda u, a: np.tanh(u),
    "sigmoid": lambda u, a: 1 / (1 + np.exp(-u)),
    "elu": lambda u, a: np.where(u > 0, u, np.expm1(np.minimum(u, 0))),
    "selu": lambda u, a: (
        1.0507009873554805 * np.where(u > 0, u, 1.6732632423543772 * np.expm1(np.minimum(u, 0)))
    ),
    "softplus": lambda u, a: np.logaddexp(u, 0),
    "swish": lambda u, a: u / (1 + np.exp(-u)),
}


def oracle(x, b=None, axis=1, act="linear", alpha=0.2, gain=None, clamp=None, scale=None,
           noise=None, strength=1.0):  # fmt: skip
    u = np.asarray(x, np.float64)
    if scale is not None:
        u = u * scale.reshape(scale.shape + (1,) * (u.ndim - 2))
    if noise is not None:
        u = u + strength * noise
    if b is not None:
        u = u + np.moveaxis(np.broadcast_to(b, np.moveaxis(u, axis, -1).shape), -1, axis)
    y = ACTIVATIONS[act](u, alpha) * (DEFAULT_GAINS.get(act, 1.0) if gain is None else gain)
    return y if clamp is None else np.clip(y, -clamp, clamp)


def values(*shape: int, seed: int = 0, scale: float = 1.5) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape) * scale


def rounded(array: np.ndarray, dtype: str) -> np.ndarray:
    """The array after storage in ``dtype``, in float64."""
    return paddle.to_tensor(array).astype(dtype).astype("float64").numpy()


def assert_close(y: paddle.Tensor, expected: np.ndarray) -> None:
    dtype = str(y.dtype).split(".")[-1]
    error = np.abs(y.astype("float64").numpy() - expected) / np.maximum(1, np.abs(expected))
    assert error.max(initial=0) <= TOLERANCES[dtype], f"{dtype}: {error.max():.3g}"
