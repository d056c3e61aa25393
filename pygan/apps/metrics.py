"""Measuring runs, files of generators and folders of images; and runs while they train."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Optional

import paddle

from pygan.errors import InputError
from pygan.metrics.cache import StatisticsCache, default_folder
from pygan.metrics.evaluator import MetricsEvaluator
from pygan.metrics.measure import Measurement
from pygan.metrics.names import OF_FEATURES, parse_metrics
from pygan.metrics.sources import Images, generated_images, open_images
from pygan.training.config import TrainConfig

GENERATED = 50_000
"""Images to draw of a generator unless told otherwise, as in the literature."""

RESULTS = "measurements.jsonl"
"""Results in the folder of a run; ``metrics.jsonl`` holds what was measured while it trained."""

_PREFERRED_DISTANCES = ("lpips-vgg", "stlpips-vgg", "lpips-alex", "stlpips-alex")


def is_model(source: Path) -> bool:
    """Whether this is a run, a checkpoint or a file of weights rather than images."""
    if source.is_file():
        return source.suffix == ".safetensors"
    return any((source / name).exists() for name in ("config.yaml", "checkpoints", "manifest.json"))


def open_source(
    source: str,
    samples: Optional[int],
    *,
    seed: int = 0,
    truncation: float = 1.0,
    noise: str = "random",
) -> tuple[Images, Optional[str]]:
    """The images to judge and, of a model, the dataset that it was trained on.

    Args:
        source: a run, a checkpoint, ``G_ema.safetensors``, or images as
            :func:`pygan.metrics.sources.open_images` takes them.
        samples: images; None for 50,000 of a generator and for all of a folder.
        seed: of the images drawn, or of those chosen.
        truncation: psi of the truncation trick.
        noise: 'random', 'const' or 'none'.

    Raises:
        InputError: nothing is there, or it is damaged.
    """
    path = Path(source)
    if not is_model(path):
        return open_images(source, samples, seed), None
    from pygan.apps.sample import load_model

    model = load_model(path)
    config, networks = _in_full_precision(model.algorithm, model.config, model.data, model.networks)
    images = generated_images(
        model.algorithm,
        networks,
        config,
        model.data,
        GENERATED if samples is None else samples,
        seed=seed,
        truncation=truncation,
        noise=noise,
        record={"model": source, "algorithm": model.algorithm.name, "kimg": model.nimg / 1000},
    )
    return images, model.config.data or None


def _in_full_precision(
    algorithm: Any, config: TrainConfig, data: Any, networks: dict[str, Any]
) -> tuple[TrainConfig, dict[str, Any]]:
    """The networks in float32: the steps of a path length would be lost in half precision."""
    if getattr(config, "half_type", None) is None:
        return config, networks
    config = dataclasses.replace(config, precision="float32")  # type: ignore[call-arg]
    wide = {}
    for name, network in networks.items():
        wide[name] = algorithm.build(name, config, data)
        wide[name].set_state_dict(network.state_dict())
        wide[name].eval()
    return config, wide


def choose_extractor(name: str) -> str:
    """The name, or that of the first extractor whose weights are installed if it is empty.

    Raises:
        InputError: the name is unknown or its weights are not installed; the message tells how to
            install them.
    """
    from pygan.metrics.extractors import EXTRACTORS, installed
    from pygan.metrics.extractors.store import find, known

    if name and name not in EXTRACTORS:
        raise InputError(f"extractor: {name!r} is unknown; choose from: {', '.join(EXTRACTORS)}")
    if name:
        if find(name) is None:
            raise InputError(f"the weights {name!r} are not installed: {known(name).remedy()}")
        return name
    have = [extractor for extractor in EXTRACTORS if extractor in installed()]
    if not have:
        raise InputError(
            "metrics need a network that looks at images, and none is installed; see "
            "'pygan weights list'"
        )
    return have[0]


def choose_distance(name: str) -> str:
    """The name, or that of the first perceptual distance that is installed if it is empty.

    Raises:
        InputError: none is installed.
    """
    from pygan.metrics.extractors import PERCEPTUAL, installed

    if name:
        return name
    have = [known for known in (*_PREFERRED_DISTANCES, *PERCEPTUAL) if known in installed()]
    if not have:
        raise InputError(
            "path lengths need a perceptual distance, and none is installed; see "
            "'pygan weights list'"
        )
    return have[0]


def make_evaluator(algorithm: Any, config: TrainConfig, dataset: Any) -> Optional[MetricsEvaluator]:
    """What measures a run while it trains; None without ``--metrics``.

    Args:
        algorithm: class of the algorithm.
        config: options of the run.
        dataset: an ImageDataset, whole.

    Raises:
        InputError: a metric is unknown, or no extractor is installed.
    """
    if not config.metrics:
        return None
    names = parse_metrics(config.metrics, OF_FEATURES)
    extractor = choose_extractor(config.metrics_extractor)

    def open_extractor() -> Any:
        from pygan.metrics.extractors import find_extractor

        return find_extractor(extractor)

    cache = StatisticsCache(default_folder())
    return MetricsEvaluator(names, algorithm, config, dataset, open_extractor, cache)


def to_lines(results: Iterable[Measurement], version: str) -> list[str]:
    """A line of JSON per result.

    Args:
        results: the measurements.
        version: of pygan.
    """
    known = {"pygan": version, "device": paddle.device.get_device()}
    return [json.dumps({**found.to_dict(), **known}) for found in results]


def append_lines(path: Path, lines: Iterable[str]) -> None:
    """Adds lines to a file.

    Raises:
        InputError: it cannot be written.
    """
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise InputError(f"--out: {path} cannot be written ({error.strerror})") from None


def warnings_of(results: Iterable[Measurement]) -> list[str]:
    """What the user should know of results that say less than they seem to."""
    warnings = []
    for found in results:
        protocol = found.protocol
        counts = [protocol[side]["count"] for side in ("real", "fake") if side in protocol]
        if "ddof" in protocol and min(counts) <= protocol["dim"]:
            warnings.append(
                f"{found.metric} of {min(counts)} images with {protocol['dim']} features each is "
                "biased upwards by their number; compare it at equal numbers only, or use kid"
            )
        if "attributes" in protocol and protocol["keep"] * counts[-1] < 4 * protocol["dim"]:
            warnings.append(
                f"{found.metric}: a plane separates any labels of {counts[-1]} codes of "
                f"{protocol['dim']} numbers, or nearly so; draw more images with --samples"
            )
    return warnings
