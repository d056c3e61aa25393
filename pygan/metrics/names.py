"""Names of metrics: those that are asked for, and those that results bear.

=========  ===========================================  ========================================
asked for  results                                      needs
=========  ===========================================  ========================================
fid        ``fid``, or ``fd_EXTRACTOR``                 real images
kid        ``kid``, or ``kd_EXTRACTOR``                 real images
pr         ``precision_EXTRACTOR``, ``recall_...``      real images
is         ``is``, or ``is_EXTRACTOR``                  an extractor that knows classes
ls         ``ls_z_EXTRACTOR``, ``ls_w_EXTRACTOR``       real images with labels, a generator with w
ppl        ``ppl2_wend``, or ``ppl2_wend_DISTANCE``     a generator with w, a perceptual distance
=========  ===========================================  ========================================

A distance of features is the FID, and its kin are KID and IS, only with the Inception network of
2015 and its own way of resizing; results of other extractors, and of other ways of resizing, bear
their names. So do path lengths with another distance than LPIPS on VGG16.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Optional

from pygan.errors import InputError
from pygan.metrics.extraction import Extractor

OF_FEATURES = ("fid", "kid", "pr", "is")
OF_GENERATORS = ("ls", "ppl")
_PATH_LENGTH = re.compile(r"(ppl2?)_([zw])(end|full)(_torch)?")
_INCEPTION, _INCEPTION_RESIZE = "inception-2015", "tf1-bilinear"
_LPIPS = "lpips-vgg"


def parse_metrics(text: str, allowed: Sequence[str] = (*OF_FEATURES, *OF_GENERATORS)) -> list[str]:
    """Names from a list such as ``kid,fid``.

    Path lengths may also be asked for by their full name: ``ppl2_zend``, or ``ppl_wfull`` for
    cropped images and ``ppl_wfull_torch`` for the other way of cropping.

    Raises:
        InputError: a name is unknown or comes twice.
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        path_length = "ppl" in allowed and path_length_of(name) is not None
        if name not in allowed and not path_length:
            full = ", ppl2_zend, ppl_wfull and so on" if "ppl" in allowed else ""
            raise InputError(
                f"--metrics: {name!r} is unknown here; choose from: {', '.join(allowed)}{full}"
            )
    if len(set(names)) < len(names):
        raise InputError(f"--metrics: {text!r} names a metric twice")
    return names


def path_length_of(name: str) -> Optional[dict[str, str]]:
    """Space, sampling and crop of a path length by its name; None if it is another metric."""
    match = _PATH_LENGTH.fullmatch("ppl2_wend" if name == "ppl" else name)
    if match is None or (match[1] == "ppl2" and match[4]):
        return None
    crop = "none" if match[1] == "ppl2" else "torch" if match[4] else "tf"
    return {"space": match[2], "sampling": match[3], "crop": crop}


def path_length_name(space: str, sampling: str, crop: str, distance: str) -> str:
    """Such as ``ppl2_wend`` for whole images, ``ppl_zfull`` or ``ppl_zfull_torch`` for crops.

    Args:
        space: 'w' or 'z'.
        sampling: 'end' or 'full'.
        crop: 'none', 'tf' or 'torch'.
        distance: name of the perceptual distance.
    """
    first, last = ("ppl2" if crop == "none" else "ppl"), ("_torch" if crop == "torch" else "")
    other = "" if distance == _LPIPS else f"_{distance}"
    return f"{first}_{space}{sampling}{last}{other}"


def feature_metric_name(metric: str, extractor: Extractor, own_resize: str) -> str:
    """The name of a result.

    Args:
        metric: 'fid', 'kid' or 'is', which have a name of their own with Inception; or any other.
        extractor: that the features are from, with the way of resizing in force.
        own_resize: the extractor's own way of resizing.
    """
    used = (extractor.name, extractor.resize)
    if metric in ("fid", "kid", "is") and used == (_INCEPTION, _INCEPTION_RESIZE):
        return metric
    resized = "" if own_resize == extractor.resize else f"_{extractor.resize}"
    short = {"fid": "fd", "kid": "kd"}.get(metric, metric)
    return f"{short}_{extractor.name}{resized}"
