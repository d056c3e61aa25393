"""Attributes of images for linear separability: the classes of a labelled dataset.

The published values use 40 classifiers of faces. Where there are labels there is another way: one
linear SVM per class, on an extractor's features of the real images, tells how surely a generated
image is of this class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
import paddle

from pygan.errors import InputError
from pygan.metrics.extraction import Extractor, Progress, features_output
from pygan.metrics.linear_svm import LinearSvm, fit_linear_svm
from pygan.metrics.sources import GeneratedImages, to_uint8
from pygan.training.rng import StepRandom

MOST = 40
"""Attributes at most, as in the paper: the most frequent classes."""


@dataclass(frozen=True)
class Attributes:
    """Linear classifiers of features.

    Attributes:
        classes: the class that each recognises.
        mean: of the features of the real images [d].
        scale: their deviations [d].
        planes: one per class, on standardised features.
    """

    classes: list[int]
    mean: np.ndarray
    scale: np.ndarray
    planes: list[LinearSvm]

    def logits(self, features: np.ndarray) -> np.ndarray:
        """[N, attributes] of features [N, d]: positive where the class is seen."""
        x = (features - self.mean) / self.scale
        return np.stack([plane.decide(x) for plane in self.planes], axis=1)


def fit_attributes(features: np.ndarray, labels: np.ndarray) -> Attributes:
    """Fits a classifier per class, of two classes only one.

    Args:
        features: of real images [N, d].
        labels: their classes [N].

    Raises:
        InputError: all images are of one class.
    """
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise InputError("ls: the real images are all of one class; attributes need two or more")
    frequent = sorted(zip(-counts, classes))[: 1 if len(classes) == 2 else MOST]
    chosen = sorted(int(label) for _, label in frequent)
    mean = features.mean(axis=0, dtype=np.float64)
    scale = features.std(axis=0, dtype=np.float64)
    scale[scale == 0] = 1
    x = (features - mean) / scale
    # Of many features and few images any labels can be separated; weights are to stay small.
    planes = [fit_linear_svm(x, labels == label, c=1 / features.shape[1]) for label in chosen]
    return Attributes(chosen, mean, scale, planes)


@paddle.no_grad()
def attribute_logits(
    images: GeneratedImages,
    extractor: Extractor,
    attributes: Attributes,
    batch: int,
    progress: Optional[Progress] = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes z [N, z_dim] and w [N, w_dim] of images and their attributes [N, A].

    Of several copies of w, the last is taken.
    """
    generator: Any = images.generator
    output = features_output(extractor)
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for start in range(0, images.count, batch):
        random = StepRandom(images.seed, "ls", 0, range(start, min(start + batch, images.count)))
        z = random.normal("z", [generator.z_dim])
        ws = generator.mapping(paddle.to_tensor(z), images.data.random_labels(random))
        maps = random.normals("noise", [(1, h, w) for h, w in generator.synthesis.noise_shapes])
        drawn = generator.synthesis(ws, noise=[paddle.to_tensor(part) for part in maps])
        features = extractor(to_uint8(drawn), [output])[output]
        parts.append((z, ws[:, -1].numpy(), attributes.logits(features)))
        if progress is not None:
            progress("images for ls", start + len(z), images.count)
    z, w, logits = (np.concatenate(part) for part in zip(*parts))
    return z, w, logits
