"""Layers that several models share."""

from pygan.nn.activation import activation_gain, is_homogeneous
from pygan.nn.conv import Conv2dLayer
from pygan.nn.label_conv import LabelConv2D, reflected
from pygan.nn.linear import FullyConnectedLayer
from pygan.nn.mapping import MappingNetwork
from pygan.nn.minibatch_stddev import minibatch_stddev
from pygan.nn.modulated import SynthesisLayer, ToRGBLayer
from pygan.nn.norm import BatchNorm, InstanceNorm, Statistics, normalize_2nd_moment
from pygan.nn.precision import HALF_TYPES, fork, is_half, join, to_type
from pygan.nn.resolution import block_name, channels_at, resolution_pyramid
from pygan.nn.spade import SpadeNorm

__all__ = [
    "HALF_TYPES",
    "BatchNorm",
    "Conv2dLayer",
    "FullyConnectedLayer",
    "InstanceNorm",
    "LabelConv2D",
    "MappingNetwork",
    "SpadeNorm",
    "Statistics",
    "SynthesisLayer",
    "ToRGBLayer",
    "activation_gain",
    "block_name",
    "channels_at",
    "fork",
    "is_half",
    "is_homogeneous",
    "join",
    "minibatch_stddev",
    "normalize_2nd_moment",
    "reflected",
    "resolution_pyramid",
    "to_type",
]
