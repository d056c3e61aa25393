"""Checkpoints of rosinality's stylegan2-pytorch (``.pt``), read and written.

A file holds a dict of state dicts: ``g``, ``d`` and ``g_ema``; files that were converted from
others often hold ``g_ema`` and ``latent_avg``, the mean of w, alone. The names are those of
https://github.com/rosinality/stylegan2-pytorch; the numbers are those of pygan, but that styled
kernels have a leading axis of one. Networks are config F: a 'skip' generator and a 'resnet'
discriminator, square and without classes.

=======================================  ======================================================
there                                    here
=======================================  ======================================================
style.<i + 1>                            mapping.fc<i>
input.input [1, C, 4, 4]                 synthesis.b4.const [C, 4, 4]
conv1, to_rgb1                           synthesis.b4.conv1, .torgb
convs.<2i>, convs.<2i + 1>, to_rgbs.<i>  synthesis.b<8 * 2^i>.conv0, .conv1, .torgb
\\*.conv.weight, \\*.conv.modulation       \\*.weight, \\*.affine
\\*.noise.weight [1], \\*.activate.bias    \\*.noise_strength [], \\*.bias
noises.noise_<n> [1, 1, r, r]            \\*.noise_const [r, r] of the n-th styled convolution
convs.0.0, convs.0.1 (of d)              b<R>.fromrgb
convs.<k>.conv1, .conv2, .skip (of d)    b<R / 2^(k - 1)>.conv0, .conv1, .skip
final_conv, final_linear.0, .1 (of d)    b4.conv, b4.fc, b4.out
=======================================  ======================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pygan.errors import InputError
from pygan.interop.foreign import Arrays, Foreign
from pygan.interop.restricted_pickle import Allowed, Record
from pygan.interop.stylegan2 import FIR, check_fir, convolution_name, make_foreign, structure
from pygan.interop.torch_writer import write_torch

KIND = "rosinality"
#: The options of the training are kept as an object of argparse.
ALLOW: Allowed = {("argparse", "Namespace"): Record.of("argparse", "Namespace")}
_NETWORKS = {"g": "G", "d": "D", "g_ema": "G_ema"}


def is_rosinality(value: Any) -> bool:
    """Whether the object of a file of PyTorch is such a checkpoint."""
    if not isinstance(value, dict):
        return False
    parts = [value, *(value[name] for name in ("g", "g_ema") if name in value)]
    return any(isinstance(part, dict) and "input.input" in part for part in parts)


def from_rosinality(value: Mapping[str, Any], name: str, kind: str = KIND) -> Foreign:
    """The networks of a checkpoint.

    Args:
        value: the dict of the file.
        name: the file in messages.
        kind: whose file it is.

    Raises:
        InputError: the networks are not what pygan's StyleGAN2 can be.
    """
    if "input.input" in value:  # a generator alone
        value = {"g_ema": value}
    networks = {}
    for key, network in _NETWORKS.items():
        if isinstance(value.get(key), dict):
            rename = _discriminator_key if network == "D" else _generator_key
            networks[network] = _rename(value[key], rename, f"{name}: {key}")
    mean = value.get("latent_avg")
    if isinstance(mean, np.ndarray) and "G_ema" in networks:
        # pSp keeps one row per layer, all the same.
        networks["G_ema"]["mapping.w_avg"] = mean.reshape(-1, mean.shape[-1])[0]
    return make_foreign(name, kind, networks, {"mbstd_group": 4})


def write_rosinality(
    path: Path, networks: Mapping[str, Arrays], name: str, config: Mapping[str, Any]
) -> list[str]:
    """Writes a checkpoint, with new optimisers, which going on with training there asks for.

    Args:
        path: the file to write.
        networks: arrays in pygan's names by network.
        name: where they come from, for messages.
        config: options of pygan's training.

    Returns:
        Lines for the user: how to load it there.

    Raises:
        InputError: the networks have no counterpart there, or the file cannot be written.
    """
    networks = {key: networks[key] for key in _NETWORKS.values() if key in networks}
    if any(re.search(r"\bb\d+x\d+\.", key) for part in networks.values() for key in part):
        raise InputError(f"{name}: the images are not square; rosinality's networks are")
    found = structure(name, networks)
    for key, what, there in (
        ("classes", "classes", 0),
        ("channels", "image channels", 3),
        ("g_architecture", "the generator's architecture", "skip"),
        ("d_architecture", "the discriminator's architecture", "resnet"),
    ):
        if found.get(key, there) != there:
            raise InputError(f"{name}: {what}: {found[key]}; rosinality's networks have {there}")
    resolution = found["resolution"]
    result: dict[str, Any] = {}
    for key, network in _NETWORKS.items():
        if network in networks:
            write = _write_discriminator if network == "D" else _write_generator
            result[key] = write(networks[network], resolution)
    for key in ("g", "d"):
        if key in result:
            result[f"{key}_optim"] = _optimizer(key, result[key], config)
    if "G_ema" in networks:
        result["latent_avg"] = networks["G_ema"]["mapping.w_avg"]
    try:
        write_torch(path, result)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None
    return [f"{path} holds {', '.join(result)}", *_how_to_load(found)]


def _optimizer(key: str, arrays: Arrays, config: Mapping[str, Any]) -> dict[str, Any]:
    """The state of PyTorch's Adam before its first step; lazy regularisation as in pygan."""
    interval = config.get({"g": "pl_interval", "d": "r1_interval"}[key], {"g": 4, "d": 16}[key])
    share = interval / (interval + 1)
    trained = [name for name in arrays if not name.startswith("noises.") and "kernel" not in name]
    group = {
        "lr": config.get(f"{key}_lr", 0.002) * share,
        "betas": (config.get("beta1", 0.0) ** share, config.get("beta2", 0.99) ** share),
        "eps": config.get("epsilon", 1e-8),
        "weight_decay": 0,
        "amsgrad": False,
        "params": list(range(len(trained))),
    }
    return {"state": {}, "param_groups": [group]}


def _how_to_load(found: Mapping[str, Any]) -> list[str]:
    if "w_dim" not in found:
        return []
    resolution, base, most = (found[k] for k in ("resolution", "channel_base", "channel_max"))
    for multiplier in (1, 2):
        own = [min(base // side, most) for side in _sides(resolution)]
        theirs = [512 if side <= 32 else 16384 * multiplier // side for side in _sides(resolution)]
        if own == theirs and found["z_dim"] == found["w_dim"]:
            call = f"{resolution}, {found['w_dim']}, {found['mapping_layers']}"
            return [f"there: Generator({call}, channel_multiplier={multiplier})"]
    return [
        "rosinality's own Generator has other widths (512 up to 32 x 32, then 16384 or 32768 / "
        "side; one size for z and w): change its table of channels to load the file"
    ]


def _sides(resolution: int) -> list[int]:
    return [4 << i for i in range(resolution.bit_length() - 2)]


def _rename(arrays: Mapping[str, Any], rename: Any, where: str) -> Arrays:
    sides = [int(m[1]) for key in arrays if (m := re.fullmatch(r"convs\.(\d{1,2})\..*", key))]
    # The blocks of a discriminator count from the top, after fromrgb; those of a generator, two
    # convolutions each, from 8 x 8 up. Only the former need to know where the top is.
    top = 4 << max(sides, default=0)
    result: Arrays = {}
    for key, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise InputError(f"{where}.{key} is a {type(array).__name__}, not a tensor")
        if key.endswith("kernel"):
            check_fir(where, key, array)
            continue
        own, shape = rename(key, array, top)
        if own in result:
            raise InputError(f"{where}.{key}: {own} is there twice")
        result[own] = array.reshape(shape)
    return result


def _generator_key(key: str, array: np.ndarray, top: int) -> tuple[str, tuple[int, ...]]:
    """pygan's name and shape of a generator's array; its own ones where there is none."""
    match = re.fullmatch(r"style\.([1-9]\d?)\.(weight|bias)", key)
    if match:
        return f"mapping.fc{int(match[1]) - 1}.{match[2]}", array.shape
    if key == "input.input" and array.ndim == 4:
        return "synthesis.b4.const", array.shape[1:]
    match = re.fullmatch(r"noises\.noise_(\d{1,2})", key)
    if match:
        return f"{convolution_name(int(match[1]))}.noise_const", array.shape[-2:]
    match = re.fullmatch(r"(conv1|convs\.(\d{1,2})|to_rgb1|to_rgbs\.(\d{1,2}))\.(.+)", key)
    if match:
        if match[1].startswith("conv"):
            layer = convolution_name(0 if match[2] is None else int(match[2]) + 1)
            part = _CONVOLUTION.get(match[4])
        else:
            side = 4 if match[3] is None else 8 << int(match[3])
            layer, part = f"synthesis.b{side}.torgb", _TO_RGB.get(match[4])
        if part is not None:
            return f"{layer}.{part}", _plain_shape(part, array)
    return key, array.shape


_STYLED = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
}
_CONVOLUTION = {**_STYLED, "noise.weight": "noise_strength", "activate.bias": "bias"}
_TO_RGB = {**_STYLED, "bias": "bias"}


def _plain_shape(part: str, array: np.ndarray) -> tuple[int, ...]:
    """Without the axes of length one that only broadcast there."""
    if part == "weight" and array.ndim == 5 and array.shape[0] == 1:
        return array.shape[1:]
    if part == "noise_strength" and array.size == 1:
        return ()
    if part == "bias" and array.ndim == 4 and array.size == array.shape[1]:
        return (array.size,)
    return array.shape


def _discriminator_key(key: str, array: np.ndarray, top: int) -> tuple[str, tuple[int, ...]]:
    match = re.fullmatch(r"convs\.(\d{1,2})\.(.+)", key)
    if match:
        part = (_FROM_RGB if match[1] == "0" else _BLOCK).get(match[2])
        if part is not None:
            return f"b{top >> max(int(match[1]) - 1, 0)}.{part}", _plain_shape(part, array)
    elif key in _LAST:
        return f"b4.{_LAST[key]}", _plain_shape(_LAST[key], array)
    return key, array.shape


_FROM_RGB = {"0.weight": "fromrgb.weight", "1.bias": "fromrgb.bias"}
_BLOCK = {
    "conv1.0.weight": "conv0.weight",
    "conv1.1.bias": "conv0.bias",
    "conv2.1.weight": "conv1.weight",
    "conv2.2.bias": "conv1.bias",
    "skip.1.weight": "skip.weight",
}
_LAST = {
    "final_conv.0.weight": "conv.weight",
    "final_conv.1.bias": "conv.bias",
    "final_linear.0.weight": "fc.weight",
    "final_linear.0.bias": "fc.bias",
    "final_linear.1.weight": "out.weight",
    "final_linear.1.bias": "out.bias",
}


def _write_generator(arrays: Arrays, resolution: int) -> Arrays:
    result = {"input.input": arrays["synthesis.b4.const"][None]}
    for i in range(sum(re.fullmatch(r"mapping\.fc\d+\.weight", key) is not None for key in arrays)):
        for part in ("weight", "bias"):
            result[f"style.{i + 1}.{part}"] = arrays[f"mapping.fc{i}.{part}"]
    blocks = resolution.bit_length() - 2
    for n in range(2 * blocks - 1):
        own, theirs = convolution_name(n), f"convs.{n - 1}" if n else "conv1"
        _write_styled(result, theirs, arrays, own)
        result[f"{theirs}.noise.weight"] = arrays[f"{own}.noise_strength"].reshape(1)
        result[f"{theirs}.activate.bias"] = arrays[f"{own}.bias"]
        if n % 2:
            result[f"{theirs}.conv.blur.kernel"] = FIR * 4
        result[f"noises.noise_{n}"] = arrays[f"{own}.noise_const"][None, None]
    for i in range(blocks):
        own, theirs = f"synthesis.b{4 << i}.torgb", f"to_rgbs.{i - 1}" if i else "to_rgb1"
        _write_styled(result, theirs, arrays, own)
        result[f"{theirs}.bias"] = arrays[f"{own}.bias"].reshape(1, -1, 1, 1)
        if i:
            result[f"{theirs}.upsample.kernel"] = FIR * 4
    return result


def _write_styled(result: Arrays, theirs: str, arrays: Arrays, own: str) -> None:
    result[f"{theirs}.conv.weight"] = arrays[f"{own}.weight"][None]
    for part in ("weight", "bias"):
        result[f"{theirs}.conv.modulation.{part}"] = arrays[f"{own}.affine.{part}"]


def _write_discriminator(arrays: Arrays, resolution: int) -> Arrays:
    result = {
        f"convs.0.{their}": arrays[f"b{resolution}.{own}"] for their, own in _FROM_RGB.items()
    }
    for k in range(1, resolution.bit_length() - 2):
        block = f"b{resolution >> (k - 1)}"
        for their, own in _BLOCK.items():
            result[f"convs.{k}.{their}"] = arrays[f"{block}.{own}"]
        for blur in ("conv2.0.kernel", "skip.0.kernel"):
            result[f"convs.{k}.{blur}"] = FIR
    for their, own in _LAST.items():
        result[their] = arrays[f"b4.{own}"]
    return result
