"""Checkpoints of other projects made into runs, and runs into checkpoints of other projects."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Optional

import numpy as np
import paddle
from paddle import nn

import pygan
from pygan.algorithms import find_algorithm
from pygan.errors import InputError, TrainingError
from pygan.interop import EXPORTS, Foreign, load
from pygan.training import checkpoint as checkpoints
from pygan.training.algorithm import Algorithm, DataSpec
from pygan.training.optimizer import optimizer_arrays
from pygan.training.options import resolve
from pygan.training.run import CONFIG_FILE, write_config
from pygan.training.transfer import copy_arrays, read_source

_MAX_LINE = 400  # of names of tensors


def import_file(
    path: Path, out: Path, force: bool = False, discriminator: Optional[Path] = None
) -> list[str]:
    """Makes a run of a file that :func:`pygan.interop.load` reads.

    The folder has a checkpoint of no iterations. If the file holds all networks, it is a whole run,
    which can go on training; otherwise it serves for sampling and to start from.

    Args:
        path: the file.
        out: the folder to make.
        force: leave out what the networks do not have, and keep new initial values for what the
            file does not have, instead of refusing it.
        discriminator: the file of D, of projects that have a file for each network.

    Returns:
        Lines that tell what came of it.

    Raises:
        InputError: the file is not readable or does not fit, or a run is there already.
    """
    if (out / CONFIG_FILE).exists() or (out / "checkpoints").exists():
        raise InputError(f"{out} holds a run already; choose another folder")
    foreign = load(path)
    if discriminator is not None:
        foreign = _joined(foreign, load(discriminator), discriminator)
    if set(foreign.networks) == {"D"}:
        raise InputError(
            f"{path} holds a discriminator alone; import the generator, and this by --discriminator"
        )
    kind = find_algorithm(foreign.algorithm)
    data = DataSpec(
        foreign.image_shape,
        (1,) * foreign.classes,
        source_channels=foreign.source_channels,
    )
    given = {**foreign.config, "conditional": foreign.classes > 0}
    config = resolve(kind.Config, given, max(foreign.image_shape[1:]), 1)
    paddle.seed(config.seed)
    algorithm = kind(config, data)
    lines = [_describe(foreign), *foreign.notes]
    files = _files(algorithm, foreign, str(path), force, lines)
    whole = all(name in files for name in kind.network_names)
    if whole:
        for name, network in algorithm.networks.items():
            files[f"{name}_optimizer"] = optimizer_arrays(algorithm.optimizer(name), network)
        files["state"] = {name: np.array(value) for name, value in algorithm.state().items()}
    manifest = {
        "algorithm": kind.name,
        "pygan": pygan.__version__,
        "iteration": 0,
        "nimg": 0,
        "config": {key: value for key, value in config.to_dict().items() if key != "out"},
        "data": data.to_dict(),
        "dataset": "",  # unknown: any will do to go on with
        "imported": {"file": path.name, "format": foreign.format},
    }
    try:
        saved = checkpoints.save(out / "checkpoints", 0, files, manifest, keep=1)
    except TrainingError as error:
        raise InputError(f"{path}: {error}") from None
    if whole:
        write_config(out, kind.name, config)
    lines.append(f"saved {saved}; the weights keep the licence of whoever published them")
    draw = f"generate {out} --image ..." if kind.conditions else f"sample {out}"
    lines.append(
        f"draw images: pygan {draw}; train: pygan train {kind.name} --resume {out} --data ..."
        + (f", or with the options of {out / CONFIG_FILE}: pygan resume {out}" if whole else "")
    )
    return lines


def _joined(generator: Foreign, discriminator: Foreign, path: Path) -> Foreign:
    """Generator and discriminator of two files."""
    if generator.algorithm != discriminator.algorithm or set(discriminator.networks) != {"D"}:
        raise InputError(f"--discriminator: {path} holds no discriminator of {generator.format}")
    outputs = generator.image_shape[0]
    seen, both = discriminator.source_channels, generator.source_channels + outputs
    if seen not in (outputs, both):
        raise InputError(
            f"--discriminator: {path} sees {seen} channels, but source and image have {both}, the "
            f"image alone {outputs}"
        )
    config = {**discriminator.config, **generator.config, "d_conditional": seen == both}
    networks = {**generator.networks, **discriminator.networks}
    return dataclasses.replace(generator, networks=networks, config=config)


def _files(
    algorithm: Algorithm, foreign: Foreign, path: str, force: bool, lines: list[str]
) -> dict[str, dict[str, np.ndarray]]:
    """Weights and averages as pygan saves them, each checked against the network itself."""
    kind = type(algorithm)
    files: dict[str, dict[str, np.ndarray]] = {}
    for name, network in algorithm.networks.items():
        if name in foreign.networks:
            files[name] = _take(network, foreign, name, path, force, lines)
    for name in kind.averaged:
        source = next((key for key in (f"{name}_ema", name) if key in foreign.networks), None)
        if source is not None:
            average = kind.build(name, algorithm.config, algorithm.data)
            files[f"{name}_ema"] = _take(average, foreign, source, path, force, lines)
    if missing := [name for name in kind.network_names if name not in files]:
        lines.append(f"the file has no {' and no '.join(missing)}: pygan resume cannot go on")
    return files


def _take(
    network: nn.Layer, foreign: Foreign, name: str, path: str, force: bool, lines: list[str]
) -> dict[str, np.ndarray]:
    fit = copy_arrays(network, foreign.networks[name])
    if not fit.complete:
        told = [_shorten(line) for line in fit.describe(name, path)]
        if not force:
            raise InputError(f"{'; '.join(told)}; --force imports it all the same")
        lines += told
    return {key: tensor.numpy() for key, tensor in network.state_dict().items()}


def _shorten(line: str) -> str:
    line = line.removeprefix("transfer: ")
    line = "".join(letter if letter.isprintable() else "?" for letter in line)
    return line if len(line) <= _MAX_LINE else f"{line[:_MAX_LINE]} ..."


def _describe(foreign: Foreign) -> str:
    channels, height, width = foreign.image_shape
    classes = f", {foreign.classes} classes" if foreign.classes else ""
    return (
        f"{foreign.format}: {', '.join(sorted(foreign.networks))} for {width} x {height} images of "
        f"{channels} channels{classes}"
    )


def export_run(source: Path, out: Path, kind: str) -> list[str]:
    """Writes the networks of a run or checkpoint as another project's file.

    Args:
        source: a run (its newest intact checkpoint), a checkpoint, or a file of one.
        out: the file to write.
        kind: a key of ``pygan.interop.EXPORTS``.

    Returns:
        Lines that tell what came of it.

    Raises:
        InputError: the networks have no counterpart in this format, or the file cannot be written.
    """
    if not source.exists():
        raise InputError(f"{source} does not exist")
    weights = read_source(source)
    networks: dict[str, Any] = {name: dict(part) for name, part in weights.networks.items()}
    return EXPORTS[kind](out, networks, str(source), weights.config)
