"""Perceptual distances: LPIPS, ST-LPIPS, which tolerates shifts, and plain distances of features.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (CVPR 2018):

    d(a, b) = Σ_l mean over pixels Σ_c w_lc (â_lc − b̂_lc)²,    â_l = a_l / (|a_l| + 10⁻¹⁰),

a_l the activations of layer l, normalised over channels at each pixel, and w_l ≥ 0 learnt from
people's judgements; w = 1 is the paper's baseline. Ghildyal and Liu, "Shift-tolerant Perceptual
Similarity Metric" (ECCV 2022), lower the resolution by blurring before striding (Zhang, 2019), and
pool with stride 1 before it.
"""

from __future__ import annotations

from typing import Callable, Optional, Union

import paddle
import paddle.nn.functional as F
from paddle import nn

from pygan.errors import InputError
from pygan.ops import upfirdn2d

from .layers import Conv, constant
from .vgg16 import VGG16, VGG16Trunk
from .vgg19 import VGG19

_EPSILON = 1e-10
_TINY = 1e-24  # below this |a|² has no gradient, so that zeros have one that is not NaN
_BINOMIAL = (0.25, 0.5, 0.25)


def blur_down(x: paddle.Tensor) -> paddle.Tensor:
    """[1 2 1] ⊗ [1 2 1] / 16 with stride 2, on images mirrored by two pixels: ⌈H / 2⌉ + 1 rows."""
    taps = paddle.to_tensor(_BINOMIAL, dtype=x.dtype)
    return upfirdn2d(F.pad(x, [2, 2, 2, 2], mode="reflect"), taps, down=2)


def blurred_max_pool(size: int) -> Callable[[paddle.Tensor], paddle.Tensor]:
    """Maximum over size × size at every pixel, then :func:`blur_down`."""
    return lambda x: blur_down(F.max_pool2d(x, size, stride=1))


class AlexNetTrunk(nn.Layer):
    """The five convolutions of AlexNet (Krizhevsky, 2014: one tower), each followed by ReLU.

    Args:
        shift_tolerant: the first convolution has stride 1 and is blurred before its ReLU instead
            of having stride 4; pools are blurred.
    """

    widths = (64, 192, 384, 256, 256)

    def __init__(self, shift_tolerant: bool) -> None:
        super().__init__()
        self._shift_tolerant = shift_tolerant
        self._pool = blurred_max_pool(3) if shift_tolerant else _alexnet_pool
        self.conv1 = Conv(3, 64, 11, stride=1 if shift_tolerant else 4, padding=2)
        self.conv2 = Conv(64, 192, 5, padding=2)
        self.conv3 = Conv(192, 384, 3, padding=1)
        self.conv4 = Conv(384, 256, 3, padding=1)
        self.conv5 = Conv(256, 256, 3, padding=1)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """The activations after each convolution of normalised images [N, 3, H, W]."""
        x = self.conv1(x)
        first = F.relu(blur_down(x) if self._shift_tolerant else x)
        second = F.relu(self.conv2(self._pool(first)))
        third = F.relu(self.conv3(self._pool(second)))
        fourth = F.relu(self.conv4(third))
        return [first, second, third, fourth, F.relu(self.conv5(fourth))]


def _alexnet_pool(x: paddle.Tensor) -> paddle.Tensor:
    return F.max_pool2d(x, 3, stride=2)


class Distance(nn.Layer):
    """A perceptual distance of two images: what LPIPS and distances of features share.

    Attributes:
        name: of the weights; set by :func:`pygan.metrics.extractors.find_perceptual`.
        sha256: of the weights.
        least: the smallest height and width of images.
    """

    name = ""
    sha256 = ""
    least = 16

    def distance(self, a: paddle.Tensor, b: paddle.Tensor) -> paddle.Tensor:
        """Distances [N] of RGB or grey images [N, 3 or 1, H, W] in [−1, 1], float32; differentiable
        in both. Values outside are not limited. Either may be one image for all of the other.

        Raises:
            InputError: the images have other shapes or are too small.
        """
        for name, images in (("a", a), ("b", b)):
            shape = images.shape
            if len(shape) != 4 or shape[1] not in (1, 3):
                raise InputError(
                    f"{name}: images must be [N, 3, H, W] or [N, 1, H, W], got {list(shape)}"
                )
            if min(shape[2:]) < self.least:
                raise InputError(
                    f"{name}: images for {self.name or 'this distance'} must be at least "
                    f"{self.least} × {self.least}, got {shape[2]} × {shape[3]}"
                )
        if a.shape[2:] != b.shape[2:] or (
            a.shape[0] != b.shape[0] and 1 not in (a.shape[0], b.shape[0])
        ):
            raise InputError(
                f"a and b must have one shape, got {list(a.shape)} and {list(b.shape)}"
            )
        return self(_colour(a), _colour(b))


def _colour(images: paddle.Tensor) -> paddle.Tensor:
    images = images.astype("float32")
    return paddle.expand(images, [-1, 3, -1, -1]) if images.shape[1] == 1 else images


class LPIPS(Distance):
    """LPIPS or ST-LPIPS.

    Args:
        trunk: 'vgg' or 'alex'.
        shift_tolerant: ST-LPIPS.
    """

    def __init__(self, trunk: str, shift_tolerant: bool) -> None:
        super().__init__()
        if trunk == "vgg":
            pool = {"pool": blurred_max_pool(2)} if shift_tolerant else {}
            self.trunk: Union[VGG16Trunk, AlexNetTrunk] = VGG16Trunk(**pool)
            self.least = 18 if shift_tolerant else 16
        else:
            self.trunk = AlexNetTrunk(shift_tolerant)
            self.least = 21 if shift_tolerant else 31
        self.mean, self.deviation = constant(self, [3]), constant(self, [3])
        self.heads = nn.ParameterList([constant(self, [width]) for width in self.trunk.widths])

    def forward(self, a: paddle.Tensor, b: paddle.Tensor) -> paddle.Tensor:
        """Distances [N] of images [N, 3, H, W] in [−1, 1]."""
        layers = zip(self._normalised(a), self._normalised(b), self.heads)
        return paddle.add_n([_mean_square(one, other, head) for one, other, head in layers])

    def embed(self, images: paddle.Tensor) -> paddle.Tensor:
        """Vectors [N, D] whose squared distances are the distances of the images [N, 3, H, W]."""
        parts = []
        for features, head in zip(self._normalised(images), self.heads):
            height, width = features.shape[2:]
            weight = paddle.sqrt(head / (height * width)).reshape([1, -1, 1, 1])
            parts.append(paddle.flatten(features * weight, 1))
        return paddle.concat(parts, 1)

    def _normalised(self, images: paddle.Tensor) -> list[paddle.Tensor]:
        axes = [1, 3, 1, 1]
        x = (images - self.mean.reshape(axes)) / self.deviation.reshape(axes)
        return [_unit(features) for features in self.trunk(x)]


class FeatureDistance(Distance):
    """Distances of a network's activations without learnt heads.

    Args:
        network: VGG16 without fully connected layers, or VGG19.
        weights: of its five layers: VGG16's ``relu1_2`` to ``relu5_3``.
        unit: LPIPS's distance with w = 1, times each layer's weight. If not, the mean over channels
            and pixels of |a_l − b_l|, as in the loss of pix2pixHD (Wang et al., 2018, there with
            VGG19 and the first ReLU of each resolution).
        scale: factor of these means; None for the range of the inputs of model libraries' networks
            over that of `network`'s, so that the loss has its usual size with Caffe's weights too.
    """

    def __init__(
        self,
        network: Union[VGG16, VGG19],
        weights: tuple[float, ...],
        unit: bool,
        scale: Optional[float] = None,
    ) -> None:
        super().__init__()
        self.network = network
        self._weights = weights
        self._unit = unit
        usual = float(paddle.mean(network.deviation)) / _USUAL_DEVIATION
        self._scale = usual if scale is None else scale

    def forward(self, a: paddle.Tensor, b: paddle.Tensor) -> paddle.Tensor:
        """Distances [N] of images [N, 3, H, W] in [−1, 1]."""
        taps = zip(self.network((a + 1) * 127.5), self.network((b + 1) * 127.5), self._weights)
        return paddle.add_n([weight * self._layer(one, other) for one, other, weight in taps])

    def _layer(self, one: paddle.Tensor, other: paddle.Tensor) -> paddle.Tensor:
        if self._unit:
            return _mean_square(_unit(one), _unit(other), None)
        # Channels first: Paddle adds float32 one by one, and loses 1e-4 over a million numbers.
        return self._scale * paddle.mean(paddle.mean(paddle.abs(one - other), 1), [1, 2])


_USUAL_DEVIATION = 255 * (0.229 + 0.224 + 0.225) / 3


def _mean_square(
    one: paddle.Tensor, other: paddle.Tensor, head: Optional[paddle.Tensor]
) -> paddle.Tensor:
    square = paddle.square(one - other)
    if head is not None:
        square = square * head.reshape([1, -1, 1, 1])
    return paddle.mean(paddle.sum(square, 1), [1, 2])


def _unit(features: paddle.Tensor) -> paddle.Tensor:
    """Features divided by their length over the channels."""
    square = paddle.sum(paddle.square(features), 1, keepdim=True)
    return features / (paddle.sqrt(paddle.clip(square, min=_TINY)) + _EPSILON)
