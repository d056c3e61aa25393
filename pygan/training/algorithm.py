"""What an algorithm tells the engine: its networks, its phases and its samples.

An algorithm has no loop. The engine (:mod:`pygan.training.loop`) builds the networks, calls the
losses of the phases that are due, steps the optimisers, averages the weights, logs and saves.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Optional, Union

import numpy as np
import paddle
from paddle import nn

from pygan.errors import InputError
from pygan.training.condition import Condition, describe, make_condition, to_tensor
from pygan.training.config import TrainConfig
from pygan.training.distributed import World
from pygan.training.rng import StepRandom

State = Union[paddle.Tensor, np.ndarray]


PAIRED_FIELDS = ("label_count", "dont_care", "instances", "source_channels")
"""What a DataSpec takes from a paired dataset, by the same names."""


@dataclass(frozen=True)
class DataSpec:
    """What an algorithm needs to know of a dataset to build its networks.

    Attributes:
        image_shape: (C, H, W).
        class_counts: images per class; empty for training without labels.
        label_count: of paired datasets, classes of the label maps; 0 without. Don't care counts.
        dont_care: the class that means "don't care", which is the last one, or None.
        instances: whether there are instance maps.
        source_channels: channels of the images to translate; 0 without.
    """

    image_shape: tuple[int, int, int]
    class_counts: tuple[int, ...] = ()
    label_count: int = 0
    dont_care: Optional[int] = None
    instances: bool = False
    source_channels: int = 0

    @property
    def condition_text(self) -> str:
        """What images are made from, for people; empty if from nothing."""
        return describe(self.label_count, self.instances, self.source_channels)

    @property
    def num_classes(self) -> int:
        return len(self.class_counts)

    def random_labels(self, random: StepRandom, purpose: str = "label") -> Optional[paddle.Tensor]:
        """Labels [N] distributed as in the dataset; None without labels."""
        if not self.class_counts:
            return None
        edges = np.cumsum(self.class_counts)
        image = random.integers(purpose, 0, int(edges[-1]))
        return paddle.to_tensor(np.searchsorted(edges, image, side="right").astype(np.int64))

    def to_dict(self) -> dict[str, Any]:
        paired = (
            {name: getattr(self, name) for name in PAIRED_FIELDS} if self.condition_text else {}
        )
        return {
            "image_shape": list(self.image_shape),
            "class_counts": list(self.class_counts),
            **paired,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DataSpec:
        channels, height, width = values["image_shape"]
        paired = {name: values[name] for name in PAIRED_FIELDS if name in values}
        return cls((channels, height, width), tuple(values["class_counts"]), **paired)


class RealBatch:
    """Real images of one micro-batch, as the loader delivers them.

    Args:
        pixels: uint8 [N, C, H, W].
        labels: classes of the images [N], or None.
        labelmaps, instances, sources: of paired datasets, see :class:`Condition`; as stored.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        labels: Optional[np.ndarray],
        labelmaps: Optional[np.ndarray] = None,
        instances: Optional[np.ndarray] = None,
        sources: Optional[np.ndarray] = None,
    ) -> None:
        self._pixels = pixels
        self._labels = labels
        self._planes = labelmaps, instances, sources

    @cached_property
    def images(self) -> paddle.Tensor:
        """Images [N, C, H, W] in [-1, 1]."""
        return to_tensor(self._pixels)

    @property
    def labels(self) -> Optional[paddle.Tensor]:
        """Class indices [N], or None without labels."""
        return None if self._labels is None else paddle.to_tensor(self._labels.astype(np.int64))

    @cached_property
    def condition(self) -> Condition:
        """What the images are made from; empty for datasets that are not paired."""
        return make_condition(*self._planes)

    @property
    def labelmaps(self) -> paddle.Tensor:
        """Classes of pixels, int32 [N, H, W]."""
        return _present(self.condition.labelmaps, "label maps")

    @property
    def instances(self) -> paddle.Tensor:
        """Objects of pixels, int32 [N, H, W]."""
        return _present(self.condition.instances, "instance maps")

    @property
    def sources(self) -> paddle.Tensor:
        """Images to translate, float32 [N, C, H, W] in [-1, 1]."""
        return _present(self.condition.sources, "source images")


def _present(tensor: Optional[paddle.Tensor], what: str) -> paddle.Tensor:
    if tensor is None:
        raise ValueError(f"the dataset has no {what}; DataSpec says what there is")
    return tensor


@dataclass
class Step:
    """What a loss sees: one micro-batch of one phase.

    Attributes:
        random: random numbers of these samples, for this phase and iteration.
        real: the real images of the iteration; all phases share them.
        world: the processes.
        rounds: micro-batches per process that make up the batch.
        nimg: images seen before this iteration.
        held_out: images that are never trained on, as many as ``real``; None without validation.
        reports: what ``report`` was given.
        means: the reports averaged over the whole batch, once the losses of the phase are done.
    """

    random: StepRandom
    real: RealBatch
    world: World
    rounds: int = 1
    nimg: int = 0
    held_out: Optional[RealBatch] = None
    reports: dict[str, paddle.Tensor] = field(default_factory=dict)
    means: dict[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.random)

    def report(self, name: str, value: paddle.Tensor) -> None:
        """Logs the mean of a tensor, averaged over the batch and over the tick."""
        self.reports[name] = value.detach().astype("float32").mean()


def _nothing(*_: Any) -> None:
    """The default of the hooks of a phase."""


@dataclass(frozen=True)
class Phase:
    """One optimiser step on one network.

    Attributes:
        name: for logs and as the scope of the phase's random numbers.
        network: the network that is trained; all others are frozen meanwhile.
        loss: maps a Step to a scalar, the mean over its samples.
        interval: run in every ``interval``-th iteration.
        gain: factor on the loss; lazy regularisation uses the interval.
        begin: called with the steps of this process before the first loss.
        end: called with them after the last loss, for running means.
    """

    name: str
    network: str
    loss: Callable[[Step], paddle.Tensor]
    interval: int = 1
    gain: float = 1.0
    begin: Callable[[Sequence[Step]], None] = _nothing
    end: Callable[[Sequence[Step]], None] = _nothing


class Algorithm(abc.ABC):
    """Base of all algorithms.

    Class attributes:
        name: as on the command line.
        Config: the dataclass of its options.
        network_names: networks that are trained and saved.
        averaged: those of which an exponential moving average is kept for sampling.
        conditions: kinds of condition that it takes, of 'labelmaps' and 'sources'; any one of them
            will do. Empty for algorithms that make images from nothing, which then get no others.

    Args:
        config: its options.
        data: what it is trained on.
    """

    name: ClassVar[str]
    Config: ClassVar[type[TrainConfig]]
    network_names: ClassVar[tuple[str, ...]]
    averaged: ClassVar[tuple[str, ...]] = ()
    conditions: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: Any, data: DataSpec) -> None:
        self.config = config
        self.data = data
        self.networks: dict[str, nn.Layer] = {
            name: self.build(name, config, data) for name in self.network_names
        }

    @classmethod
    @abc.abstractmethod
    def build(cls, name: str, config: Any, data: DataSpec) -> nn.Layer:
        """A new network; ``paddle.seed`` decides its initial weights."""

    @abc.abstractmethod
    def optimizer(self, name: str) -> paddle.optimizer.Optimizer:
        """The optimiser of a network. One per network: all phases of the network share it."""

    @abc.abstractmethod
    def phases(self) -> Sequence[Phase]:
        """The phases of an iteration, in order."""

    @classmethod
    def sample(
        cls,
        networks: Mapping[str, nn.Layer],
        config: Any,
        seeds: Sequence[int],
        labels: Optional[np.ndarray],
        *,
        truncation: float = 1.0,
        noise: str = "const",
    ) -> paddle.Tensor:
        """Images [N, C, H, W], a pure function of the seeds.

        Args:
            networks: the averaged networks, by name; those that are not averaged may be missing.
            config: options of the algorithm.
            seeds: one per image. The latent code is ``np.random.RandomState(seed).randn(...)``, so
                that a seed means the same everywhere.
            labels: classes [N], or None for unconditional networks.
            truncation: psi of the truncation trick, where the algorithm has one.
            noise: 'const', 'random' (a function of the seed) or 'none', where it has noise inputs.
        """
        raise InputError(f"{cls.name} makes images from a condition: use pygan generate")

    @classmethod
    def render(
        cls,
        networks: Mapping[str, nn.Layer],
        config: Any,
        seeds: Sequence[int],
        condition: Condition,
        style: Optional[paddle.Tensor] = None,
    ) -> paddle.Tensor:
        """Images [N, C, H, W] made from a condition; for algorithms with ``conditions``.

        Args:
            networks: the averaged networks, by name; those that are not averaged may be missing.
            config: options of the algorithm.
            seeds: one per image, for what the condition leaves open.
            condition: of N images.
            style: images [N, C, H, W] in [-1, 1] whose look the new ones shall have, where the
                algorithm has such an input; None for a look that the seed decides.
        """
        raise NotImplementedError(f"{cls.name} makes images from nothing: use sample")

    @classmethod
    def source_channels(cls, config: Any, data: DataSpec) -> int:
        """Channels of the source images that ``render`` is given; 0 for none."""
        return data.source_channels

    @classmethod
    def condition_of(cls, real: RealBatch, config: Any) -> Optional[Condition]:
        """What ``render`` makes the likes of these real images from; None: ``sample`` makes them.

        For the grids of real images beside made ones.
        """
        return real.condition if cls.conditions else None

    @classmethod
    def target_of(cls, real: RealBatch, config: Any) -> paddle.Tensor:
        """The real images [N, C, H, W] in [-1, 1] that those of ``render`` are to be like."""
        return real.images

    def state(self) -> dict[str, State]:
        """Tensors and arrays beside weights and optimisers that belong to a checkpoint.

        Resuming restores them in place.
        """
        return {}

    def learning_rates(self, nimg: int) -> Mapping[str, float]:
        """Learning rates of networks for the next iteration; those left out keep theirs.

        A function of the position alone, so that a resumed run has the rates of one that was not
        interrupted.

        Args:
            nimg: images seen before the iteration.
        """
        return {}

    def end_iteration(self, iteration: int) -> None:
        """Called after every iteration, with the number of iterations done by then."""
        return

    def numbers(self) -> dict[str, float]:
        """Numbers for ``stats.jsonl``, beside those that the losses report."""
        return {name: float(value.mean()) for name, value in self.state().items()}

    def tick_text(self) -> str:
        """What to add to the line of a tick."""
        return ""

    def remarks(self) -> Sequence[str]:
        """Lines for the user at a tick, such as warnings."""
        return ()

    @property
    def limits_gradients(self) -> bool:
        """Whether NaN in a gradient becomes 0 and infinity 1e5, instead of ending the training.

        For half precision without loss scaling, where a gradient may overflow now and then
        (StyleGAN2-ADA, Karras et al. 2020).
        """
        return False

    def check_split(self, samples: int) -> None:
        """Raises InputError unless micro-batches of ``samples`` images suit the algorithm."""
        return
