"""Checkpoints of StyleGAN2 and StyleGAN2-ADA in TensorFlow (``.pkl``).

A file is a pickle of the three networks (G, D, Gs). Each is an object whose state holds the source
text of its function, which is not run, the arguments of the function, a list of variables, and
networks that it is made of. Variables have the names of TensorFlow's scopes, matrices are [in, out]
and kernels [k, k, in, out].

======================================  =======================================================
there                                   here
======================================  =======================================================
Dense<i>, LabelEmbed                    mapping.fc<i>, .embed
dlatent_avg                             mapping.w_avg
4x4/Const/const, 4x4/Conv               synthesis.b4.const, .conv1
<r>x<r>/Conv0_up, Conv1, ToRGB, Skip    synthesis.b<r>.conv0 (turned by 180 degrees), .conv1, ...
mod_weight, mod_bias                    affine.weight, affine.bias = mod_bias + 1
noise<n> [1, 1, r, r]                   noise_const [r, r] of the n-th styled convolution
<r>x<r>/FromRGB, Conv0, Conv1_down (D)  b<r>.fromrgb, .conv0, .conv1
4x4/Conv, 4x4/Dense0, Output (D)        b4.conv, .fc, .out
======================================  =======================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Optional

import numpy as np

from pygan.errors import InputError
from pygan.interop.foreign import Arrays, Foreign
from pygan.interop.restricted_pickle import Allowed, Record
from pygan.interop.stylegan2 import check_fir, convolution_name, make_foreign, scale_mapping

KIND = "StyleGAN2 in TensorFlow"
_NETWORK = "dnnlib.tflib.network.Network"
ALLOW: Allowed = {("dnnlib.tflib.network", "Network"): Record.of("dnnlib.tflib.network", "Network")}
_MAX_NESTED = 4
# Arguments that pygan has no options for, and the only value that its networks have.
_FIXED: dict[str, Any] = {
    "mapping_nonlinearity": "lrelu",
    "nonlinearity": "lrelu",
    "act": "lrelu",
    "normalize_latents": True,
    "normalize_z": True,
    "use_noise": True,
}


def is_tensorflow(value: Any) -> bool:
    """Whether the object of a pickle is such a checkpoint."""
    return isinstance(value, (tuple, list)) and len(value) == 3 and all(map(_is_network, value))


def from_tensorflow(value: Sequence[Any], name: str) -> Foreign:
    """The networks of a checkpoint.

    Args:
        value: the three networks of the file.
        name: the file in messages.

    Raises:
        InputError: the networks are not what pygan's StyleGAN2 can be.
    """
    networks: dict[str, Arrays] = {}
    options: dict[str, Any] = {"mbstd_group": 4}
    notes: list[str] = []
    for network, record in zip(("G", "D", "G_ema"), value):
        where = f"{name}: {network}"
        rename = _discriminator_key if network == "D" else _generator_key
        variables = dict(_variables(record, where))
        if any("StyleMod" in key for key in variables) or "FromRGB_lod0/weight" in variables:
            raise InputError(f"{where} is a network of the first StyleGAN, which pygan lacks")
        if "LabelConcat/weight" in variables:
            raise InputError(
                f"{where} takes labels as StyleGAN2 did before ADA; pygan's networks take them as "
                "those of StyleGAN2-ADA"
            )
        arrays: Arrays = {}
        for key, array in variables.items():
            if key.rpartition("/")[2] == "lod":
                continue  # the progress of progressive growing; there is none in StyleGAN2
            own = rename(key, array)
            arrays[own] = _convert(key, own, array)
        networks[network] = arrays
        found = _options(record, where)
        # What the functions have where they are called without it.
        multiplier = found.pop("multiplier", 0.1 if network == "D" else 0.01)
        notes += scale_mapping(arrays, multiplier, network)
        options.update(found)
    return make_foreign(name, KIND, networks, options, tuple(notes))


def _is_network(value: Any) -> bool:
    return isinstance(value, Record) and value.name == _NETWORK


def _state(record: Any, where: str) -> dict[str, Any]:
    if not _is_network(record) or not isinstance(record.state, dict):
        raise InputError(f"{where} has a part that is not a network")
    return record.state


def _variables(record: Any, where: str, depth: int = 0) -> Iterator[tuple[str, np.ndarray]]:
    """Variables of a network and of what it is made of."""
    state = _state(record, where)
    variables, components = state.get("variables") or [], state.get("components") or {}
    if not isinstance(variables, list) or not isinstance(components, dict) or depth > _MAX_NESTED:
        raise InputError(f"{where}: its variables are damaged")
    for pair in variables:
        if not (isinstance(pair, (tuple, list)) and len(pair) == 2 and isinstance(pair[0], str)):
            raise InputError(f"{where}: its variables are damaged")
        if not isinstance(pair[1], (np.ndarray, np.generic)):
            raise InputError(f"{where}: {pair[0]} is a {type(pair[1]).__name__}, not an array")
        yield pair[0], np.asarray(pair[1])
    for component in components.values():
        yield from _variables(component, where, depth + 1)


def _options(record: Any, where: str, depth: int = 0) -> dict[str, Any]:
    """Options of pygan's StyleGAN2 that follow from the arguments of the functions."""
    state = _state(record, where)
    arguments = state.get("static_kwargs")
    options: dict[str, Any] = {}
    for key, value in (arguments if isinstance(arguments, dict) else {}).items():
        plain = isinstance(value, (str, bool, int, float))
        if key in _FIXED and plain and value != _FIXED[key]:
            raise InputError(f"{where} has {key} {value!r}; pygan's StyleGAN2 has {_FIXED[key]!r}")
        if key == "resample_kernel" and value is not None:
            check_fir(where, key, np.asarray(value, np.float64))
        if key == "mbstd_group_size" and isinstance(value, int) and value > 0:
            options["mbstd_group"] = value
        if key == "mapping_lrmul" and isinstance(value, (int, float)) and 0 < value < np.inf:
            options["multiplier"] = float(value)
        if key == "conv_clamp" and isinstance(value, (int, float)):
            options["conv_clamp"] = float(value)
        if key == "num_fp16_res" and isinstance(value, int):
            options["fp16_res"] = value
    for component in (state.get("components") or {}).values():
        options.update(_options(component, where, depth + 1))
    return options


def _generator_key(key: str, array: np.ndarray) -> str:
    if key == "dlatent_avg":
        return "mapping.w_avg"
    match = re.fullmatch(r"Dense(\d{1,2})/(weight|bias)", key)
    if match:
        return f"mapping.fc{int(match[1])}.{match[2]}"
    match = re.fullmatch(r"LabelEmbed/(weight|bias)", key)
    if match:
        return f"mapping.embed.{match[1]}"
    match = re.fullmatch(r"noise(\d{1,2})", key)
    if match:
        return f"{convolution_name(int(match[1]))}.noise_const"
    if key == "4x4/Const/const":
        return "synthesis.b4.const"
    block = _block(key)
    if block is not None:
        side, layer, part = block
        own = {"Conv0_up": "conv0", "Conv1": "conv1", "ToRGB": "torgb", "Skip": "skip"}.get(layer)
        if side == 4 and layer == "Conv":
            own = "conv1"
        if own is not None and part in _PARTS:
            return f"synthesis.b{side}.{own}.{_PARTS[part]}"
    return key


_PARTS = {
    "weight": "weight",
    "bias": "bias",
    "mod_weight": "affine.weight",
    "mod_bias": "affine.bias",
    "noise_strength": "noise_strength",
}


def _discriminator_key(key: str, array: np.ndarray) -> str:
    match = re.fullmatch(r"Output/(weight|bias)", key)
    if match:
        return f"b4.out.{match[1]}"
    match = re.fullmatch(r"LabelEmbed/(weight|bias)", key)
    if match:
        return f"mapping.embed.{match[1]}"
    match = re.fullmatch(r"Mapping(\d{1,2})/(weight|bias)", key)
    if match:
        return f"mapping.fc{int(match[1])}.{match[2]}"
    block = _block(key)
    if block is not None:
        side, layer, part = block
        names = {"FromRGB": "fromrgb", "Conv0": "conv0", "Conv1_down": "conv1", "Skip": "skip"}
        if side == 4:
            names = {"FromRGB": "fromrgb", "Conv": "conv", "Dense0": "fc"}
        if layer in names and part in ("weight", "bias"):
            return f"b{side}.{names[layer]}.{part}"
    return key


def _block(key: str) -> Optional[tuple[int, str, str]]:
    """Side, layer and part of a name such as 8x8/Conv1/weight."""
    match = re.fullmatch(r"(\d{1,5})x\1/(\w+)/(\w+)", key)
    return None if match is None else (int(match[1]), match[2], match[3])


def _convert(key: str, own: str, array: np.ndarray) -> np.ndarray:
    """The array in pygan's layout."""
    if own == key:
        return array
    if own.endswith(".weight"):
        if array.ndim == 2:
            return array.T
        if array.ndim == 4:
            kernel = array.transpose(3, 2, 0, 1)
            return kernel[:, :, ::-1, ::-1] if key.endswith("Conv0_up/weight") else kernel
    if own.endswith("affine.bias"):
        return array + np.float32(1)
    if own.endswith(("const", "noise_const")) and array.ndim == 4:
        return array.reshape(array.shape[2:] if own.endswith("noise_const") else array.shape[1:])
    return array
