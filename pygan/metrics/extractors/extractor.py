"""An extractor of features: images as a metric has them, to numbers as it compares them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import paddle

from pygan.errors import InputError

from .layers import set_weights
from .resize import METHODS, resize
from .store import Loaded

# Images that pass the network at once on a CPU, of however many are given: what they leave between
# layers stays in the caches, which saves EfficientNet a sixth of its time, and memory is bounded.
_CPU_BATCH = 8


class Network(Protocol):
    """A network that images of one size enter.

    Attributes:
        input_size: their height and width.
        dims: width of each output of `features`.
    """

    input_size: int
    dims: dict[str, int]

    def features(self, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        """Outputs [N, dim] of RGB images [N, 3, input_size, input_size], 0..255."""
        ...


class FeatureExtractor:
    """A network with its weights and its way of resizing.

    Attributes:
        name: of the network and its weights.
        sha256: of the weights.
        resize: how images reach the network's size: one of :data:`.resize.METHODS`. May be
            changed; features of different methods must not be compared.
        dims: name -> width of each output; the first is what the network is usually taken for.
    """

    def __init__(self, name: str, loaded: Loaded, network: Any, resize: str) -> None:
        set_weights(network, loaded.arrays, loaded.source)
        network.eval()
        self._network: Network = network
        self.name = name
        self.sha256 = loaded.sha256
        self.resize = resize
        self.dims: dict[str, int] = dict(network.dims)

    def __call__(self, images: Any, outputs: Sequence[str]) -> dict[str, np.ndarray]:
        """The outputs asked for, each float32 [N, dim].

        Args:
            images: uint8 [N, 3, H, W] RGB or [N, 1, H, W] grey, numpy's or Paddle's, of any size.
            outputs: names of ``dims``.

        Raises:
            InputError: the images are others, or an output is unknown.
        """
        array = images.numpy() if isinstance(images, paddle.Tensor) else np.asarray(images)
        if array.dtype != np.uint8 or array.ndim != 4 or array.shape[1] not in (1, 3):
            raise InputError(
                f"images: must be uint8 [N, 3, H, W] or [N, 1, H, W], got {array.dtype} "
                f"{list(array.shape)}; put transparent images on a background first"
            )
        if 0 in array.shape[2:]:
            raise InputError(f"images: have no pixels, {list(array.shape)}")
        if isinstance(outputs, str):
            outputs = [outputs]
        unknown = [name for name in outputs if name not in self.dims]
        if unknown:
            raise InputError(
                f"outputs: {self.name} has no {unknown[0]!r}; choose from: {', '.join(self.dims)}"
            )
        if self.resize not in METHODS:
            raise InputError(f"resize: {self.resize!r}; choose from: {', '.join(METHODS)}")
        if len(array) == 0:
            return {name: np.zeros([0, self.dims[name]], np.float32) for name in outputs}
        step = _CPU_BATCH if paddle.get_device() == "cpu" else len(array)
        parts = [self._run(array[i : i + step], outputs) for i in range(0, len(array), step)]
        return {name: np.concatenate([part[name] for part in parts]) for name in outputs}

    @paddle.no_grad()
    def _run(self, array: np.ndarray, outputs: Sequence[str]) -> dict[str, np.ndarray]:
        pixels = paddle.to_tensor(array).astype("float32")
        if array.shape[1] == 1:
            pixels = paddle.expand(pixels, [-1, 3, -1, -1])
        found = self._network.features(resize(pixels, self._network.input_size, self.resize))
        return {name: found[name].numpy() for name in outputs}
