"""VGG16 of Simonyan and Zisserman (2015), configuration D.

The convolutions are the trunk of perceptual distances; with the fully connected layers the network
gives the 4096 features after the second of them that improved precision and recall are defined on
(Kynkäänniemi et al., 2019).
"""

from __future__ import annotations

from typing import Callable

import paddle
import paddle.nn.functional as F
from paddle import nn

from .layers import Conv, Linear, constant

#: Output channels of the convolutions, one group per resolution.
WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
#: What perceptual distances compare: the last activation at each resolution.
TAPS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")

Pool = Callable[[paddle.Tensor], paddle.Tensor]


def max_pool(x: paddle.Tensor) -> paddle.Tensor:
    """2 × 2, stride 2."""
    return F.max_pool2d(x, 2, stride=2)


class VGG16Trunk(nn.Layer):
    """The 13 convolutions, 3 × 3 with padding 1, each followed by ReLU.

    Args:
        pool: what halves the resolution between groups.
    """

    widths = tuple(group[-1] for group in WIDTHS)

    def __init__(self, pool: Pool = max_pool) -> None:
        super().__init__()
        self._pool = pool
        fan_in = 3
        for group, widths in enumerate(WIDTHS, 1):
            for i, width in enumerate(widths, 1):
                self.add_sublayer(f"conv{group}_{i}", Conv(fan_in, width, 3, padding=1))
                fan_in = width

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """The activations named in ``TAPS`` of normalised images [N, 3, H, W]."""
        taps: list[paddle.Tensor] = []
        for group, widths in enumerate(WIDTHS, 1):
            x = self._pool(taps[-1]) if taps else x
            for i in range(1, len(widths) + 1):
                x = F.relu(getattr(self, f"conv{group}_{i}")(x))
            taps.append(x)
        return taps


class VGG16(VGG16Trunk):
    """The classifier, or its convolutions alone.

    Args:
        fully_connected: whether the weights have the three fully connected layers.
    """

    input_size = 224

    def __init__(self, fully_connected: bool) -> None:
        super().__init__()
        self.mean, self.deviation = constant(self, [3]), constant(self, [3])
        self.dims = {"relu5_3": 512}
        if fully_connected:
            self.fc6 = Linear(512 * 7 * 7, 4096)
            self.fc7 = Linear(4096, 4096)
            self.fc8 = Linear(4096, 1000)
            self.dims = {"fc2": 4096, "relu5_3": 512, "logits": 1000}

    def forward(self, images: paddle.Tensor) -> list[paddle.Tensor]:
        """The activations named in ``TAPS`` of RGB images [N, 3, H, W], 0..255, of any size."""
        axes = [1, 3, 1, 1]
        return super().forward((images - self.mean.reshape(axes)) / self.deviation.reshape(axes))

    def features(self, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        """What ``dims`` names: ``relu5_3``, its mean over the image; with fully connected layers
        ``fc2``, after the ReLU of the second of them, and ``logits``.

        Args:
            images: RGB, [N, 3, 224, 224], 0..255.
        """
        x = self(images)[-1]
        found = {"relu5_3": paddle.mean(x, [2, 3])}
        if "fc2" in self.dims:
            x = F.relu(self.fc6(paddle.flatten(max_pool(x), 1)))
            found["fc2"] = F.relu(self.fc7(x))
            found["logits"] = self.fc8(found["fc2"])
        return found
