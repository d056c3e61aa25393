"""Inception as published with TensorFlow in December 2015: the network of FID, KID and IS.

Szegedy et al., "Rethinking the Inception Architecture for Computer Vision" (CVPR 2016), in the
frozen graph ``inception-2015-12-05`` that Heusel et al. (2017) defined FID with. It differs from
the Inception v3 of model libraries: 1008 classes, images scaled by (x − 128) / 128, average pools
that leave the padding out of the mean, and a maximum pool in the pool branch of the last block.

Layers are named as in the weights' official files, so that a converter only folds the batch
normalisation (ε = 10⁻³) into each convolution.
"""

from __future__ import annotations

from typing import ClassVar

import paddle
import paddle.nn.functional as F
from paddle import nn

from .layers import Conv, Linear


class _ConvReLU(Conv):
    """Convolution (batch normalisation folded) and ReLU."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return F.relu(super().forward(x))


def _average(x: paddle.Tensor) -> paddle.Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, exclusive=True)


class _A(nn.Layer):
    """Blocks 5b to 5d, 35 × 35: figure 5 of the paper with one 5 × 5."""

    def __init__(self, fan_in: int, pool: int) -> None:
        super().__init__()
        self.branch1x1 = _ConvReLU(fan_in, 64, 1)
        self.branch5x5_1 = _ConvReLU(fan_in, 48, 1)
        self.branch5x5_2 = _ConvReLU(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = _ConvReLU(fan_in, 64, 1)
        self.branch3x3dbl_2 = _ConvReLU(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = _ConvReLU(96, 96, 3, padding=1)
        self.branch_pool = _ConvReLU(fan_in, pool, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return paddle.concat([self.branch1x1(x), five, three, self.branch_pool(_average(x))], 1)


class _B(nn.Layer):
    """Block 6a, to 17 × 17: figure 10."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3 = _ConvReLU(288, 384, 3, stride=2)
        self.branch3x3dbl_1 = _ConvReLU(288, 64, 1)
        self.branch3x3dbl_2 = _ConvReLU(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = _ConvReLU(96, 96, 3, stride=2)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return paddle.concat([self.branch3x3(x), double, F.max_pool2d(x, 3, stride=2)], 1)


class _C(nn.Layer):
    """Blocks 6b to 6e, 17 × 17: figure 6, 7 × 7 as 1 × 7 and 7 × 1."""

    def __init__(self, width: int) -> None:
        super().__init__()

        def row(fan_in: int, fan_out: int) -> _ConvReLU:
            return _ConvReLU(fan_in, fan_out, (1, 7), padding=(0, 3))

        def column(fan_in: int, fan_out: int) -> _ConvReLU:
            return _ConvReLU(fan_in, fan_out, (7, 1), padding=(3, 0))

        self.branch1x1 = _ConvReLU(768, 192, 1)
        self.branch7x7_1 = _ConvReLU(768, width, 1)
        self.branch7x7_2 = row(width, width)
        self.branch7x7_3 = column(width, 192)
        self.branch7x7dbl_1 = _ConvReLU(768, width, 1)
        self.branch7x7dbl_2 = column(width, width)
        self.branch7x7dbl_3 = row(width, width)
        self.branch7x7dbl_4 = column(width, width)
        self.branch7x7dbl_5 = row(width, 192)
        self.branch_pool = _ConvReLU(768, 192, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return paddle.concat([self.branch1x1(x), seven, double, self.branch_pool(_average(x))], 1)


class _D(nn.Layer):
    """Block 7a, to 8 × 8."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1 = _ConvReLU(768, 192, 1)
        self.branch3x3_2 = _ConvReLU(192, 320, 3, stride=2)
        self.branch7x7x3_1 = _ConvReLU(768, 192, 1)
        self.branch7x7x3_2 = _ConvReLU(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = _ConvReLU(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = _ConvReLU(192, 192, 3, stride=2)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        three = self.branch3x3_2(self.branch3x3_1(x))
        seven = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        return paddle.concat([three, self.branch7x7x3_4(seven), F.max_pool2d(x, 3, stride=2)], 1)


class _E(nn.Layer):
    """Blocks 7b and 7c, 8 × 8: figure 7. The pool branch averages in 7b, takes maxima in 7c."""

    def __init__(self, fan_in: int, maximum: bool) -> None:
        super().__init__()
        self.branch1x1 = _ConvReLU(fan_in, 320, 1)
        self.branch3x3_1 = _ConvReLU(fan_in, 384, 1)
        self.branch3x3_2a = _ConvReLU(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = _ConvReLU(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = _ConvReLU(fan_in, 448, 1)
        self.branch3x3dbl_2 = _ConvReLU(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = _ConvReLU(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = _ConvReLU(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = _ConvReLU(fan_in, 192, 1)
        self._maximum = maximum

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        three = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = F.max_pool2d(x, 3, stride=1, padding=1) if self._maximum else _average(x)
        parts = [
            self.branch1x1(x),
            self.branch3x3_2a(three),
            self.branch3x3_2b(three),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            self.branch_pool(pooled),
        ]
        return paddle.concat(parts, 1)


class Inception2015(nn.Layer):
    """The FID network; see the module."""

    input_size = 299
    dims: ClassVar[dict[str, int]] = {
        **{"2048": 2048, "768": 768, "192": 192, "64": 64},
        **{"logits_unbiased": 1008, "logits": 1008},
    }

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _ConvReLU(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = _ConvReLU(32, 32, 3)
        self.Conv2d_2b_3x3 = _ConvReLU(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = _ConvReLU(64, 80, 1)
        self.Conv2d_4a_3x3 = _ConvReLU(80, 192, 3)
        self.Mixed_5b = _A(192, pool=32)
        self.Mixed_5c = _A(256, pool=64)
        self.Mixed_5d = _A(288, pool=64)
        self.Mixed_6a = _B()
        self.Mixed_6b = _C(128)
        self.Mixed_6c = _C(160)
        self.Mixed_6d = _C(160)
        self.Mixed_6e = _C(192)
        self.Mixed_7a = _D()
        self.Mixed_7b = _E(1280, maximum=False)
        self.Mixed_7c = _E(2048, maximum=True)
        self.fc = Linear(2048, 1008)

    def features(self, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        """All that metrics have been defined on, under the names of torch-fidelity.

        ``64``, ``192``, ``768`` and ``2048`` are the means over the image of as many channels after
        the first and second maximum pool, block 6e and block 7c; FID takes ``2048``. ``logits`` are
        the 1008 classes', ``logits_unbiased`` the same without the last layer's bias, as the
        inception score takes them.

        Args:
            images: RGB, [N, 3, 299, 299], 0..255.
        """
        x = (images - 128.0) / 128.0
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = first = F.max_pool2d(x, 3, stride=2)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))
        x = second = F.max_pool2d(x, 3, stride=2)
        x = self.Mixed_6a(self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x))))
        x = third = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(x))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        features = paddle.mean(x, [2, 3])
        return {
            "64": paddle.mean(first, [2, 3]),
            "192": paddle.mean(second, [2, 3]),
            "768": paddle.mean(third, [2, 3]),
            "2048": features,
            "logits_unbiased": self.fc.unbiased(features),
            "logits": self.fc(features),
        }
