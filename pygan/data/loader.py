"""Loading batches ahead of time, in order, in worker processes.

Workers are plain child processes that run pygan.data.worker and talk over pipes, instead of
`multiprocessing` pools, because

* they start by executing a new interpreter: a fork would copy Paddle's thread pools in whatever
  state they are (deadlocks), and spawn and forkserver re-import the caller's main script;
* they import numpy and Pillow only: about 40 MB and half a second each;
* pipes need no shared memory, which containers limit to 64 MB by default. A batch of 32 images of
  256x256 takes 4 to 8 ms to copy, against some 70 ms to decode.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import IO, Any, Generic, Protocol, TypeVar

import numpy as np

from .errors import DataError, ImageError, WorkerError
from .worker import ERROR, HEADER

Item = TypeVar("Item")
Batch = TypeVar("Batch", covariant=True)
Item_contra = TypeVar("Item_contra", contravariant=True)

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from pygan.data.worker import main; main()"
)
_STOP_SECONDS = 5.0


class Loadable(Protocol[Item_contra, Batch]):
    """What a loader reads: an ImageDataset, of which items are indices, or Pairs, of Placed."""

    @property
    def cached(self) -> bool:
        """Whether samples stay in memory."""

    def load(self, items: Sequence[Item_contra], /) -> Batch:
        """The batch of these items."""

    def name(self, item: Item_contra, /) -> str:
        """How messages call it."""

    def worker_source(self) -> dict[str, Any]:
        """What a worker process needs, as JSON values."""

    def worker_request(self, items: Sequence[Item_contra], /) -> list[Any]:
        """What a worker is to be asked for these items, as JSON values."""

    def answer_shape(self, count: int, /) -> tuple[int, ...]:
        """Shape of the uint8 values of its answer."""

    def assemble(self, answer: np.ndarray, items: Sequence[Item_contra], /) -> Batch:
        """The batch that the answer is."""


class Loader(Generic[Item, Batch]):
    """Iterator over the batches named by `index_batches`, in their order.

    Which images form a batch is the caller's decision; the loader holds no random state. It reads
    `index_batches` up to workers * prefetch batches ahead, so a resumed run starts from the number
    of batches it has consumed.

    Args:
        dataset: from open_dataset, or the ``pairs`` of a PairedDataset.
        index_batches: lists of indices, or of Placed for pairs; may be endless.
        workers: processes that decode; 0 decodes in this process when a batch is asked for.
            Datasets that are kept in memory are always read in this process.
        prefetch: batches in the making per worker.

    Each item is (images [B, C, H, W] uint8, labels [B] int64 or None), of pairs a PairBatch. Use as
    a context manager, or call close(); a loader that is forgotten or whose process ends stops its
    workers too.

    Raises (from next):
        ImageError: an image is broken; the message names it.
        IndexError: an index outside the dataset.
        WorkerError: a worker process died.
        After an error the loader is closed.
    """

    def __init__(
        self,
        dataset: Loadable[Item, Batch],
        index_batches: Iterable[Sequence[Item]],
        workers: int = 0,
        prefetch: int = 2,
    ) -> None:
        if workers < 0:
            raise DataError(f"workers must be at least 0, not {workers}")
        if prefetch < 1:
            raise DataError(f"prefetch must be at least 1, not {prefetch}")
        self._dataset = dataset
        self._batches: Iterator[Sequence[Item]] = iter(index_batches)
        self._pending: deque[tuple[_Worker, list[Item]]] = deque()
        self._failure: Exception | None = None
        self._exhausted = False
        self._closed = False
        self._next = 0
        self._depth = workers * prefetch
        self._workers: list[_Worker] = []
        self._finalizer = weakref.finalize(self, _stop_all, self._workers)
        if not dataset.cached:
            for _ in range(workers):
                self._workers.append(_Worker(dataset.worker_source(), len(self._workers)))

    def __iter__(self) -> Loader[Item, Batch]:
        return self

    def __next__(self) -> Batch:
        if self._closed:
            raise StopIteration
        try:
            batch = self._from_workers() if self._workers else self._in_process()
        except BaseException:
            self.close()
            raise
        if batch is None:
            self.close()
            raise StopIteration
        return batch

    def close(self) -> None:
        """Stops the workers; the iteration ends. May be called more than once."""
        self._closed = True
        self._pending.clear()
        self._finalizer()

    def __enter__(self) -> Loader[Item, Batch]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _in_process(self) -> Batch | None:
        for items in self._batches:
            return self._dataset.load(items)
        return None

    def _from_workers(self) -> Batch | None:
        while len(self._pending) < self._depth and not self._exhausted:
            self._submit()
        if not self._pending:
            if self._failure is not None:
                raise self._failure
            return None
        worker, items = self._pending.popleft()
        answer = worker.result(items, self._dataset)
        if not self._exhausted:
            self._submit()
        return self._dataset.assemble(answer, items)

    def _submit(self) -> None:
        # A failure to name a batch is raised when its turn comes, after the batches before it.
        try:
            items = list(next(self._batches))
            request = self._dataset.worker_request(items)
        except StopIteration:
            self._exhausted = True
            return
        except Exception as error:
            self._exhausted = True
            self._failure = error
            return
        worker = self._workers[self._next % len(self._workers)]
        self._next += 1
        worker.submit(request, self._dataset.answer_shape(len(items)))
        self._pending.append((worker, items))


class _Worker:
    """A worker process, with a thread that receives its answers as they come."""

    def __init__(self, source: dict[str, Any], number: int) -> None:
        # Decoding is single-threaded; idle BLAS threads would only take memory.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        path = json.dumps([os.path.abspath(entry) for entry in sys.path])
        self.number = number
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._requests: IO[bytes] = self.process.stdin
        self._shapes: queue.SimpleQueue[tuple[int, ...]] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[np.ndarray | dict[str, Any] | None] = queue.SimpleQueue()
        arguments = (self.process.stdout, self._shapes, self._answers)
        self._thread = threading.Thread(target=_receive, args=arguments, daemon=True)
        self._thread.start()
        self._send(source)

    def submit(self, request: list[Any], shape: tuple[int, ...]) -> None:
        self._shapes.put(shape)
        self._send(request)

    def result(self, items: list[Item], dataset: Loadable[Item, Batch]) -> np.ndarray:
        answer = self._answers.get()
        if isinstance(answer, np.ndarray):
            return answer
        if answer is None:
            raise WorkerError(self._obituary(items, dataset))
        if answer["name"] is None:
            raise WorkerError(f"data worker {self.number} failed: {answer['reason']}")
        raise ImageError(answer["name"], answer["reason"])

    def stop(self) -> None:
        """Ends the process. Workers hold no state, so there is nothing to wait for."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._thread.join(_STOP_SECONDS)
        for pipe in (self._requests, self.process.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except OSError:  # unsent requests to a process that is gone
                pass

    def _send(self, message: object) -> None:
        try:
            self._requests.write(json.dumps(message).encode() + b"\n")
            self._requests.flush()
        except OSError:
            pass  # it died; result() says so in the order of the batches

    def _obituary(self, items: list[Item], dataset: Loadable[Item, Batch]) -> str:
        try:
            code = self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            how = "closed its pipe"
        else:
            how = f"ended with exit code {code}"
            if code < 0:
                how = f"was killed by {signal.Signals(-code).name}"
                if -code == getattr(signal, "SIGKILL", None):
                    how += " (often the system's answer to exhausted memory)"
        first = f", starting with {dataset.name(items[0])}" if items else ""
        return (
            f"data worker {self.number} (process {self.process.pid}) {how} while it decoded a "
            f"batch of {len(items)} images{first}; its messages are above. workers=0 decodes in "
            "the main process and shows where it happens"
        )


def _receive(
    pipe: IO[bytes],
    shapes: queue.SimpleQueue[tuple[int, ...]],
    answers: queue.SimpleQueue[np.ndarray | dict[str, Any] | None],
) -> None:
    """Thread: moves answers from the pipe into arrays, so that the worker never waits to send."""
    try:
        while len(head := pipe.read(HEADER.size)) == HEADER.size:
            kind, length = HEADER.unpack(head)
            shape = shapes.get()
            if kind == ERROR:
                answers.put(json.loads(pipe.read(length)))
                continue
            images = np.empty(shape, dtype=np.uint8)
            if length != images.nbytes or not _read_into(pipe, images):
                break
            answers.put(images)
    except (OSError, ValueError):  # the pipe was closed, or broke within an answer
        pass
    answers.put(None)


def _read_into(pipe: IO[bytes], images: np.ndarray) -> bool:
    if images.nbytes == 0:
        return True
    return pipe.readinto(images.data.cast("B")) == images.nbytes  # type: ignore[attr-defined]


def _stop_all(workers: list[_Worker]) -> None:
    for worker in workers:
        if worker.process.poll() is None:
            worker.process.terminate()
    for worker in workers:
        worker.stop()
    workers.clear()
