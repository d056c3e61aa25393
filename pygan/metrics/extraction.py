"""Features of images: through an extractor, batch by batch, into statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, Optional, Protocol

import numpy as np

from pygan.errors import InputError
from pygan.metrics.cache import StatisticsCache, statistics_key
from pygan.metrics.sources import Images, RealImages
from pygan.metrics.statistics import FeatureCollector, FeatureStatistics

Progress = Callable[[str, int, int], None]
"""Called with what is being looked at, images done and images in all."""


class Extractor(Protocol):
    """What metrics need of :class:`pygan.metrics.extractors.extractor.FeatureExtractor`."""

    name: str
    sha256: str
    resize: str
    dims: dict[str, int]

    def __call__(self, images: Any, outputs: Any) -> dict[str, np.ndarray]:
        """Outputs [N, dim] of uint8 images [N, 1 or 3, H, W]."""
        ...


def features_output(extractor: Extractor) -> str:
    """The output that images are compared by."""
    return next(iter(extractor.dims))


def logits_output(extractor: Extractor) -> str:
    """The output with a number per class, before the softmax.

    Raises:
        InputError: the extractor knows no classes.
    """
    for name in ("logits_unbiased", "logits"):  # the first is what Inception's score is defined by
        if name in extractor.dims:
            return name
    raise InputError(
        f"is: the extractor {extractor.name} knows no classes; take one that does, such as "
        "inception-2015"
    )


def extract(
    images: Images,
    extractor: Extractor,
    outputs: Mapping[str, bool],
    batch: int,
    progress: Optional[Progress] = None,
) -> dict[str, FeatureStatistics]:
    """Statistics of each output.

    Args:
        images: what to look at.
        extractor: what to look with.
        outputs: name -> whether to keep the features themselves, which take
            ``4 * count * dim`` bytes.
        batch: images at a time.
        progress: is told how far it is.
    """
    what = "real images" if isinstance(images, RealImages) else "generated images"
    collectors = {name: FeatureCollector(keep) for name, keep in outputs.items()}
    done = 0
    for pixels in images.batches(batch):
        found = extractor(pixels, list(outputs))
        for name, collector in collectors.items():
            collector.add(found[name])
        done += len(pixels)
        if progress is not None:
            progress(what, done, images.count)
    return {name: collector.result() for name, collector in collectors.items()}


def real_statistics(
    images: RealImages,
    extractor: Extractor,
    keep: bool,
    batch: int,
    cache: StatisticsCache,
    progress: Optional[Progress] = None,
) -> FeatureStatistics:
    """Statistics of the features of real images, from the cache if they are there.

    Args:
        images: the real images.
        extractor: what to look with.
        keep: whether the features themselves are needed.
        batch: images at a time.
        cache: where they are kept.
        progress: is told how far it is.
    """
    output = features_output(extractor)
    key = statistics_key(images.key, extractor.name, extractor.sha256, output, extractor.resize)
    found = cache.load(key, keep)
    if found is None:
        found = extract(images, extractor, {output: keep}, batch, progress)[output]
        cache.store(key, found)
    return found
