"""Mapping network of the StyleGAN family."""

from __future__ import annotations

from typing import Optional

import paddle
import paddle.nn.functional as F
from paddle import nn

from pygan.nn.linear import FullyConnectedLayer
from pygan.nn.norm import normalize_2nd_moment


class MappingNetwork(nn.Layer):
    """Maps latent codes (and labels) to intermediate latent codes ``w``.

    ``w = fc_{L-1}(... fc_0([normalize(z), normalize(embed(c))]))``, each fc being a fully connected
    layer with leaky ReLU (Karras et al. 2019, "A style-based generator architecture", section 2;
    conditioning and truncation as in StyleGAN2-ADA, Karras et al. 2020).

    Args:
        z_dim: size of the latent code; 0 for a network that maps labels only.
        c_dim: size of the label (classes, or dimensions of a label vector); 0 if unconditional.
        w_dim: size of the intermediate latent code.
        num_ws: copies of ``w`` to return, one per styled layer; ``None`` returns ``w`` itself.
        num_layers: fully connected layers.
        activation: their activation.
        lr_multiplier: their learning rate relative to the optimiser's.
        w_avg_beta: decay of the running mean of ``w``; ``None`` keeps no mean.

    The buffer ``w_avg`` holds the running mean, the centre of truncation.
    """

    def __init__(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        num_ws: Optional[int] = None,
        num_layers: int = 8,
        activation: str = "lrelu",
        lr_multiplier: float = 0.01,
        w_avg_beta: Optional[float] = 0.995,
    ) -> None:
        super().__init__()
        if z_dim < 1 and c_dim < 1:
            raise ValueError(
                f"MappingNetwork: `z_dim` is {z_dim} and `c_dim` is {c_dim}; one of them must be "
                "positive."
            )
        self.z_dim = z_dim
        self.c_dim = c_dim
        self.w_dim = w_dim
        self.num_ws = num_ws
        self.num_layers = num_layers
        self.w_avg_beta = w_avg_beta
        embed_dim = 0
        if c_dim > 0:
            embed_dim = w_dim
            self.embed = FullyConnectedLayer(c_dim, embed_dim)
        sizes = [z_dim + embed_dim] + [w_dim] * num_layers
        for i in range(num_layers):
            layer = FullyConnectedLayer(
                sizes[i], sizes[i + 1], activation=activation, lr_multiplier=lr_multiplier
            )
            self.add_sublayer(f"fc{i}", layer)
        if w_avg_beta is not None:
            self.register_buffer("w_avg", paddle.zeros([w_dim]))

    def forward(
        self,
        z: Optional[paddle.Tensor],
        c: Optional[paddle.Tensor] = None,
        truncation: float = 1.0,
        truncation_cutoff: Optional[int] = None,
        update_w_avg: bool = False,
    ) -> paddle.Tensor:
        """Maps a batch.

        Args:
            z: latent codes ``[N, z_dim]``; ignored if ``z_dim`` is 0.
            c: labels, class indices ``[N]`` or vectors ``[N, c_dim]``; ignored if ``c_dim`` is 0.
            truncation: ``psi`` in ``w' = w_avg + psi * (w - w_avg)``; 1 leaves ``w`` as it is.
            truncation_cutoff: number of leading copies to truncate; ``None`` truncates all.
            update_w_avg: whether this batch moves the running mean.

        Returns:
            ``[N, num_ws, w_dim]``, or ``[N, w_dim]`` if ``num_ws`` is ``None``.
        """
        parts = []
        if self.z_dim > 0:
            if z is None or z.ndim != 2 or z.shape[1] != self.z_dim:
                raise ValueError(
                    f"MappingNetwork: `z` is {_describe(z)}; it must have shape [N, {self.z_dim}]."
                )
            parts.append(normalize_2nd_moment(z.astype(self.fc0.weight.dtype)))
        if self.c_dim > 0:
            parts.append(normalize_2nd_moment(self.embed(self._encode(c))))
        w = parts[0] if len(parts) == 1 else paddle.concat(parts, axis=1)
        for i in range(self.num_layers):
            w = getattr(self, f"fc{i}")(w)
        if update_w_avg:
            self.update_w_avg(w)
        return self._broadcast(w, truncation, truncation_cutoff)

    @paddle.no_grad()
    def update_w_avg(self, w: paddle.Tensor) -> None:
        """Moves ``w_avg`` towards the mean of a batch ``[N, w_dim]`` by ``1 - w_avg_beta``."""
        if self.w_avg_beta is None:
            raise ValueError(
                "MappingNetwork: `w_avg_beta` is None, so there is no mean to "
                "update; set it, e.g. to 0.995."
            )
        mean = w.detach().mean(axis=0)
        paddle.assign(mean + self.w_avg_beta * (self.w_avg - mean), output=self.w_avg)

    def _encode(self, c: Optional[paddle.Tensor]) -> paddle.Tensor:
        """Labels as vectors ``[N, c_dim]`` of the network's type."""
        dtype = self.embed.weight.dtype
        if c is not None and c.ndim == 1 and not paddle.is_floating_point(c):
            return F.one_hot(c, self.c_dim).astype(dtype)
        if c is None or c.ndim != 2 or c.shape[1] != self.c_dim:
            raise ValueError(
                f"MappingNetwork: `c` is {_describe(c)}; a conditional network needs integer class "
                f"indices [N] or label vectors [N, {self.c_dim}]."
            )
        return c.astype(dtype)

    def _broadcast(
        self, w: paddle.Tensor, truncation: float, cutoff: Optional[int]
    ) -> paddle.Tensor:
        truncated = w
        if truncation != 1:
            if self.w_avg_beta is None:
                raise ValueError(
                    "MappingNetwork: `truncation` needs the mean code; set `w_avg_beta`, "
                    "e.g. to 0.995."
                )
            truncated = self.w_avg + (w - self.w_avg) * truncation
        if self.num_ws is None:
            return truncated
        cutoff = self.num_ws if cutoff is None else max(0, min(cutoff, self.num_ws))
        copies = [
            v.unsqueeze(1).expand([v.shape[0], count, self.w_dim])
            for v, count in ((truncated, cutoff), (w, self.num_ws - cutoff))
            if count > 0
        ]
        return copies[0] if len(copies) == 1 else paddle.concat(copies, axis=1)


def _describe(x: Optional[paddle.Tensor]) -> str:
    return "None" if x is None else f"{x.dtype} {list(x.shape)}"
