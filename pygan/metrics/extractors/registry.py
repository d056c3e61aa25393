"""Builds extractors and perceptual distances from the weights on this computer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

from pygan.errors import InputError

from . import store

if TYPE_CHECKING:  # what imports Paddle waits for a network to be built
    from .extractor import FeatureExtractor
    from .lpips import Distance

#: Of the layers relu1_1 to relu5_1 of VGG19 in pix2pixHD, and of VGG16's relu1_2 to relu5_3.
PIX2PIXHD_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)


def _inception(loaded: store.Loaded) -> FeatureExtractor:
    from .extractor import FeatureExtractor
    from .inception_2015 import Inception2015

    return FeatureExtractor("inception-2015", loaded, Inception2015(), "tf1-bilinear")


def _efficientnet(loaded: store.Loaded) -> FeatureExtractor:
    from .efficientnet_lite import EfficientNetLite0
    from .extractor import FeatureExtractor

    return FeatureExtractor("efficientnet-lite0", loaded, EfficientNetLite0(), "bicubic")


def _vgg16(name: str) -> Callable[[store.Loaded], FeatureExtractor]:
    def build(loaded: store.Loaded) -> FeatureExtractor:
        from .extractor import FeatureExtractor
        from .vgg16 import VGG16

        return FeatureExtractor(name, loaded, VGG16("fc6.weight" in loaded.arrays), "bicubic")

    return build


_EXTRACTORS: dict[str, Callable[[store.Loaded], FeatureExtractor]] = {
    "inception-2015": _inception,
    "efficientnet-lite0": _efficientnet,
    "vgg16": _vgg16("vgg16"),
    "vgg16-torchvision": _vgg16("vgg16-torchvision"),
}


def _lpips(trunk: str, shift_tolerant: bool) -> Callable[[store.Loaded], Distance]:
    def build(loaded: store.Loaded) -> Distance:
        from .layers import set_weights
        from .lpips import LPIPS

        network = LPIPS(trunk, shift_tolerant)
        set_weights(network, loaded.arrays, loaded.source)
        return network

    return build


def _features(weights: tuple[float, ...], unit: bool) -> Callable[[store.Loaded], Distance]:
    def build(loaded: store.Loaded) -> Distance:
        from .layers import set_weights
        from .lpips import FeatureDistance
        from .vgg16 import VGG16

        network = VGG16(fully_connected=False)
        arrays = {k: v for k, v in loaded.arrays.items() if not k.startswith("fc")}
        set_weights(network, arrays, loaded.source)
        return FeatureDistance(network, weights, unit)

    return build


def _vgg19(loaded: store.Loaded) -> Distance:
    from .layers import set_weights
    from .lpips import FeatureDistance
    from .vgg19 import VGG19

    network = VGG19()
    set_weights(network, loaded.arrays, loaded.source)
    return FeatureDistance(network, PIX2PIXHD_WEIGHTS, unit=False, scale=1.0)


# Name -> name of the weights, builder.
_PERCEPTUAL: dict[str, tuple[str, Callable[[store.Loaded], Distance]]] = {
    "stlpips-vgg": ("stlpips-vgg", _lpips("vgg", True)),
    "stlpips-alex": ("stlpips-alex", _lpips("alex", True)),
    "lpips-vgg": ("lpips-vgg", _lpips("vgg", False)),
    "lpips-alex": ("lpips-alex", _lpips("alex", False)),
    "vgg19": ("vgg19", _vgg19),
    "vgg16": ("vgg16", _features(PIX2PIXHD_WEIGHTS, unit=False)),
    "vgg16-unit": ("vgg16", _features((1.0,) * 5, unit=True)),
    "vgg16-torchvision": ("vgg16-torchvision", _features(PIX2PIXHD_WEIGHTS, unit=False)),
    "vgg16-torchvision-unit": ("vgg16-torchvision", _features((1.0,) * 5, unit=True)),
}

EXTRACTORS = tuple(_EXTRACTORS)
PERCEPTUAL = tuple(_PERCEPTUAL)


def find_extractor(name: str) -> FeatureExtractor:
    """The extractor called `name`, one of ``EXTRACTORS``, with its published weights.

    Raises:
        InputError: there is none of this name, or its weights are not installed or damaged; the
            message tells how to install them.
    """
    if name not in _EXTRACTORS:
        raise InputError(f"extractor: {name!r} is unknown; choose from: {', '.join(EXTRACTORS)}")
    return _EXTRACTORS[name](store.load(name))


def find_perceptual(name: str) -> Distance:
    """The perceptual distance called `name`, one of ``PERCEPTUAL``, with its published weights.

    ``stlpips-*`` and ``lpips-*`` are learnt distances. ``vgg19`` is the weighted distance of
    features that pix2pixHD and SPADE use as a loss, ``vgg16`` the same with a smaller network,
    ``vgg16-unit`` LPIPS without learnt heads; see :class:`.lpips.FeatureDistance`. With
    ``-torchvision`` the weights are torchvision's.

    Raises:
        InputError: as :func:`find_extractor`.
    """
    if name not in _PERCEPTUAL:
        raise InputError(
            f"perceptual distance: {name!r} is unknown; choose from: {', '.join(PERCEPTUAL)}"
        )
    weights, build = _PERCEPTUAL[name]
    loaded = store.load(weights)
    network = build(loaded)
    network.eval()
    network.name, network.sha256 = name, loaded.sha256
    return network


def installed() -> list[str]:
    """The names for which :func:`find_extractor` or :func:`find_perceptual` finds weights, in the
    order of ``EXTRACTORS``, then ``PERCEPTUAL``; each once. The files are not opened."""
    extractors = [name for name in EXTRACTORS if _is_there(name)]
    distances = [name for name, (weights, _) in _PERCEPTUAL.items() if _is_there(weights)]
    return list(dict.fromkeys(extractors + distances))


def _is_there(weights: str) -> bool:
    try:
        return store.find(weights) is not None
    except InputError:  # the environment variable names no file
        return False


def check(name: str, arrays: store.Arrays, source: str) -> None:
    """Raises InputError, naming `source`, unless the weights `name` fit their network."""
    loaded = store.Loaded(arrays, "", source)
    if name in _EXTRACTORS:
        _EXTRACTORS[name](loaded)
    else:
        _PERCEPTUAL[name][1](loaded)
