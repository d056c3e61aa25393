"""Features of instances to choose from where there is no image to take them from.

Wang et al. 2018, "High-resolution image synthesis and semantic manipulation with conditional GANs",
section 3.4: the features of every class are clustered after training, and each instance of a new
label map gets the centre of a random cluster of its class. Until then there is one centre for each
class, the running mean of its pixels' features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import paddle
from paddle import nn

_MOMENTUM = 0.01  # of a batch in the running means


class FeatureBank(nn.Layer):
    """The centres of each class.

    Args:
        label_count: classes.
        clusters: most centres of a class.
        features: numbers per instance.

    Buffers: ``centres`` float32 [classes, clusters, features]; ``counts`` int32 [classes], how many
    of a class are in use.
    """

    def __init__(self, label_count: int, clusters: int, features: int) -> None:
        super().__init__()
        self.register_buffer("centres", paddle.zeros([label_count, clusters, features]))
        self.register_buffer("counts", paddle.zeros([label_count], dtype="int32"))

    @paddle.no_grad()
    def sums(self, features: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
        """[classes, features + 1]: sums of the features over the pixels of a class, and pixels.

        Args:
            features: [N, F, H, W].
            labels: int [N, H, W]; -1 is none.
        """
        classes = self.centres.shape[0]
        values = features.transpose([0, 2, 3, 1]).reshape([-1, features.shape[1]])
        values = paddle.concat([values, paddle.ones([values.shape[0], 1], values.dtype)], axis=1)
        index = labels.reshape([-1])
        index = paddle.where(index < 0, paddle.full_like(index, classes), index).unsqueeze(1)
        empty = paddle.zeros([classes + 1, values.shape[1]], values.dtype)
        return paddle.scatter_nd_add(empty, index, values)[:classes]

    @paddle.no_grad()
    def follow(self, sums: paddle.Tensor) -> None:
        """Moves the one centre of each class that is there towards its mean."""
        count = sums[:, -1:]
        there = (count > 0).astype("float32")
        mean = sums[:, :-1] / paddle.clip(count, min=1e-6)
        known = (self.counts > 0).astype("float32").unsqueeze(1)
        step = there * (known * _MOMENTUM + 1 - known)
        first = self.centres[:, 0] * (1 - step) + mean * step
        rest = self.centres[:, 1:]
        paddle.assign(paddle.concat([first.unsqueeze(1), rest], axis=1), output=self.centres)
        counts = paddle.maximum(self.counts, there.squeeze(1).astype("int32"))
        paddle.assign(counts, output=self.counts)

    def set_centres(self, centres: Sequence[np.ndarray]) -> None:
        """Sets the centres of every class, each [k, features] with k from 0 to ``clusters``."""
        values, counts = self.centres.numpy() * 0, self.counts.numpy() * 0
        for label, found in enumerate(centres):
            values[label, : len(found)], counts[label] = found, len(found)
        self.centres.set_value(values)
        self.counts.set_value(counts)

    def choose(
        self, labels: paddle.Tensor, instances: paddle.Tensor, seeds: Sequence[int]
    ) -> paddle.Tensor:
        """Features [N, F, H, W]: for every instance, a random centre of its class.

        The class of an instance is that of its middle pixel in reading order. A class without
        centres, and no label, have zeros.

        Args:
            labels: int [N, H, W].
            instances: int [N, H, W].
            seeds: one per image.
        """
        centres, counts = self.centres.numpy(), self.counts.numpy()
        ids, classes = instances.numpy(), labels.numpy()
        features = np.zeros((*ids.shape, centres.shape[2]), np.float32)
        for n, seed in enumerate(seeds):
            random = np.random.RandomState(seed)
            for label, pixels in instance_pixels(classes[n], ids[n]):
                draw = random.random_sample()
                if label >= 0 and counts[label] > 0:
                    features[n][pixels] = centres[label, int(draw * counts[label])]
        return paddle.to_tensor(np.ascontiguousarray(features.transpose(0, 3, 1, 2)))


def instance_pixels(
    labels: np.ndarray, instances: np.ndarray
) -> list[tuple[int, tuple[np.ndarray, np.ndarray]]]:
    """(class, (rows, columns)) of every instance of a map, by increasing id.

    The class is that of the middle one of its pixels in reading order.
    """
    flat = instances.reshape(-1)
    order = np.argsort(flat, kind="stable")
    starts = np.flatnonzero(np.diff(flat[order], prepend=flat[order[0]] - 1))
    found = []
    for pixels in np.split(order, starts[1:]):
        label = int(labels.reshape(-1)[pixels[len(pixels) // 2]])
        found.append((label, divmod(pixels, instances.shape[1])))
    return found
