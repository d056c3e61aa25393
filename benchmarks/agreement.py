"""Do pygan and its peers compute the same thing?

    python -m benchmarks.agreement --torch-python PATH

gives the three implementations the same weights and inputs and prints how far their images, logits,
path-length gradients and R1 gradients are apart: max |difference| / max |value|, the worst over the
parameters. A comparison of speed is worth nothing without this.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.harness import Interpreters, Pool

PADDLE = "benchmarks.workloads.paddle_agreement"
TORCH = "benchmarks.workloads.torch_agreement"


def differences(first: Path, second: Path) -> dict[str, float]:
    """The largest relative difference of each kind of result in two files.

    Raises:
        ValueError: one file has a result with values other than zero that the other lacks.
    """
    a, b = dict(np.load(first)), dict(np.load(second))
    for name in a.keys() ^ b.keys():
        # A parameter without a path to the loss has no gradient in one framework and a zero one in
        # another.
        if np.abs(a.get(name, b.get(name))).max() > 0:
            raise ValueError(f"only one of {first.name} and {second.name} has {name!r}")
    worst: dict[str, float] = {}
    for name in a.keys() & b.keys():
        scale = max(np.abs(a[name]).max(), np.abs(b[name]).max())
        if scale > 0:
            kind = name.split(",")[0]
            error = float(np.abs(a[name].reshape(b[name].shape) - b[name]).max() / scale)
            worst[kind] = max(worst.get(kind, 0.0), error)
    return dict(sorted(worst.items()))


def compare(
    interpreters: Interpreters, resolution: int, channel_base: int
) -> dict[str, dict[str, float]]:
    """The differences of pygan and of the PyTorch peer from the Paddle peer."""
    sizes = {"resolution": resolution, "channel_base": channel_base}
    with tempfile.TemporaryDirectory() as folder, Pool(interpreters, 1) as pool:
        source, files = str(Path(folder, "inputs.npz")), {}
        pool["paddle"].call(f"{PADDLE}:make_inputs", target=source, **sizes)
        for variant in ("paddle", "pygan-default", "torch"):
            if not pool.available(variant):
                continue
            files[variant] = Path(folder, f"{variant}.npz")
            arguments = {"source": source, "target": str(files[variant]), **sizes}
            if variant == "torch":
                pool[variant].call(f"{TORCH}:evaluate", **arguments)
            else:
                owner = "peer" if variant == "paddle" else "pygan"
                pool[variant].call(f"{PADDLE}:evaluate", owner=owner, **arguments)
        return {
            variant: differences(files["paddle"], path)
            for variant, path in files.items()
            if variant != "paddle"
        }


def compare_augmentation(
    interpreters: Interpreters, height: int, width: int
) -> dict[str, dict[str, float]]:
    """The same for augmented images and their gradient."""
    with tempfile.TemporaryDirectory() as folder, Pool(interpreters, 1) as pool:
        source, files = str(Path(folder, "inputs.npz")), {}
        pool["paddle"].call(f"{PADDLE}:make_images", target=source, height=height, width=width)
        for variant in ("paddle", "pygan-default", "torch"):
            if not pool.available(variant):
                continue
            files[variant] = Path(folder, f"{variant}.npz")
            arguments = {"source": source, "target": str(files[variant])}
            if variant == "torch":
                pool[variant].call(f"{TORCH}:augment", **arguments)
            else:
                owner = "peer" if variant == "paddle" else "pygan"
                pool[variant].call(f"{PADDLE}:augment", owner=owner, **arguments)
        return {
            variant: differences(files["paddle"], path)
            for variant, path in files.items()
            if variant != "paddle"
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch-python", help="interpreter with PyTorch")
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--channel-base", type=int, default=1024)
    args = parser.parse_args()
    interpreters = Interpreters(torch=args.torch_python)
    found = compare(interpreters, args.resolution, args.channel_base)
    for variant, worst in compare_augmentation(interpreters, args.resolution, 96).items():
        found[variant] |= worst
    for variant, worst in found.items():
        print(f"{variant} against the Paddle composition")
        for kind, error in worst.items():
            print(f"  {kind:14s} {error:.1e}")


if __name__ == "__main__":
    main()
