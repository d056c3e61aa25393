"""What the arrays of StyleGAN2 networks tell of their structure, whoever trained them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from pygan.errors import InputError
from pygan.interop.foreign import Arrays, Foreign

#: The low-pass filter of every StyleGAN2 that was published.
FIR = (np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64).astype(np.float32)
#: Learning rate of pygan's mapping networks relative to the optimiser's.
MULTIPLIER = 0.01
_MEAN_SAMPLES = 10000
_MAX_SIDE = 4096


def make_foreign(
    name: str,
    kind: str,
    networks: Mapping[str, Arrays],
    options: Mapping[str, Any],
    notes: tuple[str, ...] = (),
) -> Foreign:
    """A :class:`Foreign` of StyleGAN2 networks, its structure read off the shapes.

    Args:
        name: the file in messages.
        kind: whose file it is.
        networks: arrays in pygan's names by network; those without a mean of w get one.
        options: what the shapes do not tell, such as ``conv_clamp``.
        notes: lines for the user.

    Raises:
        InputError: these are not networks that pygan's StyleGAN2 can be.
    """
    merged = structure(name, networks)
    resolution, channels = merged.pop("resolution"), merged.pop("channels")
    classes = merged.pop("classes")
    notes = (*notes, *_add_means(networks))
    config = {**merged, **options}
    return Foreign(kind, networks, config, (channels, resolution, resolution), classes, notes)


def structure(name: str, networks: Mapping[str, Arrays]) -> dict[str, Any]:
    """Resolution, channels, classes and pygan's options of networks in pygan's names.

    Raises:
        InputError: these are not networks that pygan's StyleGAN2 can be.
    """
    if not networks:
        raise InputError(f"{name}: holds neither a generator nor a discriminator")
    structures = {}
    for network, arrays in networks.items():
        for key, array in arrays.items():
            if array.dtype.kind not in "fiu":
                raise InputError(f"{name}: {network}.{key} holds {array.dtype}, not real numbers")
        describe = _discriminator if network.startswith("D") else _generator
        try:
            structures[network] = describe(arrays)
        except (KeyError, IndexError, ValueError) as error:
            what = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
            raise InputError(f"{name}: {network} is not a StyleGAN2 network ({what})") from None
    merged: dict[str, Any] = {}
    for network, structure in structures.items():
        for key, value in structure.items():
            if merged.setdefault(key, value) != value:
                raise InputError(
                    f"{name}: {network} has {_TITLES.get(key, key)} {value}, another network of "
                    f"the file {merged[key]}; pygan's StyleGAN2 has one for both"
                )
    merged.update(_widths_rule(name, merged.pop("widths")))
    return merged


_TITLES = {
    "resolution": "the resolution",
    "channels": "image channels:",
    "classes": "classes:",
    "widths": "feature maps (from 4 x 4 up)",
}


def _generator(arrays: Arrays) -> dict[str, Any]:
    sides = _sides(arrays, r"synthesis\.b(\d{1,4})\.conv1\.weight")
    blocks = [f"synthesis.b{side}" for side in sides]
    w_dim = arrays[f"{blocks[0]}.conv1.affine.weight"].shape[1]
    embed = arrays.get("mapping.embed.weight")
    if f"{blocks[0]}.torgb.weight" in arrays:
        architecture = "skip"
    else:
        architecture = "resnet" if f"{blocks[1]}.skip.weight" in arrays else "orig"
    z_dim = arrays["mapping.fc0.weight"].shape[1] - (0 if embed is None else w_dim)
    if z_dim < 1:
        raise ValueError("its mapping network takes no latent code")
    widths = [_square(arrays, f"{block}.conv1.weight", 3) for block in blocks]
    return {
        "resolution": sides[-1],
        "channels": arrays[f"{blocks[-1]}.torgb.weight"].shape[0],
        "classes": 0 if embed is None else embed.shape[1],
        "widths": widths,
        "z_dim": z_dim,
        "w_dim": w_dim,
        "mapping_layers": _mapping_layers(arrays, w_dim),
        "g_architecture": architecture,
    }


def _discriminator(arrays: Arrays) -> dict[str, Any]:
    sides = [4, *_sides(arrays, r"b(\d{1,4})\.conv1\.weight", first=8)]
    top = f"b{sides[-1]}"
    base = arrays["b4.fc.weight"].shape[0]
    _expect(arrays, "b4.fc.weight", (base, 16 * base))
    widths = [base, *(_square(arrays, f"b{side}.conv0.weight", 3) for side in sides[1:])]
    if "b4.fromrgb.weight" in arrays:
        architecture = "skip"
    else:
        architecture = "resnet" if f"{top}.skip.weight" in arrays else "orig"
    embed = arrays.get("mapping.embed.weight")
    labels = {} if embed is None else {"d_mapping_layers": _mapping_layers(arrays, base)}
    return {
        **labels,
        "resolution": sides[-1],
        "channels": arrays[f"{top}.fromrgb.weight"].shape[1],
        "classes": 0 if embed is None else embed.shape[1],
        "widths": widths,
        "d_architecture": architecture,
    }


# Every number that decides the size of the networks to build is backed by an array of that size: a
# small file cannot ask for huge networks.


def _expect(arrays: Arrays, key: str, shape: tuple[int, ...]) -> None:
    if arrays[key].shape != shape:
        raise ValueError(f"{key} has shape {list(arrays[key].shape)}, not {list(shape)}")


def _square(arrays: Arrays, key: str, kernel: int) -> int:
    """Feature maps of a convolution that has as many at both ends."""
    width = arrays[key].shape[0]
    _expect(arrays, key, (width, width, kernel, kernel))
    return width


def _mapping_layers(arrays: Arrays, size: int) -> int:
    layer = 0
    while f"mapping.fc{layer}.weight" in arrays:
        if layer:
            _expect(arrays, f"mapping.fc{layer}.weight", (size, size))
        elif len(arrays["mapping.fc0.weight"]) != size:
            raise ValueError(f"mapping.fc0 does not make codes of {size} numbers")
        layer += 1
    return layer


def _sides(arrays: Arrays, pattern: str, first: int = 4) -> list[int]:
    """The resolutions that there are blocks for, from ``first`` up, each twice the last."""
    found = (re.fullmatch(pattern, key) for key in arrays)
    sides = sorted(int(match[1]) for match in found if match)
    expected = [first << i for i in range(len(sides))]
    if not sides or sides != expected or not 8 <= sides[-1] <= _MAX_SIDE:
        raise ValueError(f"its blocks are for the resolutions {sides or 'of nothing'}")
    return sides


def _widths_rule(name: str, widths: list[int]) -> dict[str, int]:
    """``channel_base`` and ``channel_max`` of feature maps min(base / side, max)."""
    base, most = widths[-1] * (4 << (len(widths) - 1)), max(widths)
    if widths != [min(base // (4 << i), most) for i in range(len(widths))]:
        raise InputError(
            f"{name}: the feature maps from 4 x 4 up are {widths}, not min(base / side, most), "
            "as pygan's StyleGAN2 has them"
        )
    return {"channel_base": base, "channel_max": most}


def check_fir(name: str, key: str, kernel: np.ndarray) -> None:
    """Raises InputError unless `kernel` is a multiple of the filter that pygan's networks have."""
    total = float(np.sum(kernel)) if kernel.size <= FIR.size else 0.0
    if kernel.shape == (4,):
        kernel = np.outer(kernel, kernel)
        total *= total
    if kernel.shape != (4, 4) or not total or not np.allclose(kernel / total, FIR, atol=1e-6):
        raise InputError(
            f"{name}: {key} is not the filter [1, 3, 3, 1], the only one of pygan's StyleGAN2"
        )


def convolution_name(n: int) -> str:
    """The n-th of a generator's styled convolutions, as others number them."""
    return f"synthesis.b{4 << (n + 1) // 2}.conv{(n + 1) % 2 if n else 1}"


def scale_mapping(arrays: Arrays, multiplier: float, network: str) -> list[str]:
    """Brings a mapping network to pygan's learning rate multiplier, with the same outputs.

    Its layers compute with weights and biases times the multiplier: what is stored changes by the
    inverse. Returns lines for the user.
    """
    factor = multiplier / MULTIPLIER
    layers = [key for key in arrays if re.fullmatch(r"mapping\.fc\d{1,3}\.(weight|bias)", key)]
    if not layers or abs(factor - 1) < 1e-6:
        return []
    for key in layers:
        arrays[key] = arrays[key] * np.float32(factor)
    return [
        f"the mapping network of {network} learned at {multiplier:g} of the rate; here it is "
        f"{MULTIPLIER:g}"
    ]


def _add_means(networks: Mapping[str, Arrays]) -> list[str]:
    """Gives every generator without a mean of w, the centre of truncation, one from samples."""
    made = []
    for network, arrays in networks.items():
        if not network.startswith("G") or "mapping.w_avg" in arrays:
            continue
        if "mapping.embed.weight" in arrays:
            continue  # it depends on how frequent the classes are; the network will miss it
        arrays["mapping.w_avg"] = mean_code(arrays)
        made.append(network)
    if not made:
        return []
    return [f"the mean of w, which {' and '.join(made)} lacked, is that of {_MEAN_SAMPLES} codes"]


def mean_code(arrays: Arrays, samples: int = _MEAN_SAMPLES) -> np.ndarray:
    """The mean of w over z ~ N(0, 1), seed 0, of an unconditional mapping network [w_dim]."""
    size = arrays["mapping.fc0.weight"].shape[1]
    x = np.random.RandomState(0).randn(samples, size).astype(np.float32)
    x /= np.sqrt(np.square(x).mean(axis=1, keepdims=True) + 1e-8)
    layer = 0
    while f"mapping.fc{layer}.weight" in arrays:
        weight, bias = (arrays[f"mapping.fc{layer}.{part}"] for part in ("weight", "bias"))
        y = x @ weight.T * (MULTIPLIER / np.sqrt(weight.shape[1])) + bias * MULTIPLIER
        x = np.where(y > 0, y, 0.2 * y) * np.float32(np.sqrt(2))
        layer += 1
    return x.mean(axis=0, dtype=np.float64).astype(np.float32)
