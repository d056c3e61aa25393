"""Checkpoints of stylegan2-ada-pytorch, written by hand around random weights."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from torch_pickles import Call, Stored, stream_file, tensor

FIR = np.outer([1.0, 3.0, 3.0, 1.0], [1.0, 3.0, 3.0, 1.0]) / 64
Arrays = dict[str, np.ndarray]


def random_generator(
    random: np.random.RandomState,
    widths: list[int],
    architecture: str = "skip",
    classes: int = 0,
    layers: int = 2,
    z: int = 10,
    w: int = 12,
) -> Arrays:
    """Weights of a generator with these feature maps from 4 x 4 up."""
    arrays: Arrays = {"mapping.w_avg": random.randn(w) * 0.3}
    size = z
    if classes:
        arrays["mapping.embed.weight"] = random.randn(w, classes)
        arrays["mapping.embed.bias"] = random.randn(w)
        size = z + w
    for i in range(layers):
        arrays[f"mapping.fc{i}.weight"] = random.randn(w, w if i else size) * 100
        arrays[f"mapping.fc{i}.bias"] = random.randn(w) * 20

    def styled(name: str, channels: int, out: int, k: int) -> None:
        arrays[f"{name}.weight"] = random.randn(out, channels, k, k)
        arrays[f"{name}.bias"] = random.randn(out) * 0.3
        arrays[f"{name}.affine.weight"] = random.randn(channels, w)
        arrays[f"{name}.affine.bias"] = 1 + random.randn(channels) * 0.3

    for i, width in enumerate(widths):
        side, block = 4 << i, f"synthesis.b{4 << i}"
        convolutions = {"conv1": width}
        if i:
            convolutions = {"conv0": widths[i - 1], "conv1": width}
        else:
            arrays[f"{block}.const"] = random.randn(width, 4, 4)
        for conv, channels in convolutions.items():
            styled(f"{block}.{conv}", channels, width, 3)
            arrays[f"{block}.{conv}.noise_strength"] = random.randn()
            arrays[f"{block}.{conv}.noise_const"] = random.randn(side, side)
        if architecture == "skip" or i == len(widths) - 1:
            styled(f"{block}.torgb", width, 3, 1)
        if i and architecture == "resnet":
            arrays[f"{block}.skip.weight"] = random.randn(width, widths[i - 1], 1, 1)
    return {name: np.asarray(array) for name, array in arrays.items()}


def random_discriminator(
    random: np.random.RandomState,
    widths: list[int],
    architecture: str = "resnet",
    classes: int = 0,
    layers: int = 8,
) -> Arrays:
    arrays: Arrays = {}

    def layer(name: str, *shape: int, bias: bool = True) -> None:
        arrays[f"{name}.weight"] = random.randn(*shape)
        if bias:
            arrays[f"{name}.bias"] = random.randn(shape[0]) * 0.3

    for i in range(len(widths) - 1, 0, -1):
        block, width, below = f"b{4 << i}", widths[i], widths[i - 1]
        if architecture == "skip" or i == len(widths) - 1:
            layer(f"{block}.fromrgb", width, 3, 1, 1)
        layer(f"{block}.conv0", width, width, 3, 3)
        layer(f"{block}.conv1", below, width, 3, 3)
        if architecture == "resnet":
            layer(f"{block}.skip", below, width, 1, 1, bias=False)
    base = widths[0]
    if architecture == "skip":
        layer("b4.fromrgb", base, 3, 1, 1)
    layer("b4.conv", base, base + 1, 3, 3)
    layer("b4.fc", base, base * 16)
    layer("b4.out", base if classes else 1, base)
    if classes:
        layer("mapping.embed", base, classes)
        for i in range(layers):
            arrays[f"mapping.fc{i}.weight"] = random.randn(base, base) * 100
            arrays[f"mapping.fc{i}.bias"] = random.randn(base) * 20
    return arrays


def parameter(array: np.ndarray) -> Call:
    """A tensor as the pickle of a module has it: its storage is a whole file of torch.save."""
    array = np.asarray(array, np.float32)
    strides = tuple(stride // 4 for stride in array.strides)
    inner = stream_file(
        Stored("FloatStorage", "0", array.size), {"0": (array.size, array.tobytes())}
    )
    storage: Any = Call("torch.storage._load_from_bytes", inner)
    return Call("torch._utils._rebuild_parameter", tensor(storage, 0, array.shape, strides), True)


def module(arrays: Arrays, changes: dict[str, dict[str, Any]], source: str, path: str = "") -> Call:
    """A module of these parameters, and its submodules, with the attributes that matter.

    Args:
        arrays: by name below this module.
        changes: attributes to set otherwise, by the path of the module.
        source: text that the file gives as the module's source.
        path: of this module in the whole network.
    """
    own = {key: parameter(array) for key, array in arrays.items() if "." not in key}
    state: dict[str, Any] = {"training": False, "_parameters": own, "_buffers": OrderedDict()}
    children: dict[str, Arrays] = {}
    for key, array in arrays.items():
        child, _, rest = key.partition(".")
        if rest:
            children.setdefault(child, {})[rest] = array
    last = path.rpartition(".")[2]
    kind = {"": "Discriminator" if "b4" in children else "Generator"}.get(path, "Layer")
    if last in ("conv0", "conv1", "skip", "torgb"):
        state.update(conv_clamp=None, activation="linear" if last == "skip" else "lrelu")
        state["_buffers"]["resample_filter"] = parameter(FIR)
    if last.startswith("fc"):
        state["bias_gain"] = 0.01 if path.startswith("mapping") else 1
    if last.startswith("b") and last != "b4":
        state["use_fp16"] = False
    state.update(changes.get(path, {}))
    modules = {
        child: module(part, changes, source, f"{path}.{child}" if path else child)
        for child, part in children.items()
    }
    if path == "b4":
        extra = {"group_size": 4, "num_channels": 1, **changes.get("b4.mbstd", {})}
        modules["mbstd"] = persistent("MinibatchStdLayer", extra, source)
    state["_modules"] = modules
    return persistent(kind, state, source)


def persistent(kind: str, state: dict[str, Any], source: str) -> Call:
    meta = {
        "type": "class",
        "version": 6,
        "module_src": source,
        "class_name": kind,
        "state": {"_parameters": {}, "_buffers": {}, "_modules": {}, **state},
    }
    return Call("torch_utils.persistence._reconstruct_persistent_obj", meta)


def checkpoint(
    networks: dict[str, Arrays],
    changes: dict[str, dict[str, Any]] | None = None,
    source: str = "",
) -> dict[str, Any]:
    options = Call("dnnlib.util.EasyDict", {"path": "x.zip", "use_labels": False})
    value: dict[str, Any] = {"training_set_kwargs": options, "augment_pipe": None}
    value |= {name: module(arrays, changes or {}, source) for name, arrays in networks.items()}
    return value
