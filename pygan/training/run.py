"""Run folders: starting a run and resuming one.

A run folder holds ``config.yaml``, ``checkpoints/``, ``log.txt``, ``stats.jsonl``, ``reals.png``
and ``samples_<kimg>.png``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import paddle

from pygan.errors import InputError
from pygan.training import checkpoint as checkpoints
from pygan.training.algorithm import Algorithm, DataSpec
from pygan.training.checkpoint import Checkpoint
from pygan.training.config import TrainConfig
from pygan.training.distributed import World
from pygan.training.evaluation import Evaluator
from pygan.training.loop import Outcome, Trainer, data_spec
from pygan.training.options import dump_yaml, load_yaml
from pygan.training.paired import framed
from pygan.training.split import split_dataset
from pygan.training.transfer import Source

CONFIG_FILE = "config.yaml"


def start(
    config: TrainConfig,
    algorithm_class: type[Algorithm],
    dataset: Any,
    source: Optional[Source] = None,
    evaluator: Optional[Evaluator] = None,
) -> Outcome:
    """Starts a new run in the folder ``config.out``.

    Args:
        config: all options.
        algorithm_class: what to train.
        dataset: an ImageDataset, whole: it is framed, and subset and validation are taken, here.
        source: weights to start from.
        evaluator: measures the averaged networks at snapshots.

    Raises:
        InputError: a run is there already, or an option is not possible.
    """
    if bool(config.resume) != (source is not None):
        raise ValueError(f"`config.resume` is {config.resume!r}, but `source` is {source!r}.")
    folder = Path(config.out)
    occupied = (folder / CONFIG_FILE).exists()
    prepare_device(config)
    world = World.join()
    world.barrier()  # every process has looked before one writes
    if occupied:
        raise InputError(f"--out: {folder} holds a run already; go on with: pygan resume {folder}")
    training, validation = split_dataset(framed(dataset, config.to_dict()), config)
    trainer = Trainer(
        config,
        algorithm_class,
        training,
        world,
        source=source,
        validation=validation,
        evaluator=evaluator,
    )
    if source is not None:
        trainer.save()  # so that resuming needs the source no more
    if world.is_main:
        write_config(folder, algorithm_class.name, config)
    return trainer.run()


def find_run(
    folder: Path, find_algorithm: Callable[[str], type[Algorithm]]
) -> tuple[type[Algorithm], TrainConfig, Optional[Checkpoint]]:
    """Algorithm, options and newest intact checkpoint (None if there is none yet) of a run.

    Args:
        folder: the run.
        find_algorithm: maps an algorithm's name to its class.

    Raises:
        InputError: no run is there, or none of its checkpoints is intact.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise InputError(f"{folder} is not a run: it has no {CONFIG_FILE}")
    values = load_yaml(path.read_text(encoding="utf-8"))
    algorithm_class = find_algorithm(str(values.pop("algorithm", "")))
    saved = checkpoints.newest(folder / "checkpoints", _warn)
    if saved is not None:
        values.update(saved.manifest["config"])
    values["out"] = str(folder)
    return algorithm_class, algorithm_class.Config.from_dict(values), saved


def resume(
    config: TrainConfig,
    algorithm_class: type[Algorithm],
    dataset: Any,
    saved: Optional[Checkpoint],
    force: bool = False,
    evaluator: Optional[Evaluator] = None,
) -> Outcome:
    """Goes on with a run from a checkpoint, or from its start if there is none.

    Args:
        config: options of the run, perhaps with changes to those of ``resumable_fields``.
        algorithm_class: what to train.
        dataset: an ImageDataset, whole.
        saved: see ``find_run``.
        force: accept a dataset other than the one the run was started with.
        evaluator: measures the averaged networks at snapshots.

    Raises:
        InputError: the dataset is another one, or an option is not possible.
    """
    training, validation = split_dataset(framed(dataset, config.to_dict()), config)
    if saved is not None:
        _check_images(saved, training, config)
        _check_dataset(saved, training.fingerprint, config.data, force)
    elif config.resume:
        raise InputError(
            f"{config.out}: the run began from the weights of {config.resume}, and its first "
            "checkpoint is gone; start it anew with pygan train"
        )
    prepare_device(config)
    trainer = Trainer(
        config,
        algorithm_class,
        training,
        World.join(),
        saved,
        validation=validation,
        evaluator=evaluator,
    )
    return trainer.run()


def write_config(folder: Path, algorithm: str, config: TrainConfig) -> None:
    """Writes ``config.yaml``."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / (CONFIG_FILE + ".writing")
    text = dump_yaml({"algorithm": algorithm, **config.to_dict()})
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, folder / CONFIG_FILE)


def prepare_device(config: TrainConfig) -> None:
    """Chooses the device.

    Raises:
        InputError: a GPU is asked for and this Paddle or machine has none.
    """
    has_gpu = paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0
    if config.device == "gpu" and not has_gpu:
        built = "no GPU is visible" if paddle.is_compiled_with_cuda() else "Paddle has no CUDA"
        raise InputError(f"--device gpu: {built}; use --device cpu or install paddlepaddle-gpu")
    if config.device == "cpu" or not has_gpu:
        paddle.set_device("cpu")
    else:
        # The launcher gives each process a GPU by this variable.
        gpus = os.environ.get("FLAGS_selected_gpus", "0")  # noqa: SIM112
        paddle.set_device(f"gpu:{gpus.split(',')[0]}")


def _check_images(saved: Checkpoint, dataset: Any, config: TrainConfig) -> None:
    """Raises InputError if the networks of a run are not for such images."""
    data = DataSpec.from_dict(saved.manifest["data"])
    here, there = (
        f"{width} x {height} images of {channels} channels"
        for channels, height, width in (tuple(dataset.image_shape), data.image_shape)
    )
    there += f" with {data.condition_text}" if data.condition_text else ""
    if hasattr(dataset, "label_count"):
        here += f" with {data_spec(dataset, False).condition_text}"
    if config.conditional:
        here += f" in {dataset.num_classes} classes"
        there += f" in {data.num_classes} classes"
    if here != there:
        raise InputError(
            f"{config.data} has {here}, the networks of {config.out} are for {there}; to take over "
            f"what fits, start a new run: pygan train ... --resume {config.out}"
        )


def _check_dataset(saved: Checkpoint, fingerprint: str, name: str, force: bool) -> None:
    if saved.manifest["dataset"] in ("", fingerprint):  # "": weights of another project
        return
    message = f"{name} is not the dataset that the run was started with (its fingerprint differs)"
    if not force:
        raise InputError(f"{message}; use --force to go on with it all the same")
    _warn(message)


def _warn(text: str) -> None:
    print(f"pygan: warning: {text}", file=sys.stderr, flush=True)
