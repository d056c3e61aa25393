"""From the files in which weights are published to the arrays that pygan's networks take.

Each converter takes the opened files and returns name -> float32 array; whoever builds the network
checks that all are there and of its shapes. Batch normalisation, which is an affine map in a frozen
network, is folded into the convolution before it, in float64; images enter every network as RGB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np

from pygan.errors import InputError
from pygan.interop.torch_file import read_torch

from .onnx_file import read_onnx

Arrays = dict[str, np.ndarray]

#: Index of each convolution in the `features` of torchvision's VGG16, in order of depth.
VGG16_INDICES = {
    **{"conv1_1": 0, "conv1_2": 2, "conv2_1": 5, "conv2_2": 7},
    **{"conv3_1": 10, "conv3_2": 12, "conv3_3": 14, "conv4_1": 17, "conv4_2": 19, "conv4_3": 21},
    **{"conv5_1": 24, "conv5_2": 26, "conv5_3": 28},
}
#: The same of VGG19, as far as losses look into it.
VGG19_INDICES = {
    **{"conv1_1": 0, "conv1_2": 2, "conv2_1": 5, "conv2_2": 7},
    **{"conv3_1": 10, "conv3_2": 12, "conv3_3": 14, "conv3_4": 16},
    **{"conv4_1": 19, "conv4_2": 21, "conv4_3": 23, "conv4_4": 25, "conv5_1": 28},
}
ALEXNET_INDICES = {"conv1": 0, "conv2": 3, "conv3": 6, "conv4": 8, "conv5": 10}

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CAFFE_MEAN = (123.68, 116.779, 103.939)  # red, green, blue
_LPIPS_SHIFT, _LPIPS_SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_EPSILON = 1e-3  # of batch normalisation in TensorFlow's networks


class Published:
    """A published file's arrays by name, with errors that say which is missing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        arrays: Any = read_onnx(path) if path.suffix == ".onnx" else read_torch(path)
        if isinstance(arrays, dict) and isinstance(arrays.get("state_dict"), dict):
            arrays = arrays["state_dict"]
        if not isinstance(arrays, dict):
            raise InputError(f"{path}: holds a {type(arrays).__name__}, not a state dict")
        self._arrays = {
            name: array
            for name, array in arrays.items()
            if isinstance(name, str) and isinstance(array, np.ndarray)
        }

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def take(self, name: str, ndim: Optional[int] = None) -> np.ndarray:
        """The array `name`, in float32, with `ndim` dimensions if that matters."""
        if name not in self._arrays:
            raise InputError(f"{self.path}: {name!r} is missing; is it the file of this network?")
        array = self._arrays[name]
        if array.dtype.kind not in "fiub":
            raise InputError(f"{self.path}: {name!r} holds {array.dtype}, not numbers")
        if ndim is not None and array.ndim != ndim:
            raise InputError(f"{self.path}: {name!r} has the shape {list(array.shape)}")
        with np.errstate(over="ignore"):  # the network refuses infinities
            return np.array(array, np.float32, order="C")

    def modules(self, suffix: str, prefix: str = "") -> list[str]:
        """The names that start with `prefix` and end with ".suffix", without this end; in the
        file's order."""
        ends = f".{suffix}"
        return [
            name[: -len(ends)]
            for name in self._arrays
            if name.endswith(ends) and name.startswith(prefix)
        ]


def read(converter: str, paths: Sequence[Path]) -> Arrays:
    """The arrays of a network from its published files, in any order.

    Raises:
        InputError: a file cannot be read, or is not of this network.
    """
    needed, function = _CONVERTERS[converter]
    if len(paths) != needed:
        names = ", ".join(map(str, paths))
        raise InputError(
            f"{names}: these weights are published in {needed} file(s), got {len(paths)}; give all "
            "of them to 'pygan weights convert'"
        )
    return function(_trunk_first([Published(path) for path in paths]))


def identify(paths: Sequence[Path]) -> tuple[str, Arrays]:
    """Which converter reads published files, and what it reads.

    Raises:
        InputError: none does, or a file cannot be read.
    """
    files = _trunk_first([Published(path) for path in paths])
    for converter, mark in _MARKS.items():
        needed, function = _CONVERTERS[converter]
        if mark in files[0] and needed == len(files):
            return converter, function(files)
    names = ", ".join(str(path) for path in paths)
    raise InputError(
        f"{names}: not the weights of a network that pygan has; "
        "'pygan weights list' tells which files it takes"
    )


def _trunk_first(files: list[Published]) -> list[Published]:
    """LPIPS's heads come after the network that they belong to."""
    return sorted(files, key=lambda file: "lin0.model.1.weight" in file)


def inception_2015(files: list[Published]) -> Arrays:
    """The state dict of pytorch-fid or torch-fidelity."""
    (source,) = files
    classes = source.take("fc.bias").size
    if classes != 1008:
        raise InputError(
            f"{source.path}: an Inception with {classes} classes; FID is defined with TensorFlow's "
            "of 2015, which has 1008"
        )
    arrays = {}
    for name in source.modules("conv.weight"):
        if name.startswith("AuxLogits."):  # of training only
            continue
        weight, bias = _folded(source, f"{name}.conv", f"{name}.bn")
        arrays[f"{name}.weight"], arrays[f"{name}.bias"] = weight, bias
    for part in ("weight", "bias"):
        arrays[f"fc.{part}"] = source.take(f"fc.{part}")
    return arrays


def vgg16_torchvision(files: list[Published]) -> Arrays:
    """Torchvision's VGG16: RGB, mean and deviation. The fully connected layers may be missing."""
    (source,) = files
    mean, deviation = ([255 * x for x in xs] for xs in (_IMAGENET_MEAN, _IMAGENET_STD))
    arrays = _input(source, mean, deviation)
    names = {name: f"features.{index}" for name, index in VGG16_INDICES.items()}
    if "classifier.0.weight" in source:
        names.update(fc6="classifier.0", fc7="classifier.3", fc8="classifier.6")
    for ours, theirs in names.items():
        for part in ("weight", "bias"):
            arrays[f"{ours}.{part}"] = source.take(f"{theirs}.{part}")
    return arrays


def vgg19_torchvision(files: list[Published]) -> Arrays:
    """Torchvision's VGG19 up to relu5_1, for images in [-1, 1] as pix2pixHD feeds them to it."""
    (source,) = files
    arrays = _input(source, (127.5,) * 3, (127.5,) * 3)
    for name, index in VGG19_INDICES.items():
        for part in ("weight", "bias"):
            arrays[f"{name}.{part}"] = source.take(f"features.{index}.{part}")
    return arrays


def vgg16_onnx(files: list[Published]) -> Arrays:
    """The convolutions as Keras has them, from an ONNX file: BGR, mean only."""
    (source,) = files
    arrays = _input(source, _CAFFE_MEAN, (1.0, 1.0, 1.0))
    for name in VGG16_INDICES:
        stem = f"functional_1/block{name[4]}_conv{name[6]}_1"
        arrays[f"{name}.weight"] = source.take(f"{stem}/convolution/ReadVariableOp:0", ndim=4)
        arrays[f"{name}.bias"] = source.take(f"{stem}/Squeeze:0")
    arrays["conv1_1.weight"] = arrays["conv1_1.weight"][:, ::-1].copy()
    return arrays


def lpips_vgg(files: list[Published]) -> Arrays:
    """Torchvision's VGG16 and the heads of LPIPS 0.1."""
    return _lpips(files, VGG16_INDICES)


def lpips_alex(files: list[Published]) -> Arrays:
    """Torchvision's AlexNet and the heads of LPIPS 0.1."""
    return _lpips(files, ALEXNET_INDICES)


def _lpips(files: list[Published], indices: Mapping[str, int]) -> Arrays:
    trunk, heads = files
    arrays = _input(trunk, _LPIPS_SHIFT, _LPIPS_SCALE)
    for name, index in indices.items():
        for part in ("weight", "bias"):
            arrays[f"trunk.{name}.{part}"] = trunk.take(f"features.{index}.{part}")
    return {**arrays, **_heads(heads)}


def stlpips_vgg(files: list[Published]) -> Arrays:
    """ST-LPIPS with VGG16, trunk and heads."""
    return _stlpips(files, VGG16_INDICES)


def stlpips_alex(files: list[Published]) -> Arrays:
    """ST-LPIPS with AlexNet, trunk and heads."""
    return _stlpips(files, ALEXNET_INDICES)


def _stlpips(files: list[Published], indices: Mapping[str, int]) -> Arrays:
    (source,) = files
    shift, scale = (source.take(f"scaling_layer.{part}") for part in ("shift", "scale"))
    arrays = _input(source, shift, scale)
    # The file's convolutions are net.slice<s>.<i>, i growing with depth.
    depth = sorted(source.modules("weight", "net.slice"), key=_last_number)
    if len(depth) != len(indices):
        raise InputError(f"{source.path}: has {len(depth)} convolutions instead of {len(indices)}")
    for ours, theirs in zip(indices, depth):
        for part in ("weight", "bias"):
            arrays[f"trunk.{ours}.{part}"] = source.take(f"{theirs}.{part}")
    return {**arrays, **_heads(source)}


def _last_number(name: str) -> int:
    end = name.rpartition(".")[2]
    return int(end) if end.isdecimal() else -1


def _heads(source: Published) -> Arrays:
    return {f"heads.{i}": source.take(f"lin{i}.model.1.weight").reshape(-1) for i in range(5)}


def efficientnet_lite0(files: list[Published]) -> Arrays:
    """The state dict of EfficientNet-Lite0."""
    (source,) = files
    arrays = {}

    def put(ours: str, conv: str, bn: str) -> None:
        arrays[f"{ours}.weight"], arrays[f"{ours}.bias"] = _folded(source, conv, bn)

    put("stem", "_conv_stem", "_bn0")
    put("head", "_conv_head", "_bn1")
    for name in source.modules("_depthwise_conv.weight", "_blocks."):
        block = f"blocks.{name.split('.')[1]}"
        if f"{name}._expand_conv.weight" in source:
            put(f"{block}.expand", f"{name}._expand_conv", f"{name}._bn0")
        put(f"{block}.depthwise", f"{name}._depthwise_conv", f"{name}._bn1")
        put(f"{block}.project", f"{name}._project_conv", f"{name}._bn2")
    for part in ("weight", "bias"):
        arrays[f"fc.{part}"] = source.take(f"_fc.{part}")
    return arrays


def _input(source: Published, mean: Any, deviation: Any) -> Arrays:
    """How the network wants images: (x − mean) / deviation, per colour."""
    arrays = {
        "mean": np.array(mean, np.float32).reshape(-1),
        "deviation": np.array(deviation, np.float32).reshape(-1),
    }
    if any(array.size != 3 for array in arrays.values()) or not arrays["deviation"].all():
        raise InputError(f"{source.path}: the scaling of images is not three numbers each")
    return arrays


def _folded(source: Published, conv: str, bn: str) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of a convolution followed by batch normalisation with fixed statistics."""
    weight = source.take(f"{conv}.weight", ndim=4).astype(np.float64)
    gamma, beta, mean, variance = (
        source.take(f"{bn}.{part}", ndim=1).astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    if any(len(part) != len(weight) for part in (gamma, beta, mean, variance)):
        raise InputError(f"{source.path}: {conv!r} and {bn!r} do not fit together")
    if not (variance >= 0).all():
        raise InputError(f"{source.path}: {bn!r} has variances below zero")
    with np.errstate(all="ignore"):  # the network refuses what is not finite
        scale = gamma / np.sqrt(variance + _EPSILON)
        folded = weight * scale[:, None, None, None], beta - mean * scale
        return folded[0].astype(np.float32), folded[1].astype(np.float32)


# Name -> number of files, function.
_CONVERTERS: dict[str, tuple[int, Callable[[list[Published]], Arrays]]] = {
    "inception_2015": (1, inception_2015),
    "efficientnet_lite0": (1, efficientnet_lite0),
    "vgg16_onnx": (1, vgg16_onnx),
    "vgg16_torchvision": (1, vgg16_torchvision),
    "vgg19_torchvision": (1, vgg19_torchvision),
    "stlpips_vgg": (1, stlpips_vgg),
    "stlpips_alex": (1, stlpips_alex),
    "lpips_vgg": (2, lpips_vgg),
    "lpips_alex": (2, lpips_alex),
}
# Converter -> a parameter that tells its network's file from others, among files of as many.
_MARKS = {
    "inception_2015": "Mixed_5b.branch1x1.conv.weight",
    "efficientnet_lite0": "_conv_stem.weight",
    "vgg16_onnx": "functional_1/block1_conv1_1/convolution/ReadVariableOp:0",
    "stlpips_vgg": "net.slice5.32.weight",
    "stlpips_alex": "net.slice5.13.weight",
    "vgg19_torchvision": "features.32.weight",  # the normalised ones have none
    "vgg16_torchvision": "features.26.weight",  # the deeper and the normalised ones have none
    "lpips_vgg": "features.26.weight",
    "lpips_alex": "features.6.weight",
}
