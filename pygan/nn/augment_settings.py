"""Which augmentations, and how strong.

Karras et al. 2020, "Training generative adversarial networks with limited data", appendix B.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

BLIT = ("xflip", "rotate90", "xint")
GEOMETRIC = ("scale", "rotate", "aniso", "xfrac")
COLOR = ("brightness", "contrast", "lumaflip", "hue", "saturation")
TRANSFORMS = (*BLIT, *GEOMETRIC, *COLOR, "imgfilter", "noise", "cutout")
"""In the order in which they are applied."""

PRESETS: dict[str, tuple[str, ...]] = {
    "blit": BLIT,
    "geom": GEOMETRIC,
    "color": COLOR,
    "filter": ("imgfilter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
    "bg": BLIT + GEOMETRIC,
    "bgc": BLIT + GEOMETRIC + COLOR,
    "bgcf": TRANSFORMS[:-2],
    "bgcfn": TRANSFORMS[:-1],
    "bgcfnc": TRANSFORMS,
}
"""The sets of the paper, by the letters of its figure 4; 'bgc' is the one it recommends."""


@dataclass(frozen=True)
class AugmentSettings:
    """Strengths and ranges of the transforms.

    A transform is applied to an image with probability strength * p, for each image and transform
    independently; a strength of 0 switches it off. N is a standard normal number, and U a uniform
    one.

    Attributes:
        xflip: strength of mirroring left and right, half of the time.
        rotate90: of a turn by 0, 1, 2 or 3 quarters.
        xint: of a shift by whole pixels.
        scale: of a zoom by 2^(scale_std * N).
        rotate: of a turn by up to rotate_max * 180 degrees either way, once before and once after
            ``aniso``. Each comes with probability 1 - sqrt(1 - strength * p), so that one of both
            comes with probability strength * p.
        aniso: of a stretch by 2^(aniso_std * N) along x, and its inverse along y.
        xfrac: of a shift by xfrac_std * N of the image's width, and likewise of its height.
        brightness: of adding brightness_std * N to all colours; pixels are in [-1, 1].
        contrast: of a multiplication by 2^(contrast_std * N).
        lumaflip: of mirroring the luma, half of the time.
        hue: of a turn of the colours about the grey axis, by up to hue_max * 180 degrees.
        saturation: of a multiplication by 2^(saturation_std * N) of the distance to that axis.
        imgfilter: of a gain 2^(imgfilter_std * N), for each of four octaves.
        noise: of adding normal noise of deviation noise_std * \\|N\\|.
        cutout: of setting a rectangle to 0.
        xint_max: largest shift, relative to the image's size.
        scale_std, rotate_max, aniso_std, xfrac_std, brightness_std, contrast_std, hue_max,
            saturation_std, imgfilter_std, noise_std: see above.
        imgfilter_bands: strengths of the octaves, relative to ``imgfilter``, the lowest first.
        cutout_size: of the rectangle, relative to the image's size.
    """

    xflip: float = 0.0
    rotate90: float = 0.0
    xint: float = 0.0
    scale: float = 0.0
    rotate: float = 0.0
    aniso: float = 0.0
    xfrac: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    lumaflip: float = 0.0
    hue: float = 0.0
    saturation: float = 0.0
    imgfilter: float = 0.0
    noise: float = 0.0
    cutout: float = 0.0

    # The ranges of appendix B.
    xint_max: float = 0.125
    scale_std: float = 0.2
    rotate_max: float = 1.0
    aniso_std: float = 0.2
    xfrac_std: float = 0.125
    brightness_std: float = 0.2
    contrast_std: float = 0.5
    hue_max: float = 1.0
    saturation_std: float = 1.0
    imgfilter_bands: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    imgfilter_std: float = 1.0
    noise_std: float = 0.1
    cutout_size: float = 0.5

    def __post_init__(self) -> None:
        if len(self.imgfilter_bands) != 4:
            raise ValueError(
                f"AugmentSettings: `imgfilter_bands` is {self.imgfilter_bands}; "
                "it must be four numbers."
            )
        for field in dataclasses.fields(self):
            values = getattr(self, field.name)
            for value in values if isinstance(values, tuple) else (values,):
                if not 0 <= value < float("inf"):
                    raise ValueError(
                        f"AugmentSettings: `{field.name}` is {values}; it must be 0 or more."
                    )

    @classmethod
    def preset(cls, name: str, strengths: Mapping[str, float] | None = None) -> AugmentSettings:
        """The transforms of a preset with strength 1.

        Args:
            name: one of ``PRESETS``.
            strengths: of single transforms, in place of those of the preset.

        Raises:
            ValueError: there is no such preset or transform.
        """
        if name not in PRESETS:
            raise ValueError(
                f"AugmentSettings.preset: `name` is {name!r}; choose from: {', '.join(PRESETS)}."
            )
        unknown = sorted(set(strengths or ()) - set(TRANSFORMS))
        if unknown:
            raise ValueError(
                f"AugmentSettings.preset: `strengths` names {', '.join(unknown)}; the transforms "
                f"are: {', '.join(TRANSFORMS)}."
            )
        chosen: dict[str, Any] = {**dict.fromkeys(PRESETS[name], 1.0), **(strengths or {})}
        return dataclasses.replace(cls(), **chosen)
