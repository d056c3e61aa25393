"""Configuration: the options that every algorithm shares, as a typed dataclass.

An algorithm extends :class:`TrainConfig` with options of its own. Each field carries its help text,
so that :mod:`pygan.training.options` can offer it on the command line and in YAML.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Optional, TypeVar

from pygan.errors import InputError

C = TypeVar("C", bound="TrainConfig")
P = TypeVar("P")


def option(default: Any, help: str, *, resumable: bool = False) -> Any:
    """A configuration field.

    Args:
        default: its default value.
        help: one line for ``--help``.
        resumable: whether ``pygan resume`` may change it: true of what does not change the weights
            that training arrives at.
    """
    return dataclasses.field(default=default, metadata={"help": help, "resumable": resumable})


@dataclass
class TrainConfig:
    """Options shared by all algorithms."""

    presets: ClassVar[tuple[str, ...]] = ()
    # What the shape of the networks follows from, besides the data.
    structure: ClassVar[tuple[str, ...]] = ()

    data: str = option("", "dataset: a folder, an archive or a built-in name", resumable=True)
    out: str = option("", "folder of the run")
    preset: str = option("", "named set of defaults")
    seed: int = option(0, "seed of initialisation, data order and all noise")
    kimg: float = option(25000.0, "length of training, in thousands of real images", resumable=True)
    epochs: Optional[float] = option(
        None, "length of training in passes over the images, in place of kimg"
    )
    batch: int = option(32, "images per step, over all processes")
    accumulate: int = option(
        1, "forward and backward passes per step; more need less memory", resumable=True
    )
    mirror: bool = option(False, "also train on horizontally flipped images")
    conditional: bool = option(False, "train with the labels of the dataset")
    subset: Optional[int] = option(None, "train on so many images, chosen by the seed; null: all")
    validation: float = option(
        0.0, "images kept out of training to measure overfitting: a count, or a fraction below 1"
    )
    resume: str = option("", "start from the weights of a run, a checkpoint or another project")
    resume_strict: bool = option(False, "refuse weights that do not fit the networks entirely")
    resume_state: bool = option(
        False, "with --resume RUN: go on from its whole state, with its options where none is given"
    )
    ema_kimg: float = option(10.0, "half-life of the averaged generator, in kimg")
    ema_rampup: Optional[float] = option(
        None, "limit of the half-life, relative to the images seen so far; null for none"
    )
    tick: float = option(4.0, "kimg between log lines and sample grids", resumable=True)
    snapshot: int = option(5, "ticks between checkpoints", resumable=True)
    keep: int = option(3, "checkpoints to keep", resumable=True)
    metrics: str = option(
        "",
        "measured at snapshots, such as kid,fid; the first decides which is best",
        resumable=True,
    )
    metrics_samples: int = option(50000, "generated images per measurement", resumable=True)
    metrics_extractor: str = option(
        "", "network that metrics look through; empty: the first installed", resumable=True
    )
    metrics_every: int = option(1, "snapshots between measurements", resumable=True)
    grid: str = option("auto", "sample grid as COLUMNSxROWS", resumable=True)
    max_minutes: Optional[float] = option(
        None, "save and stop after this time; null for no limit", resumable=True
    )
    workers: int = option(2, "processes that decode images; 0 decodes in place", resumable=True)
    threads: int = option(0, "CPU threads; 0 uses every core available", resumable=True)
    device: str = option("auto", "'cpu', 'gpu' or 'auto'", resumable=True)
    visualdl: bool = option(False, "also log to VisualDL (pip install visualdl)", resumable=True)

    @classmethod
    def preset_values(
        cls, preset: str, resolution: int, batch: Optional[int], processes: int
    ) -> dict[str, Any]:
        """Defaults of a preset.

        Args:
            preset: one of ``presets``.
            resolution: longer side of the images.
            batch: the batch size asked for, or None if the preset decides.
            processes: number of training processes.
        """
        return {}

    @classmethod
    def preset_of(cls, table: Mapping[str, P], preset: str) -> P:
        """The entry of a preset; raises InputError if there is none."""
        if preset not in table:
            raise InputError(
                f"--preset: unknown preset {preset!r}; choose from: {', '.join(cls.presets)}"
            )
        return table[preset]

    @classmethod
    def transfer_values(cls, source: Mapping[str, Any]) -> dict[str, Any]:
        """Defaults of a run that starts from other weights; they go before those of the preset.

        They are what decides the shape of the networks, ``structure``. Averaging needs no ramp-up
        there: the first images are good already.

        Args:
            source: options that the weights were trained with, as far as they are known.
        """
        shape = {name: source[name] for name in cls.structure if source.get(name) is not None}
        return {"ema_rampup": None, **shape}

    def validate(self) -> None:
        """Raises InputError if a value is out of range."""
        self.require(self.kimg > 0, "kimg", "a positive number")
        self.require(self.epochs is None or self.epochs > 0, "epochs", "a positive number or null")
        self.require(self.batch >= 1, "batch", "at least 1")
        self.require(self.accumulate >= 1, "accumulate", "at least 1")
        self.require(
            self.batch % self.accumulate == 0, "accumulate", f"a divisor of the batch, {self.batch}"
        )
        self.require(0 <= self.seed < 2**63, "seed", "from 0 to 2^63 - 1")
        self.require(self.subset is None or self.subset >= 1, "subset", "at least 1")
        whole = self.validation < 1 or self.validation == int(self.validation)
        self.require(self.validation >= 0 and whole, "validation", "a count or a fraction below 1")
        self.require(self.metrics_samples >= 2, "metrics_samples", "at least 2")
        self.require(self.metrics_every >= 1, "metrics_every", "at least 1")
        self.require(
            bool(self.resume) or not self.resume_state, "resume_state", "used with --resume"
        )
        self.require(self.ema_kimg >= 0, "ema_kimg", "0 or more")
        self.require(self.ema_rampup is None or self.ema_rampup >= 0, "ema_rampup", "0 or more")
        self.require(self.tick > 0, "tick", "a positive number")
        self.require(self.snapshot >= 1, "snapshot", "at least 1")
        self.require(self.keep >= 1, "keep", "at least 1")
        self.require(self.workers >= 0, "workers", "0 or more")
        self.require(self.threads >= 0, "threads", "0 or more")
        self.require(self.device in ("auto", "cpu", "gpu"), "device", "auto, cpu or gpu")
        self.require(self.max_minutes is None or self.max_minutes > 0, "max_minutes", "positive")
        self.grid_size((3, 8, 8))
        if self.visualdl and importlib.util.find_spec("visualdl") is None:
            raise InputError("--visualdl: VisualDL is not installed: pip install visualdl")

    def require(self, condition: bool, name: str, legal: str) -> None:
        """Raises InputError that names the option, what came and what is legal."""
        if not condition:
            flag = "--" + name.replace("_", "-")
            raise InputError(f"{flag}: must be {legal}, got {getattr(self, name)!r}")

    def grid_size(self, image_shape: tuple[int, int, int]) -> tuple[int, int]:
        """(columns, rows) of the sample grid for images of shape (C, H, W)."""
        if self.grid == "auto":
            _, height, width = image_shape
            return min(max(2048 // width, 2), 8), min(max(1024 // height, 2), 4)
        try:
            columns, rows = (int(part) for part in self.grid.lower().split("x"))
        except ValueError:
            columns = rows = 0
        self.require(columns >= 1 and rows >= 1, "grid", "COLUMNSxROWS such as 6x4, or auto")
        return columns, rows

    def to_dict(self) -> dict[str, Any]:
        """The values as plain types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls: type[C], values: dict[str, Any]) -> C:
        """The inverse of ``to_dict``; unknown names are an InputError."""
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InputError(f"the configuration has unknown options: {', '.join(unknown)}")
        config = cls(**values)
        config.validate()
        return config


def resumable_fields(config_class: type[TrainConfig]) -> tuple[str, ...]:
    """Names of the options that a resumed run may change."""
    fields = dataclasses.fields(config_class)
    return tuple(field.name for field in fields if field.metadata.get("resumable"))
