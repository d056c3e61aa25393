"""VGG19 of Simonyan and Zisserman (2015), configuration E, as far as losses of images look into it.

Johnson et al. 2016, "Perceptual losses for real-time style transfer and super-resolution", compare
images by the features of such a network. Pix2PixHD and SPADE take the first activation at each
resolution.
"""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import nn

from .layers import Conv, constant
from .vgg16 import max_pool

#: Output channels of the convolutions, one group per resolution; the last group has three more.
WIDTHS = ((64, 64), (128, 128), (256, 256, 256, 256), (512, 512, 512, 512), (512,))


class VGG19(nn.Layer):
    """The 13 convolutions up to relu5_1, 3 x 3 with padding 1, each followed by ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.deviation = constant(self, [3]), constant(self, [3])
        fan_in = 3
        for group, widths in enumerate(WIDTHS, 1):
            for i, width in enumerate(widths, 1):
                self.add_sublayer(f"conv{group}_{i}", Conv(fan_in, width, 3, padding=1))
                fan_in = width

    def forward(self, images: paddle.Tensor) -> list[paddle.Tensor]:
        """relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1 of RGB images [N, 3, H, W], 0..255."""
        axes = [1, 3, 1, 1]
        x = (images - self.mean.reshape(axes)) / self.deviation.reshape(axes)
        taps = []
        for group, widths in enumerate(WIDTHS, 1):
            x = max_pool(x) if group > 1 else x
            for i in range(1, len(widths) + 1):
                x = F.relu(getattr(self, f"conv{group}_{i}")(x))
                if i == 1:
                    taps.append(x)
        return taps
