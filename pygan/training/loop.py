"""The training loop, one for all algorithms."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import paddle
from paddle import nn

from pygan.errors import InputError, TrainingError
from pygan.training import checkpoint as checkpoints
from pygan.training.algorithm import (
    PAIRED_FIELDS,
    Algorithm,
    DataSpec,
    Phase,
    RealBatch,
    Step,
)
from pygan.training.checkpoint import Checkpoint
from pygan.training.config import TrainConfig
from pygan.training.distributed import World
from pygan.training.ema import WeightAverage, ema_beta
from pygan.training.evaluation import Evaluations, Evaluator
from pygan.training.order import ImageOrder, strided_samples
from pygan.training.paired import crop_corners, require_condition
from pygan.training.report import Reporter
from pygan.training.rng import StepRandom
from pygan.training.signals import Interrupted, StopSignals
from pygan.training.state import restore_trainer, trainer_arrays, trainer_manifest
from pygan.training.stats import Means, format_time
from pygan.training.transfer import Source, take_over, transfer

Reals = tuple[RealBatch, Optional[RealBatch]]


@dataclass(frozen=True)
class Outcome:
    """How training ended.

    Attributes:
        reason: 'finished', 'time' (max_minutes is over) or 'signal'.
        iteration: steps done.
        nimg: images seen.
        signal: number of the signal, if any.
    """

    reason: str
    iteration: int
    nimg: int
    signal: int = 0


class Trainer:
    """Trains one algorithm on one dataset.

    Args:
        config: all options; ``config.out`` is the folder of the run.
        algorithm_class: what to train.
        dataset: an ImageDataset.
        world: the processes of the run.
        resume: checkpoint to go on from.
        source: weights to start from, where there is no checkpoint.
        validation: an ImageDataset of images that are held out from training.
        evaluator: measures the averaged networks at snapshots; to be given on every process, called
            on the main one.

    Attributes:
        iteration: steps done.
        nimg: images seen.
        networks: by name.
        optimizers: one per network.
        means: statistics since the last tick.
        micro_batch: images per forward pass.
        transferred: what was taken from ``source``, in lines of text.

    Raises:
        InputError: the options do not suit the data, the algorithm or the number of processes.
    """

    def __init__(
        self,
        config: TrainConfig,
        algorithm_class: type[Algorithm],
        dataset: Any,
        world: Optional[World] = None,
        resume: Optional[Checkpoint] = None,
        source: Optional[Source] = None,
        validation: Optional[Any] = None,
        evaluator: Optional[Evaluator] = None,
    ) -> None:
        self.config = config
        self.dataset = dataset
        self.validation = validation
        self.world = world if world is not None else World()
        self.folder = Path(config.out)
        self.iteration = 0
        self.nimg = 0
        self.means = Means()
        self._streams = self.world.size * config.accumulate
        if config.batch % self._streams:
            raise InputError(
                f"--batch: {config.batch} images cannot be split evenly over {self.world.size} "
                f"processes x {config.accumulate} accumulation rounds; choose a multiple of "
                f"{self._streams}"
            )
        self.micro_batch = config.batch // self._streams
        paddle.seed(config.seed)
        data = data_spec(dataset, config.conditional)
        require_condition(
            algorithm_class.name, algorithm_class.conditions, data.label_count, data.source_channels
        )
        self.algorithm = algorithm_class(config, data)
        self.algorithm.check_split(self.micro_batch)
        self.networks = self.algorithm.networks
        self._trainable = {
            name: [p for p in network.parameters() if not p.stop_gradient]
            for name, network in self.networks.items()
        }
        self.optimizers = {name: self.algorithm.optimizer(name) for name in self.networks}
        names = self.algorithm.averaged if self.world.is_main else ()
        self._averages = {name: WeightAverage(self.networks[name]) for name in names}
        self._phases = list(self.algorithm.phases())
        self._last_checkpoint: Optional[Path] = None
        self._resumed = None if resume is None else resume.path
        self._evaluator = evaluator
        self.transferred: list[str] = []
        if resume is not None:
            lacking = restore_trainer(self, resume)
            if lacking:
                raise InputError(f"{resume.path}: the state lacks {', '.join(lacking)}")
            self._last_checkpoint = resume.path
        elif source is not None:
            start_from = take_over if config.resume_state else transfer
            self.transferred = start_from(self, source)

    @property
    def averages(self) -> dict[str, nn.Layer]:
        """The averaged networks, by name; on the main process."""
        return {name: average.network for name, average in self._averages.items()}

    def run(self) -> Outcome:
        """Trains until ``config.kimg``, ``config.max_minutes`` or a signal, and saves.

        Raises:
            TrainingError: a value became NaN or infinite; the last checkpoint is intact.
        """
        config = self.config
        total = round(config.kimg * 1000)
        reporter = Reporter(self, total, self._resumed)
        batches = self._real_batches()
        evaluations = self._open_evaluations()
        reason = "finished"
        try:
            with StopSignals(launched=self.world.size > 1) as signals:
                reporter.open()
                if self._evaluation_due(self.nimg - config.batch, total):
                    # The process ended after the checkpoint and before its measurement.
                    self._evaluate(evaluations, reporter, signals)
                    reason = self._stop_reason(signals, reporter.elapsed)
                while self.nimg < total and reason == "finished":
                    before = self.nimg
                    self.step(batches)
                    reporter.advance()
                    reason = self._stop_reason(signals, reporter.elapsed)
                    done = reason != "finished" or self.nimg >= total
                    if done or _crossed(before, self.nimg, config.tick):
                        reporter.tick()
                        if done or _crossed(before, self.nimg, config.tick * config.snapshot):
                            self.save()
                        if reason == "finished" and self._evaluation_due(before, total):
                            self._evaluate(evaluations, reporter, signals)
                            reason = self._stop_reason(signals, reporter.elapsed)
                        reporter.resume_clock()
            why = {"finished": "done", "time": "time is over", "signal": "stopped by a signal"}
            reporter.say(
                f"{why[reason]}: {self.nimg / 1000:.3f} kimg, {self.iteration} iterations, "
                f"{format_time(reporter.elapsed)}; saved {self._last_checkpoint}"
            )
            return Outcome(reason, self.iteration, self.nimg, signals.received or 0)
        except TrainingError as error:
            reporter.say(f"stopped: {error}")
            raise
        finally:
            batches.close()
            reporter.close()

    def step(self, batches: Iterator[Reals]) -> None:
        """One iteration: all phases that are due, then the weight averages.

        Args:
            batches: yields the real images of each micro-batch.
        """
        config = self.config
        reals = [next(batches) for _ in range(config.accumulate)]
        for name, rate in self.algorithm.learning_rates(self.nimg).items():
            self.optimizers[name].set_lr(rate)
        for phase in self._phases:
            if self.iteration % phase.interval == 0:
                self._run_phase(phase, reals)
        beta = ema_beta(config.batch, self.nimg, config.ema_kimg, config.ema_rampup)
        for average in self._averages.values():
            average.update(beta)
        self.iteration += 1
        self.nimg += config.batch
        self.algorithm.end_iteration(self.iteration)

    def save(self) -> None:
        """Writes a checkpoint of the whole state, on the main process.

        Raises:
            TrainingError: a value of the state is not finite.
        """
        if not self.world.is_main:
            return
        root = self.folder / "checkpoints"
        files, manifest = trainer_arrays(self), trainer_manifest(self)
        try:
            path = checkpoints.save(root, self.iteration, files, manifest, self.config.keep)
        except TrainingError as error:
            raise TrainingError(f"{error}; {self._last_good()}") from None
        self._last_checkpoint = path

    def _run_phase(self, phase: Phase, reals: Sequence[Reals]) -> None:
        for name, parameters in self._trainable.items():
            for parameter in parameters:
                parameter.stop_gradient = name != phase.network
        steps = []
        for round_, (real, held_out) in enumerate(reals):
            samples = self._samples(round_)
            random = StepRandom(self.config.seed, phase.name, self.iteration, samples)
            steps.append(Step(random, real, self.world, len(reals), self.nimg, held_out))
        phase.begin(steps)
        for step in steps:
            paddle.seed(step.random.global_seed())  # for dropout and the like
            loss = phase.loss(step)
            step.report(f"loss/{phase.name}", loss)
            (loss * (phase.gain / len(steps))).backward()
        parameters = [p for p in self._trainable[phase.network] if p.grad is not None]
        self.world.average_gradients(parameters)
        self._record(phase, steps, parameters)
        optimizer = self.optimizers[phase.network]
        optimizer.step()
        optimizer.clear_grad(set_to_zero=False)
        phase.end(steps)

    @paddle.no_grad()
    def _record(
        self, phase: Phase, steps: Sequence[Step], parameters: Sequence[paddle.Tensor]
    ) -> None:
        """Averages the reports over the batch and checks that loss and gradient are finite."""
        names = sorted(steps[0].reports)
        values = paddle.stack([step.reports[name] for step in steps for name in names])
        values = self.world.mean(values.reshape([len(steps), len(names)]).mean(axis=0))
        # A sum is not finite if an element is not; it reads the gradient once and copies nothing.
        gradients = [p.grad for p in parameters if p.grad is not None]
        sums = paddle.stack([gradient.astype("float32").sum() for gradient in gradients])
        means: list[float] = paddle.concat([values, sums.sum().reshape([1])]).numpy().tolist()
        gradient_sum = means.pop()
        for name, value in zip(names, means):
            self.means.add(name, value)
        for step in steps:
            step.means = dict(zip(names, means))
        if self.algorithm.limits_gradients and not math.isfinite(gradient_sum):
            _limit_gradients(parameters)
            self.means.add(f"overflows/{phase.name}", 1.0)
            gradient_sum = 0.0
        for what, value in [*zip(names, means), ("gradient", gradient_sum)]:
            if not math.isfinite(value):
                raise TrainingError(
                    f"in iteration {self.iteration} ({self.nimg / 1000:.3f} kimg), phase "
                    f"{phase.name}, {what} of network {phase.network} became {value}; "
                    f"{self._last_good()}"
                )

    def _last_good(self) -> str:
        if self._last_checkpoint is None:
            return "no checkpoint was written yet"
        return f"the last good checkpoint is {self._last_checkpoint}"

    def _samples(self, round_: int) -> range:
        index = self.world.rank + self.world.size * round_
        return strided_samples(self.config.batch, self._streams, index)

    def _real_batches(self) -> Generator[Reals, None, None]:
        """The real images of every micro-batch from here on, and those held out."""
        from pygan.data import Loader

        workers, conditional = self.config.workers, self.config.conditional
        parts = [part for part in (self.dataset, self.validation) if part is not None]
        with contextlib.ExitStack() as stack:
            if self.algorithm.conditions:
                loaders = [
                    stack.enter_context(Loader(part.pairs, self._placed_batches(part), workers))
                    for part in parts
                ]
            else:
                loaders = [
                    stack.enter_context(Loader(part, self._index_batches(len(part)), workers))
                    for part in parts
                ]
            while True:
                found = [next(loader) for loader in loaders]
                real, *held_out = [
                    RealBatch(images, labels if conditional else None, *planes)
                    for images, labels, *planes in found
                ]
                yield real, held_out[0] if held_out else None

    def _index_batches(self, size: int) -> Iterator[list[int]]:
        order = ImageOrder(size, self.config.seed)
        for iteration, round_ in self._rounds():
            start = iteration * self.config.batch
            yield order([start + sample for sample in self._samples(round_)])

    def _placed_batches(self, dataset: Any) -> Iterator[list[Any]]:
        """Samples of a paired dataset, with the places of their crops."""
        from pygan.data.pairs import Placed

        layout = dataset.pairs.layout
        for indices, (iteration, round_) in zip(self._index_batches(len(dataset)), self._rounds()):
            random = StepRandom(self.config.seed, "crop", iteration, self._samples(round_))
            corners = crop_corners(random, layout.loaded, layout.framed)
            yield [Placed(index, *corner) for index, corner in zip(indices, corners)]

    def _rounds(self) -> Iterator[tuple[int, int]]:
        """Iterations from here on, each with its accumulation rounds."""
        for iteration in itertools.count(self.iteration):
            for round_ in range(self.config.accumulate):
                yield iteration, round_

    def _open_evaluations(self) -> Optional[Evaluations]:
        if self._evaluator is None or not self.world.is_main:
            return None
        return Evaluations(self.folder, self.iteration)

    def _evaluation_due(self, before: int, total: int) -> bool:
        """Whether the step from ``before`` images to here ends with a measurement."""
        if self._evaluator is None or self.nimg == 0:
            return False
        config = self.config
        period = config.tick * config.snapshot * config.metrics_every
        return self.nimg >= total or _crossed(before, self.nimg, period)

    def _evaluate(
        self, evaluations: Optional[Evaluations], reporter: Reporter, signals: StopSignals
    ) -> None:
        """Measures the checkpoint that was just written, on the main process.

        A signal ends it at once: the resumed run measures again. An evaluator that fails does not
        end the training.
        """
        if evaluations is None or self._evaluator is None or evaluations.has(self.iteration):
            return
        assert self._last_checkpoint is not None
        try:
            with signals.breakable(), paddle.no_grad():
                values = {k: float(v) for k, v in self._evaluator(self.averages).items()}
        except Interrupted:
            return
        except Exception as error:  # e.g. out of memory; days of training must not end by it
            reporter.say(f"the metrics failed ({type(error).__name__}: {error}); training goes on")
            return
        position = {"kimg": self.nimg / 1000, "iteration": self.iteration}
        best = evaluations.record(values, position, self._last_checkpoint)
        reporter.metrics(values, best)

    def _stop_reason(self, signals: StopSignals, elapsed: float) -> str:
        limit = self.config.max_minutes
        late = limit is not None and elapsed > limit * 60
        # Signals and clocks differ between processes; all must stop after the same iteration.
        flags = self.world.sum(np.array([signals.received is not None, late], dtype=np.float64))
        return "signal" if flags[0] else "time" if flags[1] else "finished"


@paddle.no_grad()
def _limit_gradients(parameters: Sequence[paddle.Tensor]) -> None:
    """NaN to 0 and infinity to 1e5, in place."""
    for parameter in parameters:
        gradient = parameter.grad
        if gradient is not None:
            paddle.assign(paddle.nan_to_num(gradient, 0.0, 1e5, -1e5), output=gradient)


def data_spec(dataset: Any, conditional: bool) -> DataSpec:
    """What algorithms need to know of a dataset.

    Raises:
        InputError: labels are asked for and there are none.
    """
    channels, height, width = dataset.image_shape
    paired = {
        name: getattr(dataset, name) for name in PAIRED_FIELDS if hasattr(dataset, "label_count")
    }
    if not conditional:
        return DataSpec((channels, height, width), **paired)
    if not dataset.num_classes:
        raise InputError("--conditional: the dataset has no labels; leave it out or add labels")
    counts = np.bincount(np.asarray(dataset.labels), minlength=dataset.num_classes)
    return DataSpec((channels, height, width), tuple(int(count) for count in counts), **paired)


def _crossed(before: int, after: int, kimg: float) -> bool:
    """Whether a multiple of ``kimg`` lies in (before, after].

    A pure function of the position, so that a resumed run ticks where the uninterrupted one does.
    """
    period = max(round(kimg * 1000), 1)
    return after // period > before // period
