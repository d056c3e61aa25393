"""Facts about activation functions that a layer's gains depend on."""

from __future__ import annotations

from pygan.ops.bias_act import ACTIVATIONS

_HOMOGENEOUS = ("linear", "relu", "lrelu")


def activation_gain(act: str) -> float:
    """The gain that :func:`pygan.ops.bias_act` applies by default after ``act``.

    The square root of two restores the variance that a rectifier halves (He et al. 2015, "Delving
    deep into rectifiers"); the other activations have gain one.
    """
    return ACTIVATIONS[act].gain


def is_homogeneous(act: str) -> bool:
    """Whether ``act(g * x) = g * act(x)`` for every ``g > 0``."""
    return act in _HOMOGENEOUS
