"""The loader: order, equality with plain loading, failures, shutdown."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_images import encoded, random_pixels

from pygan.data import (
    DataError,
    ImageDataset,
    ImageError,
    Loader,
    WorkerError,
    build_dataset,
    open_dataset,
)

ROOT = Path(__file__).resolve().parents[2]
WORKERS = pytest.mark.parametrize("workers", [0, 1, 2])


@pytest.fixture
def dataset(photos: Path, tmp_path: Path) -> ImageDataset:
    path = build_dataset(photos, tmp_path / "p.zip", labels="folders").dest
    return open_dataset(path, mirror=True, cache=False)


def batches(count: int, seed: int = 0) -> list[list[int]]:
    random = np.random.RandomState(seed)
    return [random.randint(0, 24, random.randint(0, 7)).tolist() for _ in range(count)]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@WORKERS
@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_order_and_content(dataset: ImageDataset, photos: Path, workers: int, kind: str) -> None:
    if kind == "folder":
        dataset = open_dataset(photos, mirror=True, cache=False)
    wanted = batches(20)
    with Loader(dataset, wanted, workers=workers) as loader:
        loaded = list(loader)
    assert len(loaded) == 20
    for indices, (images, labels) in zip(wanted, loaded):
        expected, expected_labels = dataset.load(indices)
        np.testing.assert_array_equal(images, expected)
        assert images.dtype == np.uint8
        assert images.flags.writeable
        if kind == "zip":
            np.testing.assert_array_equal(labels, expected_labels)
        else:
            assert labels is None


def test_endless_batches_are_read_only_a_little_ahead(dataset: ImageDataset) -> None:
    asked = 0

    def endless() -> Iterator[list[int]]:
        nonlocal asked
        while True:
            asked += 1
            yield [asked % 24]

    with Loader(dataset, endless(), workers=2, prefetch=3) as loader:
        for i in range(1, 31):
            images, _ = next(loader)
            np.testing.assert_array_equal(images, dataset.load([i % 24])[0])
            assert asked == i + 6


def test_datasets_in_memory_need_no_workers(dataset: ImageDataset) -> None:
    cached = open_dataset(dataset.info["path"], cache=True)
    with Loader(cached, [[0], [1]], workers=2) as loader:
        assert not loader._workers
        assert len(list(loader)) == 2


@WORKERS
def test_broken_file_is_named_in_its_turn(photos: Path, workers: int) -> None:
    dataset = open_dataset(photos, cache=False)
    (photos / "a" / "09.png").write_bytes(b"broken")  # index 3
    loader = Loader(dataset, [[0], [1, 2], [0, 3], [4]], workers=workers)
    assert next(loader)[0].shape[0] == 1
    assert next(loader)[0].shape[0] == 2
    with pytest.raises(ImageError, match=r"09\.png: is not an image") as caught:
        next(loader)
    assert caught.value.name == str(photos / "a" / "09.png")
    assert list(loader) == []  # closed


@WORKERS
def test_bad_index_and_failing_batches_in_their_turn(dataset: ImageDataset, workers: int) -> None:
    def failing() -> Iterator[list[int]]:
        yield [0]
        raise RuntimeError("no more")

    for source, error in (([[0], [24], [1]], IndexError), (failing(), RuntimeError)):
        loader = Loader(dataset, source, workers=workers)
        assert next(loader)[0].shape[0] == 1
        with pytest.raises(error):
            next(loader)
        assert list(loader) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_killed_worker(dataset: ImageDataset) -> None:
    loader = Loader(dataset, iter(batches(1000)), workers=2)
    next(loader)
    loader._workers[1].process.kill()
    with pytest.raises(WorkerError, match=r"data worker 1 \(process \d+\) was killed by SIGKILL"):
        list(loader)
    assert not loader._workers


def test_crashing_worker(
    dataset: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A Pillow that ends the process: what a crash in a native decoder looks like from outside.
    (tmp_path / "PIL").mkdir()
    (tmp_path / "PIL" / "__init__.py").write_text("import os; os._exit(7)")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(WorkerError, match=r"ended with exit code 7 while it decoded a batch of 1"):
        next(Loader(dataset, [[0]], workers=1))


def test_unexpected_failure_in_a_worker(dataset: ImageDataset) -> None:
    Path(dataset.info["path"]).write_bytes(b"no longer an archive")
    with pytest.raises(
        WorkerError, match=r"data worker 0 failed: DataError: .* not a readable zip"
    ):
        next(Loader(dataset, [[0]], workers=1))


def test_shutdown(dataset: ImageDataset) -> None:
    def processes(loader: Loader) -> list[subprocess.Popen[bytes]]:
        return [worker.process for worker in loader._workers]

    # Closed in the middle, with answers on their way; closing twice is harmless.
    loader = Loader(dataset, iter(batches(1000)), workers=2, prefetch=8)
    started = processes(loader)
    next(loader)
    loader.close()
    loader.close()
    assert list(loader) == []
    # Left without being exhausted.
    with Loader(dataset, batches(5), workers=1) as loader:
        started += processes(loader)
    # Exhausted.
    loader = Loader(dataset, [[0]], workers=1)
    started += processes(loader)
    assert len(list(loader)) == 1
    # Forgotten.
    loader = Loader(dataset, batches(5), workers=1)
    started += processes(loader)
    next(loader)
    del loader
    gc.collect()
    assert len(started) == 5
    assert all(process.returncode is not None for process in started)


_PROGRAM = """
import os, sys
from pygan.data import Loader, open_dataset
def endless():
    while True:
        yield list(range(12))
loader = Loader(open_dataset(sys.argv[1], cache=False), endless(), workers=2)
next(loader)
print(*[worker.process.pid for worker in loader._workers], flush=True)
if sys.argv[2] == "wait":
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("end", ["leave", "wait"])
def test_workers_do_not_outlive_the_program(dataset: ImageDataset, end: str) -> None:
    # The program has no `if __name__ == "__main__"` guard and keeps its loader open.
    program = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, dataset.info["path"], end],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert program.stdout is not None
    pids = [int(word) for word in program.stdout.readline().split()]
    assert len(pids) == 2
    if end == "wait":
        program.send_signal(signal.SIGKILL)
    assert program.wait(30) == (-signal.SIGKILL if end == "wait" else 0)
    program.communicate()
    deadline = time.monotonic() + 30
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(alive(pid) for pid in pids)


def test_workers_import_no_paddle(dataset: ImageDataset) -> None:
    if not Path("/proc/self/maps").exists():
        pytest.skip("needs /proc")
    with Loader(dataset, batches(50), workers=1) as loader:
        next(loader)
        maps = Path(f"/proc/{loader._workers[0].process.pid}/maps").read_text()
    assert "PIL" in maps
    assert "paddle" not in maps


def test_works_beside_paddle(dataset: ImageDataset) -> None:
    paddle = pytest.importorskip("paddle")
    matrix = paddle.ones([64, 64])
    with Loader(dataset, batches(10), workers=2) as loader:
        total = sum(
            float(paddle.matmul(matrix, matrix).sum()) * 0 + images.shape[0] for images, _ in loader
        )
    assert total == sum(len(indices) for indices in batches(10))


def test_large_batches_do_not_deadlock(tmp_path: Path) -> None:
    # Answers far beyond a pipe's buffer, requests beyond it too, and nobody reading for a while.
    folder = tmp_path / "big"
    folder.mkdir()
    (folder / f"{'long-name-' * 20}.png").write_bytes(encoded(random_pixels(0, 64, 64)))
    dataset = open_dataset(folder, cache=False)
    wanted = [[0] * 600] * 6
    with Loader(dataset, wanted, workers=1, prefetch=4) as loader:
        time.sleep(0.5)
        assert [images.shape for images, _ in loader] == [(600, 3, 64, 64)] * 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": -1}, "workers must be at least 0"),
        ({"prefetch": 0}, "prefetch must be at least 1"),
    ],
)
def test_illegal_arguments(dataset: ImageDataset, arguments: dict[str, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Loader(dataset, [[0]], **arguments)
