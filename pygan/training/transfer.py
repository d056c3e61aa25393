"""Starting from the weights of another training.

Tensors are taken where name and shape agree with the new networks; the rest keeps its new initial
values, and what was not taken is reported. Optimisers, counters and running means of the losses
start anew. To go on with a run in its place is ``pygan resume``; :func:`take_over` does so
elsewhere, with other options or data.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import numpy as np
import paddle
from paddle import nn

from pygan.errors import InputError
from pygan.training import checkpoint as checkpoints
from pygan.training.checkpoint import Checkpoint
from pygan.training.state import restore_trainer

if TYPE_CHECKING:
    from pygan.training.loop import Trainer

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Source:
    """Weights to start from.

    Attributes:
        path: where they are, for messages.
        networks: arrays by network ('G', 'D') and, with the suffix ``_ema``, of its average.
        config: options that they were trained with, as far as they are known.
        classes: classes of a conditional model; 0 if unconditional or unknown.
        checkpoint: the whole state, if there is one.
    """

    path: str
    networks: Mapping[str, Arrays]
    config: Mapping[str, Any] = field(default_factory=dict)
    classes: int = 0
    checkpoint: Optional[Checkpoint] = None


def read_source(path: Path) -> Source:
    """Weights that pygan saved: a run (its newest intact checkpoint), a checkpoint or one file.

    Raises:
        InputError: it is none of these, or damaged.
    """
    saved = None
    if path.is_file():
        arrays, manifest = checkpoints.read_weights(path)
        networks = {str(manifest["file"]): arrays}
    else:
        saved = checkpoints.find(path, lambda text: print(text, file=sys.stderr))
        manifest = saved.manifest
        files = (Path(name).stem for name in manifest["files"])
        # Optimisers and running means belong to the other training.
        left_out = ("_optimizer", "state")
        networks = {file: saved.arrays(file) for file in files if not file.endswith(left_out)}
    classes = len(manifest.get("data", {}).get("class_counts", ()))
    return Source(str(path), networks, manifest.get("config", {}), classes, saved)


def take_over(trainer: Trainer, source: Source) -> list[str]:
    """Sets a new trainer to the whole state of a run: also optimisers, counters, running means.

    Returns:
        Lines that tell where it goes on from, and what has no state there.

    Raises:
        InputError: the source is no checkpoint of this algorithm with all its files, does not fit,
            or has seen as many images already as training shall last.
    """
    saved, algorithm = source.checkpoint, trainer.algorithm.name
    if saved is None:
        raise InputError(
            f"--resume-state: {source.path} has weights only; give a run or a checkpoint of pygan, "
            "or leave the option out"
        )
    averages = [f"{name}_ema" for name in trainer.averages]
    optimizers = [f"{name}_optimizer" for name in trainer.optimizers]
    files = {f"{name}.safetensors" for name in (*trainer.networks, *averages, *optimizers, "state")}
    lacking = sorted(files - set(saved.manifest["files"]))
    other = saved.manifest["algorithm"]
    if lacking or other != algorithm:
        what = f"lacks {', '.join(lacking)}" if lacking else f"is of {other}, not of {algorithm}"
        raise InputError(
            f"--resume-state: {saved.path} {what}; leave the option out to take the weights alone"
        )
    fresh = restore_trainer(trainer, saved)
    seen, kimg = trainer.nimg / 1000, trainer.config.kimg
    if seen >= kimg:
        raise InputError(
            f"--kimg: {source.path} has seen {seen:g} kimg already, got {kimg:g}; counting goes on "
            "from there, give more"
        )
    lines = [f"going on from {source.path}: {seen:.3f} kimg, {trainer.iteration} iterations"]
    if fresh:
        lines.append(f"going on: {', '.join(fresh)} start afresh: not there")
    return lines


def transfer(trainer: Trainer, source: Source) -> list[str]:
    """Copies the weights that fit into the networks and averages of a new trainer.

    A network without weights of its own in the source takes those of its average, and the other way
    round.

    Returns:
        Lines that tell what was taken and what was not.

    Raises:
        InputError: nothing fits, or not everything with ``resume_strict``.
    """
    lines: list[str] = []
    taken = 0
    complete = True
    for name, network in trainer.networks.items():
        arrays = _first(source, name, f"{name}_ema")
        if arrays is None:
            complete = False
            lines.append(f"transfer: {name} starts afresh, {source.path} has none")
            continue
        fit = copy_arrays(network, arrays)
        taken += fit.taken
        complete = complete and fit.taken == fit.total
        lines += fit.describe(name, source.path)
    for name, average in trainer.averages.items():
        arrays = _first(source, f"{name}_ema", name)
        if arrays is not None:
            copy_arrays(average, arrays)
    if source.classes != trainer.algorithm.data.num_classes:
        lines.append(
            f"transfer: the weights are for {source.classes or 'no'} classes, this run has "
            f"{trainer.algorithm.data.num_classes or 'none'}"
        )
    if taken == 0:
        has = ", ".join(sorted(source.networks)) or "none"
        raise InputError(
            f"--resume: no tensor of {source.path} (networks: {has}) has a name and a shape of "
            f"these networks ({', '.join(trainer.networks)}); give the weights of a model of the "
            "same kind"
        )
    if trainer.config.resume_strict and not complete:
        raise InputError(f"--resume-strict: {'; '.join(line[10:] for line in lines)}")
    return lines


@dataclass
class Fit:
    """How the tensors of a source fit a network.

    Attributes:
        taken: tensors of the network that were set.
        total: tensors of the network.
        fresh: those that the source does not have.
        other_shape: those that it has with another shape, and both shapes.
        unused: what the source has and the network has not.
    """

    taken: int = 0
    total: int = 0
    fresh: list[str] = field(default_factory=list)
    other_shape: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether everything was taken, and nothing is left over."""
        return self.taken == self.total and not self.unused

    def describe(self, name: str, path: str) -> list[str]:
        """Lines that tell what was taken and what was not."""
        lines = [f"transfer: {name} takes {self.taken} of {self.total} tensors from {path}"]
        if self.fresh:
            lines.append(f"transfer: {name} starts afresh in {_layers(self.fresh)}: not there")
        if self.other_shape:
            lines.append(
                f"transfer: {name} starts afresh in {', '.join(self.other_shape)}: another shape"
            )
        if self.unused:
            lines.append(f"transfer: {name} has no use for {_layers(self.unused)}")
        return lines


@paddle.no_grad()
def copy_arrays(network: nn.Layer, arrays: Arrays) -> Fit:
    """Sets the tensors of a network that `arrays` has by name and shape; the rest stays."""
    own = network.state_dict()
    fit = Fit(total=len(own))
    for name, tensor in own.items():
        if name not in arrays:
            fit.fresh.append(name)
        elif list(arrays[name].shape) != list(tensor.shape):
            shapes = f"{list(tensor.shape)} here, {list(arrays[name].shape)} there"
            fit.other_shape.append(f"{name} ({shapes})")
        else:
            # Copied: an array may belong to two networks, and Paddle may keep its memory.
            tensor.set_value(np.array(arrays[name], dtype=_numpy_type(tensor)))
            fit.taken += 1
    fit.unused = [name for name in arrays if name not in own]
    return fit


def _numpy_type(tensor: paddle.Tensor) -> str:
    return str(tensor.dtype).rsplit(".", 1)[-1]


def _layers(names: list[str]) -> str:
    """The layers of tensors, such as ``synthesis.b64.conv0``, each once."""
    return ", ".join(dict.fromkeys(name.rpartition(".")[0] or name for name in names))


def _first(source: Source, *names: str) -> Arrays | None:
    return next((source.networks[name] for name in names if name in source.networks), None)
