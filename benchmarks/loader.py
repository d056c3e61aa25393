"""Does the data loader keep up with training?

    python -m benchmarks.loader [--workers 0 1 2] [--sizes 64 256] [--batch 4] [--seconds 2]

prints, for images of each size and number of worker processes, the images per second in steady
state (median of interleaved rounds), and the time a training step has to wait for its batch if it
asks as fast as it can. The images are photo-like: smooth shapes and a little noise, as PNG.
Compare the last column with the duration of a training step; workers load while the step runs, so
what matters is that the column is the smaller of the two.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from pygan.data import ImageDataset, Loader, build_dataset, open_dataset


def make_dataset(folder: Path, size: int, count: int) -> Path:
    """A dataset of `count` images of size x size; its path."""
    images = folder / f"images{size}"
    images.mkdir()
    for index in range(count):
        random = np.random.RandomState(index)
        coarse = Image.fromarray(random.randint(0, 256, (8, 8, 3)).astype(np.uint8))
        smooth = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), np.int16)
        noisy = np.clip(smooth + random.randint(-4, 5, smooth.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(images / f"{index}.png")
    return build_dataset(images, folder / f"images{size}.zip").dest


def batches(dataset: ImageDataset, batch: int) -> Iterator[list[int]]:
    """Endless random batches."""
    random = np.random.RandomState(0)
    while True:
        yield random.randint(0, len(dataset), batch).tolist()


def images_per_second(dataset: ImageDataset, workers: int, batch: int, seconds: float) -> float:
    """Throughput after the workers have started and their queues have filled."""
    with Loader(dataset, batches(dataset, batch), workers=workers) as loader:
        for _ in range(4 * workers + 2):
            next(loader)
        start, count = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - start) < seconds:
            count += len(next(loader)[0])
        return count / elapsed


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        datasets: dict[str, ImageDataset] = {}
        for size in args.sizes:
            path = make_dataset(Path(folder), size, 64)
            datasets[f"{size}x{size}"] = open_dataset(path, cache=False)
            datasets[f"{size}x{size}, in memory"] = open_dataset(path, cache=True)
        cases = [
            (name, workers)
            for name, workers in itertools.product(datasets, args.workers)
            if workers == args.workers[0] or not datasets[name].cached
        ]
        results: dict[tuple[str, int], list[float]] = {case: [] for case in cases}
        for _ in range(args.rounds):
            for name, workers in cases:
                speed = images_per_second(datasets[name], workers, args.batch, args.seconds)
                results[name, workers].append(speed)
    print(f"| images | workers | images/s | ms per batch of {args.batch} |")
    print("|---|---|---|---|")
    for (name, workers), speeds in results.items():
        speed = statistics.median(speeds)
        shown = "-" if name.endswith("memory") else str(workers)
        print(f"| {name} | {shown} | {speed:.0f} | {1e3 * args.batch / speed:.2f} |")


if __name__ == "__main__":
    main()
