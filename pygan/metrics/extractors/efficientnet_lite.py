"""EfficientNet-Lite0: EfficientNet-B0 (Tan and Le, 2019) for quantisation and mobile devices, with
ReLU6 in place of swish and without squeeze-and-excitation (TensorFlow, 2020). ImageNet-1k.
"""

from __future__ import annotations

from typing import ClassVar

import paddle
import paddle.nn.functional as F
from paddle import nn

from .layers import Conv, Linear

# Stages: repeats, kernel, stride of the first block, expansion, output channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class _Same(Conv):
    """A convolution with TensorFlow's "same" padding of sizes that the stride divides.

    That is k − s zeros in all, with stride 2 one less on top and left than below and right; all
    resolutions of an image of 224 × 224 are even until the last.
    """

    def __init__(self, fan_in: int, fan_out: int, kernel: int, stride: int, groups: int) -> None:
        super().__init__(fan_in, fan_out, kernel, stride, (kernel - stride + 1) // 2, groups)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        if self._stride == 1:
            return super().forward(x)
        # Zeros in front of the kernel make up for the padding that is too much there; to pad the
        # images would copy them.
        weight = F.pad(self.weight, [1, 0, 1, 0])
        return self.correlate(x, weight)


class _Block(nn.Layer):
    """Inverted residual: 1 × 1 up, depthwise, 1 × 1 down; the input is added where shapes agree."""

    def __init__(self, fan_in: int, fan_out: int, kernel: int, stride: int, factor: int) -> None:
        super().__init__()
        width = fan_in * factor
        self.expand = Conv(fan_in, width, 1) if factor > 1 else None
        self.depthwise = _Same(width, width, kernel, stride, groups=width)
        self.project = Conv(width, fan_out, 1)
        self._adds = stride == 1 and fan_in == fan_out

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self._adds else y


class EfficientNetLite0(nn.Layer):
    """The classifier."""

    input_size = 224
    dims: ClassVar[dict[str, int]] = {"pool": 1280, "logits": 1000}

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Same(3, 32, 3, 2, groups=1)
        blocks, fan_in = [], 32
        for repeats, kernel, stride, factor, width in _STAGES:
            for i in range(repeats):
                blocks.append(_Block(fan_in, width, kernel, stride if i == 0 else 1, factor))
                fan_in = width
        self.blocks = nn.LayerList(blocks)
        self.head = Conv(fan_in, 1280, 1)
        self.fc = Linear(1280, 1000)

    def features(self, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        """``pool`` [N, 1280], the mean over the image before the last layer, and ``logits``.

        Args:
            images: [N, 3, 224, 224], 0..255.
        """
        x = F.relu6(self.stem((images - 127.0) / 128.0))
        for block in self.blocks:
            x = block(x)
        pool = paddle.mean(F.relu6(self.head(x)), [2, 3])
        return {"pool": pool, "logits": self.fc(pool)}
