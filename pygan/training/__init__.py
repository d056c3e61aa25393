"""The training engine: one loop for all algorithms.

An algorithm (:class:`Algorithm`) names its networks and phases; :class:`Trainer` runs them,
averages weights, logs, saves and resumes, in one process or several.
"""

from __future__ import annotations

from pygan.errors import InputError, TrainingError
from pygan.training.algorithm import Algorithm, DataSpec, Phase, RealBatch, State, Step
from pygan.training.checkpoint import Checkpoint
from pygan.training.condition import Condition, make_condition
from pygan.training.config import TrainConfig, option
from pygan.training.distributed import World
from pygan.training.loop import Outcome, Trainer
from pygan.training.optimizer import lazy_adam
from pygan.training.paired import PairedConfig
from pygan.training.rng import StepRandom

__all__ = [
    "Algorithm",
    "Checkpoint",
    "Condition",
    "DataSpec",
    "InputError",
    "Outcome",
    "PairedConfig",
    "Phase",
    "RealBatch",
    "State",
    "Step",
    "StepRandom",
    "TrainConfig",
    "Trainer",
    "TrainingError",
    "World",
    "lazy_adam",
    "make_condition",
    "option",
]
