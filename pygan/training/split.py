"""Which images are trained on, and which are kept out."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from pygan.errors import InputError
from pygan.training.config import TrainConfig
from pygan.training.rng import stream


def held_out_count(total: int, validation: float) -> int:
    """How many of ``total`` images ``validation`` holds out: a count, or a fraction below 1."""
    return round(validation * total) if validation < 1 else int(validation)


def split_dataset(dataset: Any, config: TrainConfig) -> tuple[Any, Optional[Any]]:
    """The images to train on and those held out; None where nothing is held out.

    The seed orders the images once: validation takes the first of this order, the subset those that
    follow. So the held-out images do not depend on the size of the subset, and with mirroring an
    image and its mirror image are on the same side.

    Args:
        dataset: an ImageDataset.
        config: ``subset``, ``validation`` and ``seed`` count.

    Raises:
        InputError: there are not so many images.
    """
    total = dataset.originals if config.subset or config.validation else len(dataset)
    held_out = config.validation
    count = held_out_count(total, held_out)
    if held_out > 0 and not 0 < count < total:
        raise InputError(
            f"--validation: {held_out:g} of {total} images leaves {count} to hold out and "
            f"{total - count} to train on; both must be at least 1"
        )
    if config.subset is None and not count:
        return dataset, None
    # random_raw and a stable sort: the same choice with every version of numpy.
    keys = stream(config.seed, "split").random_raw(total)
    order = np.argsort(keys, kind="stable")
    wanted = total - count if config.subset is None else config.subset
    if wanted > total - count:
        rest = f" besides the {count} for validation" if count else ""
        raise InputError(f"--subset: {wanted} images, but there are only {total - count}{rest}")
    training = dataset.take(np.sort(order[count : count + wanted]).tolist())
    validation = dataset.take(np.sort(order[:count]).tolist()) if count else None
    return training, validation
