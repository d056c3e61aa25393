"""Facts about activation functions that a layer's gains depend on."""

from __future__ import annotations

import math

_GAINS = {"relu": math.sqrt(2), "lrelu": math.sqrt(2), "swish": math.sqrt(2)}
_HOMOGENEOUS = ("linear", "relu", "lrelu")


def activation_gain(act: str) -> float:
    """The gain that :func:`pygan.ops.bias_act` applies by default after ``act``.

    The square root of two restores the variance that a rectifier halves (He et al. 2015, "Delving
    deep into rectifiers"); the other activations have gain one.
    """
    return _GAINS.get(act, 1.0)


def is_homogeneous(act: str) -> bool:
    """Whether ``act(g * x) = g * act(x)`` for every ``g > 0``."""
    return act in _HOMOGENEOUS
