"""Checkpoints of stylegan2-ada-pytorch, and of StyleGAN2 in the stylegan3 repository (``.pkl``).

A file is a pickle of a dict with ``G``, ``D`` and ``G_ema``. Each network is an object that pickles
as a call with the *source text* of its class and its state, the nested dicts of a PyTorch module;
its own project executes the text. Here the call is a name that stands for a record, and only the
state is looked at: parameters and buffers are named as in pygan, and a few attributes tell what
the shapes do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Optional

import numpy as np

from pygan.errors import InputError
from pygan.interop.foreign import Arrays, Foreign
from pygan.interop.restricted_pickle import BASIC, Allowed, Record
from pygan.interop.stylegan2 import MULTIPLIER, check_fir, make_foreign, scale_mapping

KIND = "stylegan2-ada-pytorch"
_PERSISTENT = "torch_utils.persistence._reconstruct_persistent_obj"
ALLOW: Allowed = {
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): Record.of(
        "torch_utils.persistence", "_reconstruct_persistent_obj"
    ),
    ("dnnlib.util", "EasyDict"): BASIC["collections", "OrderedDict"],
}
_NETWORKS = ("G", "D", "G_ema")


def is_ada_pytorch(value: Any) -> bool:
    """Whether the object of a pickle is such a checkpoint."""
    return isinstance(value, dict) and any(_is_module(value.get(name)) for name in _NETWORKS)


def from_ada_pytorch(value: Mapping[str, Any], name: str) -> Foreign:
    """The networks of a checkpoint.

    Args:
        value: the dict of the file.
        name: the file in messages.

    Raises:
        InputError: the networks are not what pygan's StyleGAN2 can be.
    """
    networks: dict[str, Arrays] = {}
    options: dict[str, Any] = {}
    notes: list[str] = []
    for network in _NETWORKS:
        if not _is_module(value.get(network)):
            continue
        where = f"{name}: {network}"
        modules = dict(_modules(value[network], where))
        _check_kind(modules, where)
        networks[network] = dict(_tensors(modules, where))
        notes += scale_mapping(networks[network], _multiplier(modules, where), network)
        for key, option in _options(modules, where).items():
            if options.setdefault(key, option) != option:
                raise InputError(
                    f"{where} has {key} {option}, another network of the file {options[key]}; "
                    "pygan's StyleGAN2 has one for both"
                )
    if "D" in networks and "mbstd_group" not in options:
        options["mbstd_group"] = 4
        notes.append("D does not tell the groups of the minibatch deviation; 4 images are assumed")
    return make_foreign(name, KIND, networks, options, tuple(notes))


class _Module:
    """One module of a network: its class, parameters, buffers and other attributes."""

    def __init__(self, record: Record, where: str) -> None:
        meta = record.args[0] if record.args else None
        state = meta.get("state") if isinstance(meta, dict) else None
        if not isinstance(meta, dict) or not isinstance(state, dict):
            raise InputError(f"{where}: a module without state")
        self.kind = str(meta.get("class_name"))
        self.parts: dict[str, dict] = {}
        for part in ("_parameters", "_buffers", "_modules"):
            self.parts[part] = state.get(part) or {}
            if not isinstance(self.parts[part], dict):
                raise InputError(f"{where}: {part} of {self.kind} is not a dict")
        self.attributes = {key: item for key, item in state.items() if key not in self.parts}


def _is_module(value: Any) -> bool:
    return isinstance(value, Record) and value.name == _PERSISTENT


def _modules(record: Any, where: str, path: str = "") -> Iterator[tuple[str, _Module]]:
    """All modules by their path; that of the network itself is ''."""
    if not _is_module(record):
        raise InputError(f"{where}.{path} is a {type(record).__name__}, not a module")
    module = _Module(record, where)
    yield path, module
    for key, child in module.parts["_modules"].items():
        if child is not None:
            yield from _modules(child, where, f"{path}.{key}" if path else str(key))


def _check_kind(modules: Mapping[str, _Module], where: str) -> None:
    if "synthesis.input" in modules:
        raise InputError(
            f"{where} is a generator of StyleGAN3, which pygan does not have; StyleGAN2 networks "
            "of that repository can be imported"
        )
    if modules[""].kind not in ("Generator", "Discriminator"):
        raise InputError(f"{where} is a {modules[''].kind}, not a network of StyleGAN2")


def _tensors(modules: Mapping[str, _Module], where: str) -> Iterator[tuple[str, np.ndarray]]:
    for path, module in modules.items():
        # Frozen layers keep their weights as buffers.
        for key, array in {**module.parts["_buffers"], **module.parts["_parameters"]}.items():
            name = f"{path}.{key}" if path else str(key)
            if array is None:
                continue
            if not isinstance(array, np.ndarray):
                raise InputError(f"{where}.{name} is a {type(array).__name__}, not a tensor")
            if key == "resample_filter":
                check_fir(where, name, array)
            else:
                yield name, array


def _options(modules: Mapping[str, _Module], where: str) -> dict[str, Any]:
    """What the shapes do not tell, as options of pygan's StyleGAN2."""
    options: dict[str, Any] = {}
    half = 0
    for path, module in modules.items():
        has = module.attributes
        last = path.rpartition(".")[2]
        activation = str(has.get("activation", "lrelu"))[:40]
        if activation not in ("lrelu", "linear"):
            raise InputError(
                f"{where}.{path} has the activation {activation!r}; pygan's StyleGAN2 has lrelu"
            )
        if last in ("conv0", "conv1"):
            clamp = _number(has.get("conv_clamp"))
            if options.setdefault("conv_clamp", clamp) != clamp:
                raise InputError(f"{where}: its layers limit activations differently")
        if module.kind == "MinibatchStdLayer":
            group = has.get("group_size")  # None in files converted from TensorFlow
            if isinstance(group, int) and group > 0:
                options["mbstd_group"] = group
        half += has.get("use_fp16") is True
    return {**options, "fp16_res": half}


def _multiplier(modules: Mapping[str, _Module], where: str) -> float:
    """The learning rate multiplier of the mapping network's layers."""
    layers = [m for path, m in modules.items() if path.startswith("mapping.fc")]
    found = {_number(module.attributes.get("bias_gain", MULTIPLIER)) for module in layers}
    value = found.pop() if found else MULTIPLIER
    if found or value is None or not 0 < value < np.inf:
        raise InputError(f"{where}.mapping: its layers have no common learning rate multiplier")
    return value


def _number(value: Any) -> Optional[float]:
    return float(value) if isinstance(value, (int, float, np.number)) else None
