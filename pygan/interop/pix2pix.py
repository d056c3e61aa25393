"""Networks of pytorch-CycleGAN-and-pix2pix (``latest_net_G.pth``, ``latest_net_D.pth``).

A file is the state dict of one network. The names count the modules of nested sequences.

============================================  =================================================
there                                         here
============================================  =================================================
U-Net: model.model.0, .3                      encoder.0, to_image
model.model.1.model = M(1), M(i).3.model = M(i + 1), of which M(n - 1) is the innermost:
M(i).1, M(i).2                                encoder.<i>, encoder_norms.<i>
M(i).5, .6; of the innermost .3, .4           decoder.<n - 1 - i>, decoder_norms.<n - 1 - i>
ResNet: model.1, .2, .4, .5, .7, .8           encoder.0 to .5
model.<10 + i>.conv_block.1, .2, .5, .6       blocks.<i>.conv0, .norm0, .conv1, .norm1
... with dropout .1, .2, .6, .7               the same
model.<10 + n>, + 1, + 3, + 4, + 7            decoder.0 to .4
PatchGAN: model.0, .2, .3, .5, ...            layers.0, .1, .2, .3, ...
of single pixels: net.0, .2, .3, .5           layers.0 to .3
============================================  =================================================

Some versions save statistics of instance normalisation, which nothing reads, and counts of batches
or operations; all these are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from pygan.errors import InputError
from pygan.interop.foreign import Arrays, Foreign

KIND = "pytorch-CycleGAN-and-pix2pix"
_IDLE = ("num_batches_tracked", "total_ops", "total_params")
_STATISTICS = ("running_mean", "running_var")
_SIDE = 256  # of the images that the published networks are for


def is_pix2pix(value: Any) -> bool:
    """Whether the object of a file is the state dict of such a network."""
    if not isinstance(value, dict):
        return False
    names = {_plain(key) for key in value if isinstance(key, str)}
    return any(
        marks <= names
        for marks in (
            {"model.model.0.weight"},
            {"model.1.weight", "model.10.conv_block.1.weight"},
            {"model.0.weight", "model.2.weight"},
            {"net.0.weight", "net.2.weight"},
        )
    )


def from_pix2pix(value: Mapping[str, Any], name: str) -> Foreign:
    """The network of a file.

    Args:
        value: its state dict.
        name: the file in messages.

    Raises:
        InputError: it is not what pygan's Pix2Pix can be.
    """
    arrays: Arrays = {}
    for key, array in value.items():
        if isinstance(array, np.ndarray) and key.rsplit(".", 1)[-1] not in _IDLE:
            arrays[_plain(str(key))] = array
    if "model.model.0.weight" in arrays:
        return _unet(arrays)
    if "model.10.conv_block.1.weight" in arrays:
        return _resnet(arrays)
    return _discriminator(arrays, name)


def _plain(key: str) -> str:
    """A name without the prefix of networks that were spread over several GPUs."""
    return key.removeprefix("module.")


def _unet(arrays: Arrays) -> Foreign:
    names = {"model.model.0": "encoder.0", "model.model.3": "to_image"}
    inner, modules = "model.model.1.model", []
    while f"{inner}.3.weight" in arrays or f"{inner}.5.weight" in arrays:
        modules.append(inner)
        inner += ".3.model"
    last = len(modules)
    for level, module in enumerate(modules, 1):
        deepest = level == last
        names[f"{module}.1"] = f"encoder.{level}"
        if not deepest:
            names[f"{module}.2"] = f"encoder_norms.{level}"
        names[f"{module}.{3 if deepest else 5}"] = f"decoder.{last - level}"
        names[f"{module}.{4 if deepest else 6}"] = f"decoder_norms.{last - level}"
    norm = _norm(arrays, "model.model.0.bias")
    widths = [arrays["model.model.0.weight"].shape[0]]
    widths += [arrays[f"{module}.1.weight"].shape[0] for module in modules]
    config = {
        "generator": "unet",
        "downs": last + 1,
        "channel_base": widths[0],
        "channel_max": max(widths),
        "norm": norm,
        "dropout_places": "pytorch",
    }
    side = max(2 ** (last + 1), _SIDE)
    first, image = arrays["model.model.0.weight"], arrays.get("model.model.3.weight")
    outputs = 3 if image is None else image.shape[1]
    return _foreign("G", arrays, names, config, (outputs, side, side), first.shape[1])


def _resnet(arrays: Arrays) -> Foreign:
    found = [re.fullmatch(r"model\.(\d+)\.conv_block\.1\.weight", key) for key in arrays]
    count = sum(match is not None for match in found)
    second = (
        6
        if "model.10.conv_block.6.weight" in arrays
        and _is_kernel(arrays["model.10.conv_block.6.weight"])
        else 5
    )
    names = {f"model.{there}": f"encoder.{here}" for here, there in enumerate((1, 2, 4, 5, 7, 8))}
    for block in range(count):
        module = f"model.{10 + block}.conv_block"
        for there, here in ((1, "conv0"), (2, "norm0"), (second, "conv1"), (second + 1, "norm1")):
            names[f"{module}.{there}"] = f"blocks.{block}.{here}"
    for place, there in enumerate((0, 1, 3, 4, 7)):
        names[f"model.{10 + count + there}"] = f"decoder.{place}"
    first, image = arrays["model.1.weight"], arrays.get(f"model.{17 + count}.weight")
    outputs = 3 if image is None else image.shape[0]
    config = {
        "generator": f"resnet{count}",
        "channel_base": first.shape[0],
        "norm": _norm(arrays, "model.1.bias"),
        "dropout_places": "pytorch" if second == 6 else "none",
    }
    return _foreign("G", arrays, names, config, (outputs, _SIDE, _SIDE), first.shape[1])


def _discriminator(arrays: Arrays, name: str) -> Foreign:
    if "net.0.weight" in arrays:
        layers = 0
        names = {f"net.{there}": f"layers.{here}" for here, there in enumerate((0, 2, 3, 5))}
        first = arrays["net.0.weight"]
        norm = _norm(arrays, "net.2.bias")
    else:
        if "model.0.weight" not in arrays:
            raise InputError(f"{name}: no network of {KIND} that pygan knows")
        kernels = [key for key, array in arrays.items() if _is_kernel(array)]
        layers = len(kernels) - 2
        inner = [place for level in range(layers) for place in (2 + 3 * level, 3 + 3 * level)]
        places = [0, *inner, 2 + 3 * layers]
        names = {f"model.{there}": f"layers.{here}" for here, there in enumerate(places)}
        first = arrays["model.0.weight"]
        norm = _norm(arrays, "model.2.bias")
    config = {"d_layers": layers, "d_channel_base": first.shape[0], "norm": norm}
    return _foreign("D", arrays, names, config, (0, 0, 0), first.shape[1])


def _is_kernel(array: np.ndarray) -> bool:
    return array.ndim == 4


def _norm(arrays: Arrays, bias: str) -> str:
    """Convolutions in front of an instance normalisation have a bias, those of a batch none."""
    return "instance" if bias in arrays else "batch"


def _foreign(
    network: str,
    arrays: Arrays,
    names: Mapping[str, str],
    config: dict[str, Any],
    image_shape: tuple[int, int, int],
    inputs: int,
) -> Foreign:
    own: Arrays = {}
    for key, array in arrays.items():
        layer, _, leaf = key.rpartition(".")
        if config["norm"] == "instance" and leaf in _STATISTICS:
            continue
        own[f"{names[layer]}.{leaf}" if layer in names else key] = array
    return Foreign(
        format=f"{KIND} ({config.get('generator', 'PatchGAN')})",
        networks={network: own},
        config=config,
        image_shape=image_shape,
        algorithm="pix2pix",
        source_channels=inputs,
    )
