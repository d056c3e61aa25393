"""Bringing images to one size: crop modes and resampling filters."""

from __future__ import annotations

from PIL import Image

from .errors import DataError, ImageError
from .imaging import parse_colour

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
"""Resampling filters by name. All but 'nearest' widen with the scale, so downscaling is
anti-aliased. The choice moves FID visibly: always record it with the data."""

CROPS = ("none", "center", "center-wide", "fit", "stretch", "pad")


def parse_size(text: str | int | tuple[int, int]) -> tuple[int, int]:
    """(width, height) from 64, '64', '512x384' or a pair."""
    try:
        if isinstance(text, str):
            parts = tuple(int(part) for part in text.lower().split("x"))
        elif isinstance(text, int):
            parts = (text,)
        else:
            parts = tuple(int(part) for part in text)
    except (TypeError, ValueError):
        parts = ()
    if len(parts) == 1:
        parts = parts * 2
    if len(parts) != 2 or min(parts) < 1 or max(parts) > 16384:
        raise DataError(f"size must be N or WIDTHxHEIGHT with sides from 1 to 16384, not {text!r}")
    return parts[0], parts[1]


def check_options(size: tuple[int, int] | None, crop: str, filter: str) -> None:
    """Refuses unknown names and combinations that have no meaning."""
    if crop not in CROPS:
        raise DataError(f"crop must be one of {', '.join(CROPS)}, not {crop!r}")
    if filter not in FILTERS:
        raise DataError(f"filter must be one of {', '.join(FILTERS)}, not {filter!r}")
    if size is None and crop not in ("none", "center"):
        raise DataError(f"crop={crop!r} needs a size")
    if crop == "center-wide" and size is not None and size[0] < size[1]:
        raise DataError(
            f"crop='center-wide' needs a width of at least the height, not {size[0]}x{size[1]}"
        )


def transform(
    image: Image.Image,
    name: str,
    size: tuple[int, int] | None,
    crop: str = "none",
    filter: str = "lanczos",
    background: str = "white",
) -> tuple[Image.Image, bool]:
    """Brings an image to `size` = (W, H); returns it and whether it had to be enlarged.

    Crop modes:
        none: resize only; the image must already have the aspect ratio of `size` (to half a pixel).
        center: the largest centred rectangle of the aspect ratio of `size` (a square without a
            size), resized.
        center-wide: 'center', then bars above and below to a W x W square (LSUN Cars: 512x384
            inside 512x512).
        fit: the whole image, centred on a canvas of the aspect ratio of `size`, resized.
        stretch: the whole image resized, aspect ratio ignored.
        pad: no resampling; centred on a canvas of `size` (MNIST: 28x28 inside 32x32).

    Bars take the colour `background`; in RGBA images they are transparent. RGBA images are
    resampled with premultiplied alpha, so hidden colours do not bleed in.

    Raises:
        ImageError: the image does not suit the crop mode.
    """
    check_options(size, crop, filter)
    if size is None:
        if crop == "center":
            side = min(image.size)
            image = _center(image, side, side)
        return image, False
    width, height = size
    if crop == "none":
        _check_aspect(image, name, width, height)
    elif crop in ("center", "center-wide"):
        image = _center(image, *_largest_inside(image.width, image.height, width, height))
    elif crop == "fit":
        image = _on_canvas(
            image, *_smallest_around(image.width, image.height, width, height), background
        )
    elif crop == "pad":
        if image.width > width or image.height > height:
            raise ImageError(
                name,
                f"is {image.width}x{image.height}, larger than {width}x{height}; "
                "crop='pad' never scales, use crop='fit'",
            )
        return _on_canvas(image, width, height, background), False
    upscaled = image.width < width or image.height < height
    if image.size != (width, height):
        image = image.resize((width, height), FILTERS[filter])
    if crop == "center-wide":
        image = _on_canvas(image, width, width, background)
    return image, upscaled


def _largest_inside(w: int, h: int, width: int, height: int) -> tuple[int, int]:
    if w * height > h * width:
        return max(1, round(h * width / height)), h
    return w, max(1, round(w * height / width))


def _smallest_around(w: int, h: int, width: int, height: int) -> tuple[int, int]:
    if w * height > h * width:
        return w, max(h, round(w * height / width))
    return max(w, round(h * width / height)), h


def _check_aspect(image: Image.Image, name: str, width: int, height: int) -> None:
    # Half a pixel of the image: 1023x767 may become 512x384, 1000x768 may not.
    w, h = image.size
    if abs(w * height - h * width) * 2 > max(width, height):
        raise ImageError(
            name,
            f"is {w}x{h} and does not have the aspect ratio of {width}x{height}; "
            "use crop='center', 'fit' or 'stretch'",
        )


def _center(image: Image.Image, width: int, height: int) -> Image.Image:
    if image.size == (width, height):
        return image
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _on_canvas(image: Image.Image, width: int, height: int, background: str) -> Image.Image:
    if image.size == (width, height):
        return image
    colour = parse_colour(background)
    if image.mode == "RGBA":
        canvas = Image.new("RGBA", (width, height), (*colour, 0))
    elif image.mode == "L":
        canvas = Image.new("RGB", (1, 1), colour).convert("L").resize((width, height))
    else:
        canvas = Image.new(image.mode, (width, height), colour)
    canvas.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
    return canvas
