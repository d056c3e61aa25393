"""Measuring images: what ``pygan metrics`` and training do.

The names are explained in :mod:`pygan.metrics.names`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from pygan.errors import InputError
from pygan.metrics.attributes import attribute_logits, fit_attributes
from pygan.metrics.cache import StatisticsCache
from pygan.metrics.extraction import (
    Extractor,
    Progress,
    extract,
    features_output,
    logits_output,
    real_statistics,
)
from pygan.metrics.fid import fid
from pygan.metrics.inception_score import inception_score
from pygan.metrics.kid import kid
from pygan.metrics.names import (
    OF_FEATURES,
    feature_metric_name,
    path_length_name,
    path_length_of,
)
from pygan.metrics.path_length import perceptual_path_length
from pygan.metrics.precision_recall import precision_recall
from pygan.metrics.separability import linear_separability
from pygan.metrics.sources import GeneratedImages, Images, RealImages
from pygan.metrics.statistics import FeatureStatistics

_KEEP = 0.5  # share of images that linear separability keeps


@dataclass(frozen=True)
class Options:
    """Options of the formulas.

    Attributes:
        ddof: of FID's covariances: 1, or 0 as in StyleGAN2's programs.
        kid_subsets: subsets that KID is averaged over.
        kid_subset_size: images per subset; None for 1000 or as many as there are.
        neighbours: k of precision and recall.
        splits: of the inception score.
        shuffle_seed: of the inception score's order; None keeps the order.
        epsilon: step of path lengths.

    Raises:
        InputError: one is out of range.
    """

    ddof: int = 1
    kid_subsets: int = 100
    kid_subset_size: Optional[int] = None
    neighbours: int = 3
    splits: int = 10
    shuffle_seed: Optional[int] = 2020
    epsilon: float = 1e-4

    def __post_init__(self) -> None:
        size = self.kid_subset_size
        for name, legal, what in (
            ("ddof", self.ddof in (0, 1), "0 or 1"),
            ("kid_subsets", self.kid_subsets >= 1, "at least 1"),
            ("kid_subset_size", size is None or size >= 2, "at least 2, or None"),
            ("neighbours", self.neighbours >= 1, "at least 1"),
            ("splits", self.splits >= 1, "at least 1"),
            ("epsilon", 0 < self.epsilon < 1, "between 0 and 1"),
        ):
            if not legal:
                raise InputError(f"{name}: must be {what}, got {getattr(self, name)!r}")


@dataclass(frozen=True)
class Measurement:
    """One number with its protocol.

    Attributes:
        metric: its name.
        value: the number.
        protocol: all that it depends on, as JSON values.
    """

    metric: str
    value: float
    protocol: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As a line of JSON."""
        return {"metric": self.metric, "value": self.value, **self.protocol}


def measure(
    images: Images,
    names: Sequence[str],
    *,
    real: Optional[RealImages] = None,
    extractor: Optional[Extractor] = None,
    resize: Optional[str] = None,
    distance: Optional[Any] = None,
    options: Optional[Options] = None,
    batch: int = 16,
    cache: Optional[StatisticsCache] = None,
    progress: Optional[Progress] = None,
) -> list[Measurement]:
    """Measures images.

    Args:
        images: what to judge: generated images, or files of such.
        names: see :func:`pygan.metrics.names.parse_metrics`.
        real: what to compare with.
        extractor: makes features of images; not needed for path lengths.
        resize: how images reach the extractor's size; None for its own way.
        distance: perceptual distance of path lengths, with ``distance(a, b)``, ``name`` and
            ``sha256``.
        options: of the formulas.
        batch: images at a time; it makes no difference but for rounding.
        cache: of the statistics of the real images.
        progress: is told how far it is.

    Returns:
        The results in the order of the names.

    Raises:
        InputError: a metric lacks what it needs, or there are too few images.
    """
    if batch < 1:
        raise InputError(f"batch: must be at least 1, got {batch}")
    _check_needs(names, images, real, extractor, distance)
    options = Options() if options is None else options
    check_counts(names, images.count, None if real is None else real.count, options)
    cache = StatisticsCache(None) if cache is None else cache
    results: dict[str, list[Measurement]] = {}
    if extractor is not None:
        own, extractor.resize = extractor.resize, resize or extractor.resize
        try:
            look = _Look(images, real, extractor, own, options, batch, cache, progress)
            results.update(look.at_features([name for name in names if name in OF_FEATURES]))
            if "ls" in names:
                results["ls"] = look.at_attributes()
        finally:
            extractor.resize = own
    for name in names:
        if path_length_of(name) is not None:
            results[name] = [_path_length(name, images, distance, options, batch, progress)]
    return [measurement for name in names for measurement in results[name]]


def _check_needs(
    names: Sequence[str],
    images: Images,
    real: Optional[RealImages],
    extractor: Optional[Extractor],
    distance: Optional[Any],
) -> None:
    for name in names:
        path_length = path_length_of(name) is not None
        if name not in (*OF_FEATURES, "ls") and not path_length:
            raise InputError(f"there is no metric {name!r}")
        if not path_length and name != "is" and real is None:
            raise InputError(f"{name} compares with real images: name them with --against")
        if not path_length and extractor is None:
            raise InputError(f"{name} needs an extractor of features")
        if name == "is" and extractor is not None:
            logits_output(extractor)
        if path_length and distance is None:
            raise InputError(f"{name} needs a perceptual distance")
        if name not in OF_FEATURES and getattr(images, "generator", None) is None:
            raise InputError(
                f"{name} measures the latent space w of a generator such as StyleGAN2's; files "
                "and other models have none"
            )
        if name == "ls" and real is not None and real.labels is None:
            raise InputError("ls: the real images need labels: the classes are the attributes")


def check_counts(names: Sequence[str], fake: int, real: Optional[int], options: Options) -> None:
    """Raises InputError unless there are images enough, before hours of drawing them.

    Args:
        names: of the metrics.
        fake: number of images to judge.
        real: number of real images.
        options: of the formulas.
    """
    fewest = fake if real is None else min(fake, real)
    for name, count, least, why in (
        ("fid", fewest, options.ddof + 1, "a covariance"),
        ("kid", fewest, options.kid_subset_size or 2, "a subset"),
        ("pr", fewest, options.neighbours + 1, f"the search for {options.neighbours} neighbours"),
        ("is", fake, options.splits, f"a division in {options.splits} splits"),
    ):
        if name in names and count < least:
            raise InputError(f"{name}: {why} needs at least {least} images, there are {count}")


class _Look:
    """A look at images through one extractor."""

    def __init__(
        self,
        images: Images,
        real: Optional[RealImages],
        extractor: Extractor,
        own_resize: str,
        options: Options,
        batch: int,
        cache: StatisticsCache,
        progress: Optional[Progress],
    ) -> None:
        self._images = images
        self._real = real
        self._extractor = extractor
        self._own_resize = own_resize
        self._options = options
        self._batch = batch
        self._cache = cache
        self._progress = progress

    def at_features(self, names: Sequence[str]) -> dict[str, list[Measurement]]:
        """All metrics of ``OF_FEATURES``, with the images drawn once."""
        keep = bool({"kid", "pr"} & set(names))
        output, logits = features_output(self._extractor), ""
        outputs = {output: keep} if set(names) - {"is"} else {}
        if "is" in names:
            logits = logits_output(self._extractor)
            outputs[logits] = True
        if not outputs:
            return {}
        real = self._real_statistics(keep) if output in outputs else None
        fake = extract(self._images, self._extractor, outputs, self._batch, self._progress)
        results = {}
        for name in names:
            if name == "is":
                results[name] = self._inception_score(fake[logits], logits)
            elif real is not None:
                results[name] = self._compare(name, real, fake[output])
        return results

    def at_attributes(self) -> list[Measurement]:
        """Linear separability in z and w."""
        images, labels = self._images, None if self._real is None else self._real.labels
        assert isinstance(images, GeneratedImages)
        assert labels is not None
        real = self._real_statistics(keep=True)
        attributes = fit_attributes(real.require_features("ls"), labels)
        z, w, logits = attribute_logits(
            images, self._extractor, attributes, self._batch, self._progress
        )
        results = []
        for name, codes in (("ls_z", z), ("ls_w", w)):
            found = linear_separability(codes=codes, logits=logits, keep=_KEEP)
            known = {
                "attributes": attributes.classes,
                "entropies": found.entropies.tolist(),
                "keep": _KEEP,
                "dim": codes.shape[1],
            }
            results.append(self._result(name, found.score, known))
        return results

    def _real_statistics(self, keep: bool) -> FeatureStatistics:
        assert self._real is not None
        return real_statistics(
            self._real, self._extractor, keep, self._batch, self._cache, self._progress
        )

    def _compare(
        self, name: str, real: FeatureStatistics, fake: FeatureStatistics
    ) -> list[Measurement]:
        options = self._options
        if name == "fid":
            value = fid(real=real, fake=fake, ddof=options.ddof)
            return [self._result("fid", value, {"ddof": options.ddof, "dim": real.dim})]
        x, y = real.require_features(name), fake.require_features(name)
        if name == "kid":
            found = kid(
                real=x, fake=y, subsets=options.kid_subsets, subset_size=options.kid_subset_size
            )
            known = {
                "std": found.std,
                "subsets": options.kid_subsets,
                "subset_size": found.subset_size,
            }
            return [self._result("kid", found.mean, known)]
        both = precision_recall(real=x, fake=y, k=options.neighbours)
        k = {"neighbours": options.neighbours}
        return [
            self._result("precision", both.precision, k),
            self._result("recall", both.recall, k),
        ]

    def _inception_score(self, logits: FeatureStatistics, output: str) -> list[Measurement]:
        options = self._options
        found = inception_score(
            logits=logits.require_features("is"),
            splits=options.splits,
            shuffle_seed=options.shuffle_seed,
        )
        known = {"std": found.std, "splits": options.splits, "shuffle_seed": options.shuffle_seed}
        return [self._result("is", found.mean, known, output)]

    def _result(
        self, metric: str, value: float, known: dict[str, Any], logits: Optional[str] = None
    ) -> Measurement:
        extractor = self._extractor
        protocol: dict[str, Any] = {
            **known,
            "extractor": extractor.name,
            "sha256": extractor.sha256,
            "output": logits or features_output(extractor),
            "resize": extractor.resize,
        }
        if logits is None and self._real is not None:
            protocol["real"] = self._real.record
        name = feature_metric_name(metric, extractor, self._own_resize)
        return Measurement(name, value, {**protocol, **_judged(self._images)})


def _judged(images: Images) -> dict[str, Any]:
    if isinstance(images, RealImages):
        return {"fake": images.record}
    return {"fake": {**images.record, "count": images.count}, "seed": images.seed}


def _path_length(
    name: str,
    images: Images,
    distance: Any,
    options: Options,
    batch: int,
    progress: Optional[Progress],
) -> Measurement:
    which = path_length_of(name)
    assert which is not None
    assert isinstance(images, GeneratedImages)
    found = perceptual_path_length(
        images.generator,
        distance.distance,
        **which,
        epsilon=options.epsilon,
        samples=images.count,
        batch=batch,
        seed=images.seed,
        data=images.data,
        progress=progress,
    )
    protocol = {
        **which,
        "epsilon": options.epsilon,
        "distance": distance.name,
        "sha256": distance.sha256,
        **_judged(images),
    }
    return Measurement(path_length_name(**which, distance=distance.name), found.mean, protocol)
