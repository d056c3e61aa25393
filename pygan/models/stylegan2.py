"""StyleGAN2: generator and discriminator.

Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN" (appendix B for the
channel widths of config F), with the conditioning of Karras et al. 2020, "Training generative
adversarial networks with limited data" (StyleGAN2-ADA). The three architectures are those of
section 4.1: ``'orig'`` (a plain stack), ``'skip'`` (images of all sizes are summed up) and
``'resnet'`` (residual connections). Config F is a ``'skip'`` generator with a ``'resnet'``
discriminator.

Every resolution of :func:`pygan.nn.resolution_pyramid` has one block, named after its size
(``synthesis.b8``, or ``synthesis.b8x12`` where images are not square).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Optional, Union

import paddle
from paddle import nn

from pygan.models.stylegan2_blocks import (
    DiscriminatorBlock,
    DiscriminatorEpilogue,
    SynthesisBlock,
)
from pygan.nn import (
    HALF_TYPES,
    MappingNetwork,
    SynthesisLayer,
    block_name,
    channels_at,
    resolution_pyramid,
)

ARCHITECTURES = ("orig", "skip", "resnet")
Noise = Union[str, Sequence[Optional[paddle.Tensor]]]


def _check_architecture(owner: str, architecture: str) -> None:
    if architecture not in ARCHITECTURES:
        raise ValueError(
            f"{owner}: `architecture` is {architecture!r}; it must be one of {ARCHITECTURES}."
        )


def _half_types(half_type: Optional[str], count: int, resolutions: int) -> list[Optional[str]]:
    """The type of each resolution's features, from the lowest up; None is that of the weights."""
    if half_type not in (None, *HALF_TYPES):
        raise ValueError(f"`half_type` is {half_type!r}; it must be None or one of {HALF_TYPES}.")
    if count < 0:
        raise ValueError(f"`half_resolutions` is {count}; it must be 0 or more.")
    half = min(count, resolutions - 1)
    return [None] * (resolutions - half) + [half_type] * half


class SynthesisNetwork(nn.Layer):
    """Turns intermediate latent codes into images.

    Args:
        resolution: side of a square image, or ``(height, width)``.
        w_dim: size of the intermediate latent code.
        channels: image channels.
        channel_base: feature maps at ``(h, w)`` are ``min(channel_base / max(h, w), channel_max)``.
        channel_max: see ``channel_base``.
        architecture: ``'orig'``, ``'skip'`` or ``'resnet'``.
        activation: activation of the convolutions.
        resample_filter: FIR low-pass filter of all upsampling.
        conv_clamp: limit of the activations' magnitude, for half precision; ``None`` for no limit.
        half_type: 'float16' or 'bfloat16' for the features of the highest resolutions; ``None`` for
            the type of the weights everywhere.
        half_resolutions: how many resolutions ``half_type`` concerns; never the lowest one.

    Layer ``l`` of the ``2 B - 1`` convolutions (``B`` resolutions) is styled by ``ws[:, l]``; the
    image layer of a block shares its code with the convolution that follows.
    """

    def __init__(
        self,
        resolution: Union[int, Sequence[int]],
        w_dim: int = 512,
        channels: int = 3,
        channel_base: int = 32768,
        channel_max: int = 512,
        architecture: str = "skip",
        activation: str = "lrelu",
        resample_filter: Sequence[float] = (1, 3, 3, 1),
        conv_clamp: Optional[float] = None,
        half_type: Optional[str] = None,
        half_resolutions: int = 4,
    ) -> None:
        super().__init__()
        _check_architecture("SynthesisNetwork", architecture)
        sizes = resolution_pyramid(resolution)
        self.resolution = sizes[-1]
        self.w_dim = w_dim
        self.block_names = [block_name(size) for size in sizes]
        in_channels = 0
        half_types = _half_types(half_type, half_resolutions, len(sizes))
        for size, name, half in zip(sizes, self.block_names, half_types):
            out_channels = channels_at(size, channel_base, channel_max)
            block = SynthesisBlock(
                in_channels,
                out_channels,
                w_dim,
                size,
                channels,
                is_last=size == sizes[-1],
                architecture=architecture,
                activation=activation,
                resample_filter=resample_filter,
                conv_clamp=conv_clamp,
                half_type=half,
            )
            self.add_sublayer(name, block)
            in_channels = out_channels
        self.num_ws = 2 * len(sizes)

    @property
    def noise_layers(self) -> list[SynthesisLayer]:
        """The convolutions that add noise, in the order of the noise list."""
        layers = []
        for name in self.block_names:
            block = getattr(self, name)
            layers += [block.conv1] if block.num_conv == 1 else [block.conv0, block.conv1]
        return layers

    @property
    def noise_shapes(self) -> list[tuple[int, int]]:
        """``(height, width)`` of each noise map, in layer order."""
        return [layer.size for layer in self.noise_layers]

    def forward(self, ws: paddle.Tensor, noise: Noise = "random") -> paddle.Tensor:
        """Draws images.

        Args:
            ws: intermediate latent codes ``[N, num_ws, w_dim]``.
            noise: ``'random'`` (fresh normal noise), ``'const'`` (the maps stored in the model),
                ``'none'``, or a list with one map ``[N, 1, h, w]``, ``[1, 1, h, w]`` or ``[h, w]``
                (or ``None`` for no noise) per layer, see :attr:`noise_shapes`.

        Returns:
            Images ``[N, channels, H, W]``; the data range [-1, 1] is learned, not enforced.
        """
        if ws.ndim != 3 or list(ws.shape[1:]) != [self.num_ws, self.w_dim]:
            raise ValueError(
                f"SynthesisNetwork: `ws` has shape {list(ws.shape)}; it must be "
                f"[N, {self.num_ws}, {self.w_dim}]."
            )
        codes = ws.unbind(axis=1)
        maps = self._noise_maps(noise, ws)
        x = img = None
        layer = 0
        for name in self.block_names:
            block = getattr(self, name)
            end = layer + block.num_conv
            x, img = block(x, img, codes[layer : end + 1], maps[layer:end])
            layer = end
        assert img is not None  # the last block has a torgb in every architecture
        return img

    def _noise_maps(self, noise: Noise, ws: paddle.Tensor) -> list[Optional[paddle.Tensor]]:
        layers = self.noise_layers
        if isinstance(noise, str):
            if noise == "random":
                return [
                    paddle.randn([ws.shape[0], 1, *layer.size], dtype=ws.dtype) for layer in layers
                ]
            if noise == "const":
                return [layer.noise_const for layer in layers]
            if noise == "none":
                return [None] * len(layers)
            raise ValueError(
                f"SynthesisNetwork: `noise` is {noise!r}; it must be 'random', 'const', 'none' "
                "or a list of tensors."
            )
        if len(noise) != len(layers):
            raise ValueError(
                f"SynthesisNetwork: `noise` has {len(noise)} maps; it must have "
                f"{len(layers)}, one per layer."
            )
        for i, (given, layer) in enumerate(zip(noise, layers)):
            if given is not None and tuple(given.shape[-2:]) != layer.size:
                raise ValueError(
                    f"SynthesisNetwork: `noise[{i}]` has shape {list(given.shape)}; its map must "
                    f"be {layer.size[0]} x {layer.size[1]}."
                )
        return list(noise)


class Generator(nn.Layer):
    """Latent codes (and labels) to images: mapping network and synthesis network.

    Args:
        resolution: side of a square image, or ``(height, width)``: a small rectangle times a power
            of two, see :func:`pygan.nn.resolution_pyramid`.
        z_dim: size of the latent code.
        c_dim: size of the label; 0 if unconditional.
        w_dim: size of the intermediate latent code.
        channels: image channels.
        mapping_layers: layers of the mapping network.
        mapping_lr_multiplier: their learning rate relative to the optimiser's.
        w_avg_beta: decay of the running mean of ``w``.
        channel_base: feature maps at ``(h, w)`` are ``min(channel_base / max(h, w), channel_max)``;
            32768 is config F, 16384 configs A to E.
        channel_max: see ``channel_base``.
        architecture: ``'orig'``, ``'skip'`` or ``'resnet'``.
        activation: activation of the convolutions.
        resample_filter: FIR low-pass filter of all upsampling.
        conv_clamp: limit of the activations' magnitude, for half precision; ``None`` for no limit.
        half_type: 'float16' or 'bfloat16' for the features of the highest resolutions; ``None`` for
            the type of the weights everywhere.
        half_resolutions: how many resolutions ``half_type`` concerns; never the lowest one.
    """

    def __init__(
        self,
        *,
        resolution: Union[int, Sequence[int]],
        z_dim: int = 512,
        c_dim: int = 0,
        w_dim: int = 512,
        channels: int = 3,
        mapping_layers: int = 8,
        mapping_lr_multiplier: float = 0.01,
        w_avg_beta: float = 0.995,
        channel_base: int = 32768,
        channel_max: int = 512,
        architecture: str = "skip",
        activation: str = "lrelu",
        resample_filter: Sequence[float] = (1, 3, 3, 1),
        conv_clamp: Optional[float] = None,
        half_type: Optional[str] = None,
        half_resolutions: int = 4,
    ) -> None:
        super().__init__()
        self.z_dim = z_dim
        self.c_dim = c_dim
        self.w_dim = w_dim
        self.channels = channels
        self.synthesis = SynthesisNetwork(
            resolution,
            w_dim=w_dim,
            channels=channels,
            channel_base=channel_base,
            channel_max=channel_max,
            architecture=architecture,
            activation=activation,
            resample_filter=resample_filter,
            conv_clamp=conv_clamp,
            half_type=half_type,
            half_resolutions=half_resolutions,
        )
        self.resolution = self.synthesis.resolution
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(
            z_dim,
            c_dim,
            w_dim,
            num_ws=self.num_ws,
            num_layers=mapping_layers,
            lr_multiplier=mapping_lr_multiplier,
            w_avg_beta=w_avg_beta,
        )

    def forward(
        self,
        z: paddle.Tensor,
        c: Optional[paddle.Tensor] = None,
        truncation: float = 1.0,
        truncation_cutoff: Optional[int] = None,
        noise: Noise = "random",
        update_w_avg: bool = False,
    ) -> paddle.Tensor:
        """``z [N, z_dim]``, ``c [N]`` or ``[N, c_dim]`` -> images ``[N, channels, H, W]``.

        The arguments are those of :meth:`MappingNetwork.forward` and
        :meth:`SynthesisNetwork.forward`.
        """
        ws = self.mapping(z, c, truncation, truncation_cutoff, update_w_avg)
        return self.synthesis(ws, noise=noise)


class Discriminator(nn.Layer):
    """Images (and labels) to logits.

    A conditional discriminator projects its features on a code of the label:
    ``logit = <features, mapping(c)> / sqrt(cmap_dim)`` (Miyato and Koyama 2018, "cGANs with
    projection discriminator", with the mapping of StyleGAN2-ADA).

    Args:
        resolution: side of a square image, or ``(height, width)``, as for :class:`Generator`.
        c_dim: size of the label; 0 if unconditional.
        channels: image channels.
        channel_base: feature maps at ``(h, w)`` are ``min(channel_base / max(h, w), channel_max)``.
        channel_max: see ``channel_base``.
        architecture: ``'orig'``, ``'skip'`` or ``'resnet'``.
        activation: activation of the layers.
        resample_filter: FIR low-pass filter of all downsampling.
        cmap_dim: size of the label code; ``None`` for the channels at the base resolution.
        mapping_layers: layers of the label's mapping network.
        mbstd_group_size: samples per group of the minibatch deviation; ``None`` for the batch.
        mbstd_num_channels: its channels; 0 leaves it out.
        conv_clamp: limit of the activations' magnitude, for half precision; ``None`` for no limit.
        half_type: 'float16' or 'bfloat16' for the features of the highest resolutions; ``None`` for
            the type of the weights everywhere.
        half_resolutions: how many resolutions ``half_type`` concerns; never the lowest one.
    """

    def __init__(
        self,
        *,
        resolution: Union[int, Sequence[int]],
        c_dim: int = 0,
        channels: int = 3,
        channel_base: int = 32768,
        channel_max: int = 512,
        architecture: str = "resnet",
        activation: str = "lrelu",
        resample_filter: Sequence[float] = (1, 3, 3, 1),
        cmap_dim: Optional[int] = None,
        mapping_layers: int = 8,
        mbstd_group_size: Optional[int] = 4,
        mbstd_num_channels: int = 1,
        conv_clamp: Optional[float] = None,
        half_type: Optional[str] = None,
        half_resolutions: int = 4,
    ) -> None:
        super().__init__()
        _check_architecture("Discriminator", architecture)
        sizes = resolution_pyramid(resolution)
        widths = [channels_at(size, channel_base, channel_max) for size in sizes]
        self.resolution = sizes[-1]
        self.c_dim = c_dim
        self.channels = channels
        self.cmap_dim = 0 if c_dim == 0 else (widths[0] if cmap_dim is None else cmap_dim)
        self.block_names = [block_name(size) for size in reversed(sizes[1:])]
        in_channels = 0
        half_types = _half_types(half_type, half_resolutions, len(sizes))
        for i, name in zip(range(len(sizes) - 1, 0, -1), self.block_names):
            block = DiscriminatorBlock(
                in_channels,
                widths[i],
                widths[i - 1],
                channels,
                architecture=architecture,
                activation=activation,
                resample_filter=resample_filter,
                conv_clamp=conv_clamp,
                half_type=half_types[i],
            )
            self.add_sublayer(name, block)
            in_channels = widths[i - 1]
        if c_dim > 0:
            self.mapping = MappingNetwork(
                0, c_dim, self.cmap_dim, num_layers=mapping_layers, w_avg_beta=None
            )
        epilogue = DiscriminatorEpilogue(
            widths[0],
            max(self.cmap_dim, 1),
            sizes[0],
            channels,
            architecture=architecture,
            activation=activation,
            mbstd_group_size=mbstd_group_size,
            mbstd_num_channels=mbstd_num_channels,
            conv_clamp=conv_clamp,
        )
        self.epilogue_name = block_name(sizes[0])
        self.add_sublayer(self.epilogue_name, epilogue)

    @property
    def freezable_layers(self) -> list[nn.Layer]:
        """Convolutions from the highest resolution down: fromrgb, conv0, conv1, skip, conv0, ...

        The order in which Freeze-D counts them (Mo et al. 2020, "Freeze the discriminator", as in
        StyleGAN2-ADA). The layers at the lowest resolution are not among them.
        """
        return [layer for name in self.block_names for layer in getattr(self, name).layers]

    def forward(self, images: paddle.Tensor, c: Optional[paddle.Tensor] = None) -> paddle.Tensor:
        """``images [N, channels, H, W]``, ``c [N]`` or ``[N, c_dim]`` -> logits ``[N, 1]``."""
        expected = [self.channels, *self.resolution]
        if images.ndim != 4 or list(images.shape[1:]) != expected:
            raise ValueError(
                f"Discriminator: `images` has shape {list(images.shape)}; it must be "
                f"[N, {', '.join(map(str, expected))}]."
            )
        x: Optional[paddle.Tensor] = None
        img: Optional[paddle.Tensor] = images
        for name in self.block_names:
            x, img = getattr(self, name)(x, img)
        x = getattr(self, self.epilogue_name)(x, img)
        if self.c_dim == 0:
            return x
        code = self.mapping(None, c)
        return (x * code).sum(axis=1, keepdim=True) * (1.0 / math.sqrt(self.cmap_dim))
