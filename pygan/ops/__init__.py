"""Operators of the GAN family: fused, native on CPU, exact to second order."""

from pygan.ops.bias_act import bias_act

__all__ = ["bias_act"]
