"""What a run tells the user: terminal, log files and sample grids, from the main process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import numpy as np
import paddle

from pygan.training.algorithm import RealBatch
from pygan.training.condition import Condition
from pygan.training.evaluation import describe
from pygan.training.grid import compare, condition_pictures, save_png, tile, to_pixels
from pygan.training.order import ImageOrder
from pygan.training.stats import Clock, Progress, RunLog, format_time, peak_memory_gb

if TYPE_CHECKING:
    from pygan.training.loop import Trainer

_SAMPLE_SEEDS = 1_000_000  # first seed of the sample grid, away from those people look at


class Reporter:
    """Reports of one trainer. On other processes than the main one it only keeps time.

    Args:
        trainer: what to report on.
        total: images of the whole training.
        resumed: checkpoint that training goes on from.
    """

    def __init__(self, trainer: Trainer, total: int, resumed: Optional[Path]) -> None:
        self._trainer = trainer
        self._total = total
        self._resumed = resumed
        self._clock = Clock()
        self._tick_start = trainer.nimg
        self._log: Optional[RunLog] = None
        self._progress: Optional[Progress] = None

    @property
    def elapsed(self) -> float:
        """Seconds since the start of this process's training."""
        return self._clock.elapsed

    def open(self) -> None:
        """Introduces the run; writes ``reals.png`` and the samples of the untrained network."""
        trainer = self._trainer
        if trainer.world.is_main:
            trainer.folder.mkdir(parents=True, exist_ok=True)
            self._progress = Progress(self._total, trainer.nimg)
            self._log = RunLog(
                trainer.folder, trainer.iteration, self._progress, trainer.config.visualdl
            )
            self._introduce()
            if self._resumed is None:
                for line in trainer.transferred:
                    self.say(line)
                self._save_reals()
                self._save_samples()
            else:
                self.say(f"resuming from {self._resumed}, {trainer.nimg / 1000:.3f} kimg")
        self._clock.end_maintenance()

    def advance(self) -> None:
        """Moves the progress bar by one batch."""
        if self._progress is not None:
            self._progress.advance(self._trainer.config.batch)

    def tick(self) -> None:
        """Ends a tick: one line to the terminal and each log, and a sample grid.

        Time from here to ``resume_clock`` counts as maintenance, not as training.
        """
        trainer = self._trainer
        timing = self._clock.tick(trainer.nimg - self._tick_start)
        self._tick_start = trainer.nimg
        self._clock.begin_maintenance()
        means = trainer.means.values()
        trainer.means.reset()
        if self._log is None:
            return
        rates = {f"lr/{name}": float(opt.get_lr()) for name, opt in trainer.optimizers.items()}
        memory = peak_memory_gb()
        self._log.stats(
            {
                "kimg": trainer.nimg / 1000,
                "iteration": trainer.iteration,
                **means,
                **trainer.algorithm.numbers(),
                **rates,
                **timing,
                "memory_gb": memory,
            }
        )
        left = (self._total - trainer.nimg) * timing["sec/kimg"] / 1000
        losses = "  ".join(f"{k[5:]} {v:.3f}" for k, v in means.items() if k.startswith("loss/"))
        self.say(
            f"{trainer.nimg / 1000:10.3f} kimg  {timing['img/s']:8.2f} img/s  "
            f"{timing['sec/kimg']:8.1f} s/kimg  {format_time(self.elapsed):>7} gone  "
            f"{format_time(left):>7} left  {memory:5.2f} GB  {losses}"
            + (f"  {extra}" if (extra := trainer.algorithm.tick_text()) else "")
        )
        for remark in trainer.algorithm.remarks():
            self.say(remark)
        self._save_samples()

    def metrics(self, values: Mapping[str, float], best: bool) -> None:
        """Tells the measurements of the checkpoint just written."""
        trainer = self._trainer
        if self._log is None:
            return
        named = {f"metrics/{name}": value for name, value in values.items()}
        position = {"kimg": trainer.nimg / 1000, "iteration": trainer.iteration}
        self._log.stats({**position, **named})
        so_far = ", the best so far" if best else ""
        self.say(f"{trainer.nimg / 1000:10.3f} kimg  {describe(values)}{so_far}")

    def resume_clock(self) -> None:
        """Ends the maintenance that ``tick`` began."""
        self._clock.end_maintenance()

    def say(self, text: str) -> None:
        """One line for people."""
        if self._log is not None:
            self._log.line(text)

    def close(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None
        if self._progress is not None:
            self._progress.close()

    def _introduce(self) -> None:
        trainer = self._trainer
        for name, network in trainer.networks.items():
            count = sum(int(parameter.size) for parameter in network.parameters())
            self.say(f"{name}: {type(network).__name__}, {count:,} parameters")
        channels, height, width = trainer.algorithm.data.image_shape
        classes = trainer.algorithm.data.num_classes
        condition = trainer.algorithm.data.condition_text
        self.say(
            f"data: {len(trainer.dataset):,} images of {width} x {height}, {channels} channels"
            + (f", {classes} classes" if classes else "")
            + (f", with {condition}" if condition else "")
            + (f", {len(trainer.validation):,} held out" if trainer.validation is not None else "")
        )

    def _save_reals(self) -> None:
        columns, rows = self._grid_size()
        images, _ = self._trainer.dataset.load(self._order(self._trainer.dataset, columns * rows))
        save_png(tile(images, columns), self._trainer.folder / "reals.png")

    def _save_samples(self) -> None:
        """Writes the images of fixed seeds, drawn by the averaged networks.

        Those that are made from something stand between that and the real image.
        """
        trainer = self._trainer
        columns, rows = self._grid_size()
        triples = max(columns // 3, 1)
        real = self._reals(triples * rows)
        condition = trainer.algorithm.condition_of(real, trainer.config)
        if condition is None:
            picture = tile(to_pixels(self._sample(columns * rows)), columns)
        else:
            target = trainer.algorithm.target_of(real, trainer.config)
            picture = compare(
                condition_pictures(condition, trainer.algorithm.data.label_count),
                to_pixels(self._render(condition)),
                to_pixels(target.numpy()),
                triples,
            )
        kimg = trainer.nimg / 1000
        name = f"{int(kimg):06d}" if trainer.config.tick >= 1 else f"{kimg:010.3f}"
        save_png(picture, trainer.folder / f"samples_{name}.png")
        if self._log is not None:
            self._log.image("samples", picture, trainer.iteration)

    @paddle.no_grad()
    def _sample(self, count: int) -> np.ndarray:
        trainer, chunk = self._trainer, self._trainer.micro_batch
        networks = {**trainer.networks, **trainer.averages}
        seeds = range(_SAMPLE_SEEDS, _SAMPLE_SEEDS + count)
        labels = None
        if trainer.config.conditional:
            labels = np.asarray(trainer.dataset.labels)[self._order(trainer.dataset, count)]
        images = []
        for i in range(0, count, chunk):
            part = None if labels is None else labels[i : i + chunk]
            batch = trainer.algorithm.sample(networks, trainer.config, seeds[i : i + chunk], part)
            images.append(batch.numpy())
        return np.concatenate(images)

    @paddle.no_grad()
    def _render(self, condition: Condition) -> np.ndarray:
        trainer, chunk = self._trainer, self._trainer.micro_batch
        networks = {**trainer.networks, **trainer.averages}
        images = []
        for i in range(0, len(condition), chunk):
            part = condition[i : i + chunk]
            seeds = range(_SAMPLE_SEEDS + i, _SAMPLE_SEEDS + i + len(part))
            drawn = trainer.algorithm.render(networks, trainer.config, seeds, part)
            images.append(drawn.numpy())
        return np.concatenate(images)

    def _reals(self, count: int) -> RealBatch:
        """The real images of the grid: held out ones if there are any, with all their planes."""
        trainer = self._trainer
        dataset = trainer.dataset if trainer.validation is None else trainer.validation
        indices = self._order(dataset, count)
        if not trainer.algorithm.conditions:
            return RealBatch(*dataset.load(indices))
        pairs = dataset.pairs
        return RealBatch(*pairs.load([pairs.centred(index) for index in indices]))

    def _grid_size(self) -> tuple[int, int]:
        return self._trainer.config.grid_size(self._trainer.algorithm.data.image_shape)

    def _order(self, dataset: Any, count: int) -> list[int]:
        """The first images of the training order."""
        return ImageOrder(len(dataset), self._trainer.config.seed)(range(count))
