"""Normalisations: of latent codes, and of images over the batch or over each instance."""

from __future__ import annotations

from typing import NamedTuple, Optional

import paddle
from paddle import nn

from pygan.nn.sync_statistics import combined_statistics, process_count
from pygan.ops import norm_statistics, spade_norm

# What a normalisation takes its mean and variance of.
KINDS = ("batch", "sync", "instance")


def normalize_2nd_moment(x: paddle.Tensor, axis: int = 1, eps: float = 1e-8) -> paddle.Tensor:
    """Scales ``x`` to a mean square of one: ``x * rsqrt(mean(x^2, axis) + eps)``.

    Known as pixel norm when ``axis`` is the channel axis (Karras et al. 2018, "Progressive growing
    of GANs", section 4.2). The StyleGAN family applies it to the latent code and to the embedded
    label in front of the mapping network.

    Args:
        x: tensor of any shape.
        axis: the axis whose second moment becomes one.
        eps: added to the mean square; a zero vector stays zero.
    """
    return x * paddle.rsqrt(paddle.mean(paddle.square(x), axis=axis, keepdim=True) + eps)


class Statistics(NamedTuple):
    """What one pass normalises with; several layers that normalise one x can share it."""

    mean: paddle.Tensor
    variance: paddle.Tensor
    own: Optional[str]  # of :func:`pygan.ops.spade_norm`
    values: int  # that each variance is of; 0: kept from training


class Normalization(nn.Layer):
    """Statistics of images ``[N, channels, H, W]``, and their running averages.

    Args:
        channels: of the images.
        kind: 'batch' (over the samples and pixels of this process), 'sync' (over those of all
            processes, so that n processes compute what one would of the whole batch; the same as
            'batch' where there is one process) or 'instance' (over the pixels of each sample; there
            are no running averages).
        momentum: the weight of a batch in the running averages.
        epsilon: added to the variance.
        batch_statistics_in_eval: take the batch's own statistics in evaluation mode too, as Pix2Pix
            does.

    Buffers: ``running_mean`` and ``running_var``, ``[channels]``, averages of the mean and of the
    unbiased variance, as PyTorch keeps them. They change in training mode only.
    """

    def __init__(
        self,
        channels: int,
        kind: str,
        momentum: float = 0.1,
        epsilon: float = 1e-5,
        batch_statistics_in_eval: bool = False,
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(
                f"{type(self).__name__}: `kind` is {kind!r}; it must be one of {', '.join(KINDS)}."
            )
        self.channels = channels
        self.kind = kind
        self.momentum = momentum
        self.epsilon = epsilon
        self.batch_statistics_in_eval = batch_statistics_in_eval
        if kind != "instance":
            self.register_buffer("running_mean", paddle.zeros([channels], "float32"))
            self.register_buffer("running_var", paddle.ones([channels], "float32"))

    def statistics(self, x: paddle.Tensor) -> Statistics:
        """What ``x`` is normalised with: its own statistics, or those kept from training."""
        n, _, h, w = x.shape
        if self.kind == "instance":
            return self._own(x, "instance", h * w)
        if not self.training and not self.batch_statistics_in_eval:
            # Copies: autograd refuses to go back through buffers that a later pass has changed.
            return Statistics(self.running_mean.clone(), self.running_var.clone(), None, 0)
        processes = process_count() if self.kind == "sync" else 1
        if processes == 1:
            return self._own(x, "batch", n * h * w)
        mean, variance = norm_statistics(x, "batch")
        mean, variance = combined_statistics(mean, variance)
        return Statistics(mean, variance, None, n * h * w * processes)

    @staticmethod
    def _own(x: paddle.Tensor, over: str, values: int) -> Statistics:
        with paddle.no_grad():  # the gradient through them is spade_norm's matter
            mean, variance = norm_statistics(x, over)
        return Statistics(mean, variance, over, values)

    @paddle.no_grad()
    def track(self, statistics: Statistics, pixels: int = 1) -> None:
        """Takes a batch into the running averages, in training mode.

        Args:
            statistics: of the batch.
            pixels: how often each value counts, where the images are enlarged.
        """
        if not self.training or self.kind == "instance" or statistics.values == 0:
            return
        values = statistics.values * pixels
        unbiased = statistics.variance * (values / max(values - 1, 1))
        for buffer, new in ((self.running_mean, statistics.mean), (self.running_var, unbiased)):
            old = buffer * (1 - self.momentum)
            paddle.assign(old + new.detach().astype(buffer.dtype) * self.momentum, output=buffer)


class BatchNorm(Normalization):
    """``y = act((x - mean) / sqrt(variance + epsilon) * weight + bias)``, over the batch.

    In training mode with the batch's statistics, in evaluation mode with the running ones, unless
    ``batch_statistics_in_eval``.

    Args:
        channels: of input and output.
        affine: whether there are ``weight`` and ``bias``, both ``[channels]``.
        kind: 'batch' or 'sync', see :class:`Normalization`.
        momentum, epsilon, batch_statistics_in_eval: see :class:`Normalization`.
        activation, alpha: see :func:`pygan.ops.spade_norm`.
        initializer: of the weight; None for ones. The bias starts at 0.

    Source: Ioffe and Szegedy 2015, "Batch Normalization", algorithms 1 and 2.
    """

    def __init__(
        self,
        channels: int,
        affine: bool = True,
        *,
        kind: str = "batch",
        momentum: float = 0.1,
        epsilon: float = 1e-5,
        activation: str = "linear",
        alpha: Optional[float] = None,
        batch_statistics_in_eval: bool = False,
        initializer: Optional[nn.initializer.Initializer] = None,
    ) -> None:
        super().__init__(channels, kind, momentum, epsilon, batch_statistics_in_eval)
        self.activation, self.alpha = activation, alpha
        self.weight = self.bias = None
        if affine:
            self.weight = self.create_parameter(
                [channels], default_initializer=initializer or nn.initializer.Constant(1.0)
            )
            self.bias = self.create_parameter(
                [channels], default_initializer=nn.initializer.Constant(0.0)
            )

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """[N, channels, H, W] -> the same."""
        statistics = self.statistics(x)
        self.track(statistics)
        return spade_norm(
            x,
            statistics.mean,
            statistics.variance,
            None if self.weight is None else self.weight - 1,
            self.bias,
            own_statistics=statistics.own,
            epsilon=self.epsilon,
            activation=self.activation,
            alpha=self.alpha,
        )

    def extra_repr(self) -> str:
        """What ``print(layer)`` says."""
        affine = self.weight is not None
        return f"{self.channels}, {self.kind}, affine={affine}, activation={self.activation}"


class InstanceNorm(BatchNorm):
    """``y = act((x - mean) / sqrt(variance + epsilon) * weight + bias)``, over each sample.

    The same in training and evaluation mode; there are no running averages.

    Args:
        channels: of input and output.
        affine: whether there are ``weight`` and ``bias``, both ``[channels]``.
        epsilon: added to the variance.
        activation, alpha: see :func:`pygan.ops.spade_norm`.
        initializer: of the weight; None for ones. The bias starts at 0.

    Source: Ulyanov et al. 2016, "Instance Normalization: the missing ingredient for fast
    stylization".
    """

    def __init__(
        self,
        channels: int,
        affine: bool = False,
        *,
        epsilon: float = 1e-5,
        activation: str = "linear",
        alpha: Optional[float] = None,
        initializer: Optional[nn.initializer.Initializer] = None,
    ) -> None:
        super().__init__(
            channels,
            affine,
            kind="instance",
            epsilon=epsilon,
            activation=activation,
            alpha=alpha,
            initializer=initializer,
        )
