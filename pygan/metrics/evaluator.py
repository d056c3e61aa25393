"""Metrics during training: an :class:`pygan.training.evaluation.Evaluator`.

Every measurement draws the same latent codes, labels and noise, so that snapshots differ by their
weights alone, and a resumed run measures what the uninterrupted one would have. The real images are
those that are trained on, without mirror images; their statistics are computed once, at the first
measurement, and cached.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional

from paddle import nn

from pygan.metrics.cache import StatisticsCache
from pygan.metrics.extraction import Extractor
from pygan.metrics.measure import Options, check_counts, measure
from pygan.metrics.sources import RealImages, dataset_images, generated_images
from pygan.training.config import TrainConfig
from pygan.training.loop import data_spec
from pygan.training.split import split_dataset

_BATCH = 16  # images at a time: little beside training's memory


class MetricsEvaluator:
    """Measures averaged networks by metrics of their images.

    Args:
        names: metrics, of :data:`pygan.metrics.names.OF_FEATURES`; the first decides which
            checkpoint is best.
        algorithm: class of the algorithm.
        config: options of the run.
        dataset: an ImageDataset, whole: the images to train on are taken from it here.
        open_extractor: called at the first measurement, on the main process only.
        cache: of the real images' statistics.

    Raises:
        InputError: a metric needs more images than there are to be.
    """

    def __init__(
        self,
        names: Sequence[str],
        algorithm: Any,
        config: TrainConfig,
        dataset: Any,
        open_extractor: Callable[[], Extractor],
        cache: StatisticsCache,
    ) -> None:
        self._names = list(names)
        self._algorithm = algorithm
        self._config = config
        self._training, _ = split_dataset(dataset, config)
        self._data = data_spec(self._training, config.conditional)
        self._options = Options()
        check_counts(names, config.metrics_samples, self._training.originals, self._options)
        self._real: Optional[RealImages] = None
        self._open_extractor = open_extractor
        self._extractor: Optional[Extractor] = None
        self._cache = cache

    def __call__(self, networks: Mapping[str, nn.Layer]) -> dict[str, float]:
        """Name -> value, in the order of the names."""
        if self._extractor is None:
            self._extractor = self._open_extractor()
        if self._real is None:
            self._real = dataset_images(self._training)  # hashes every file of a folder
        images = generated_images(
            self._algorithm, networks, self._config, self._data, self._config.metrics_samples
        )
        found = measure(
            images,
            self._names,
            real=self._real,
            extractor=self._extractor,
            options=self._options,
            batch=_BATCH,
            cache=self._cache,
        )
        return {measurement.metric: measurement.value for measurement in found}
