"""The state of training as arrays, and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from paddle import nn

import pygan
from pygan.errors import InputError
from pygan.training.checkpoint import Checkpoint
from pygan.training.optimizer import optimizer_arrays, restore_optimizer

if TYPE_CHECKING:
    from pygan.training.loop import Trainer


def trainer_arrays(trainer: Trainer) -> dict[str, dict[str, np.ndarray]]:
    """Files of a checkpoint: weights, averaged weights, optimisers, the algorithm's own state."""
    files = {name: _arrays(network) for name, network in trainer.networks.items()}
    for name, average in trainer.averages.items():
        files[f"{name}_ema"] = _arrays(average)
    for name, optimizer in trainer.optimizers.items():
        files[f"{name}_optimizer"] = optimizer_arrays(optimizer, trainer.networks[name])
    files["state"] = {name: np.array(value) for name, value in trainer.algorithm.state().items()}
    return files


def trainer_manifest(trainer: Trainer) -> dict[str, Any]:
    """Counters, options and data: a function of the state alone, without times and places."""
    return {
        "algorithm": trainer.algorithm.name,
        "pygan": pygan.__version__,
        "iteration": trainer.iteration,
        "nimg": trainer.nimg,
        "config": {k: v for k, v in trainer.config.to_dict().items() if k != "out"},
        "data": trainer.algorithm.data.to_dict(),
        "dataset": trainer.dataset.fingerprint,
    }


def restore_trainer(trainer: Trainer, saved: Checkpoint) -> list[str]:
    """The inverse: sets a new trainer to the state of a checkpoint.

    Returns:
        Names in the algorithm's state that the checkpoint lacks, which keep their initial values:
        none if the options are those of the checkpoint.
    """
    for name, network in trainer.networks.items():
        load_arrays(network, saved.arrays(name), saved.path / name)
        arrays = saved.arrays(f"{name}_optimizer")
        restore_optimizer(trainer.optimizers[name], network, arrays)
    for name, average in trainer.averages.items():
        load_arrays(average, saved.arrays(f"{name}_ema"), saved.path / f"{name}_ema")
    state = saved.arrays("state")
    own = trainer.algorithm.state()
    for name in own.keys() & state.keys():
        value = own[name]
        if isinstance(value, np.ndarray):
            value[...] = state[name]
        else:
            value.set_value(state[name])
    trainer.iteration = saved.manifest["iteration"]
    trainer.nimg = saved.manifest["nimg"]
    return sorted(own.keys() - state.keys())


def load_arrays(network: nn.Layer, arrays: dict[str, np.ndarray], source: Path) -> None:
    """Sets the weights and buffers of a network.

    Raises:
        InputError: names or shapes do not fit.
    """
    own = network.state_dict()
    missing, extra = sorted(set(own) - set(arrays)), sorted(set(arrays) - set(own))
    if missing or extra:
        raise InputError(f"{source}: weights do not fit: missing {missing}, not expected {extra}")
    for name, tensor in own.items():
        if list(arrays[name].shape) != list(tensor.shape):
            raise InputError(
                f"{source}: {name} has shape {list(arrays[name].shape)}, the network has "
                f"{list(tensor.shape)}"
            )
        tensor.set_value(arrays[name])


def _arrays(network: nn.Layer) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}
