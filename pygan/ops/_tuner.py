"""On a GPU, times the native kernels against Paddle's operators and keeps the faster, per shape.

The first call of an operator with a new shape and ``impl='auto'`` runs both on constant tensors of
the same shapes, forward and, where gradients are wanted, backward (of first order). What is decided
is remembered in the process and in a file for this GPU, driver, Paddle and pygan. Paddle's side is
`impl='ref'` where something may be differentiated, and otherwise Paddle's own convolutions, which
are not right to second order (_composed.py).

Environment, read when pygan.ops is imported:

    PYGAN_TUNE=0          native always, nothing is timed: the same kernels on every machine
    PYGAN_TUNE=1          (default) as described
    PYGAN_TUNE=force      time again, once per process and shape, whatever the file says
    PYGAN_TUNE_CACHE=DIR  the folder of the files; default $XDG_CACHE_HOME/pygan/tune or
                          ~/.cache/pygan/tune

Both sides compute the same numbers up to rounding. The processes of a distributed run decide for
themselves and may decide differently; so may a run that is resumed after its file was lost.
Composition is never chosen where it would be less exact: in float32, where Paddle's TF32 is on and
`pygan.ops.allow_tf32` is off, and under automatic mixed precision, which casts Paddle's operators.
"""

from __future__ import annotations

import functools
import json
import math
import os
import statistics
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Optional

import paddle

from pygan.ops import _native
from pygan.ops._checks import FLOATING
from pygan.ops._tune_cache import TuneCache
from pygan.ops._tune_device import Device, PaddleDevice

NATIVE, REF = "native", "ref"
# The composition of _composed.py. Not a word that one passes as `impl` by mistake.
COMPOSED = _native.COMPOSED

Run = Callable[..., paddle.Tensor]

_MARGIN = 0.97  # the composition must be faster by more than noise
_BATCH_SECONDS = 2e-3  # of calls between two looks at the clock
_MOST_CALLS = 20
_ROUNDS = 5
_SLOW_SECONDS = 0.2  # a call that takes longer is timed once
_VALUE = 0.5

# Paddle's comparison and hash of a dtype are slow; its identity is not.
_DTYPES = {id(t): i for i, t in enumerate(FLOATING)}


class Tuner:
    """Decides between native kernels and composition, once per key.

    Args:
        device: the machine.
        clock: seconds, monotonic.
        cache: where decisions outlive the process; None for nowhere.
        mode: '1' or 'force', as PYGAN_TUNE.
    """

    def __init__(
        self,
        device: Device,
        cache: Optional[TuneCache],
        clock: Callable[[], float] = time.perf_counter,
        mode: str = "1",
    ) -> None:
        self._device, self._cache, self._clock, self._mode = device, cache, clock, mode
        self._decided: dict[tuple, str] = {}
        self._report: list[dict[str, Any]] = []
        self._lock = threading.RLock()
        self._stored: Optional[dict[str, Any]] = None
        self._known: Optional[dict[str, str]] = None

    def choose(
        self,
        op: str,
        tensors: Sequence[Optional[paddle.Tensor]],
        attributes: tuple,
        run: Run,
        settings: tuple = (),
    ) -> str:
        """The ``impl`` with which ``op`` should go on: 'native', 'ref', COMPOSED, or 'auto' again.

        Args:
            op: its name.
            tensors: its inputs; the shapes of the first two tell those of the others, except for
                what makes no difference to speed.
            attributes: what else speed depends on; hashable, of JSON's types and tuples.
            run: ``run(impl, *tensors, *settings)`` calls the operator. No closure: the interpreter
                of `to_static` crashes in functions whose variables one captures.
        """
        # Every call of every operator comes through here: a question to Paddle costs 0.1 to 1 us.
        x = tensors[0]
        assert x is not None
        w = tensors[1] if len(tensors) > 1 else None
        given = live = 0
        for i, t in enumerate(tensors):
            if t is not None:
                given |= 1 << i
                if not t.stop_gradient:
                    live |= 1 << i
        if live and not paddle.is_grad_enabled():
            live = 0
        x_dtype = x.dtype
        key = (
            op,
            given,
            live,
            tuple(x.shape),
            _DTYPES.get(id(x_dtype), x_dtype),
            None if w is None else tuple(w.shape),
            attributes,
            _native.tf32,
            self._device.paddle_tf32(),
        )
        decided = self._decided.get(key)
        if decided is NATIVE:
            return NATIVE  # which computes on the CPU, too
        if not self._device.holds(x):
            return "auto"
        if decided is None:
            call = functools.partial(_call, run, settings)
            return self._decide(key, op, tensors, attributes, call)
        return NATIVE if self._device.is_autocasting() else decided

    def report(self) -> list[dict[str, Any]]:
        """See `pygan.ops.tuning_report`."""
        with self._lock:
            return [dict(entry) for entry in self._report]

    def _decide(
        self,
        key: tuple,
        op: str,
        tensors: Sequence[Optional[paddle.Tensor]],
        attributes: tuple,
        run: Run,
        settings: tuple = (),
    ) -> str:
        device = self._device
        x = tensors[0]
        assert x is not None
        if device.unusable(x) is not None or 0 in x.shape:
            return "auto"
        if device.is_capturing() or device.is_autocasting():
            return NATIVE  # this time
        with self._lock:
            if key in self._decided:
                return self._decided[key]
            needs = [t is not None and not t.stop_gradient for t in tensors]
            needs = [n and paddle.is_grad_enabled() for n in needs]
            composition = REF if any(needs) else COMPOSED
            described = _describe(op, tensors, needs, attributes, device)
            entry = self._find(described)
            if entry is None:
                entry = self._measure(described, tensors, needs, composition, run)
            choice = composition if entry["choice"] == "composition" else NATIVE
            self._report.append({**described, **entry})
            self._decided[key] = choice
            return choice

    def _identity(self) -> dict[str, str]:
        if self._known is None:
            self._known = self._device.identity()
        return self._known

    def _find(self, described: dict[str, Any]) -> Optional[dict[str, Any]]:
        """The decision of an earlier process."""
        if self._cache is None or self._mode == "force":
            return None
        if self._stored is None:
            self._stored = self._cache.read(self._identity())
        found = self._stored.get(_name(described))
        return None if found is None else {**found, "source": "cache"}

    def _measure(
        self,
        described: dict[str, Any],
        tensors: Sequence[Optional[paddle.Tensor]],
        needs: Sequence[bool],
        composition: str,
        run: Run,
    ) -> dict[str, Any]:
        x = tensors[0]
        assert x is not None
        entry: dict[str, Any] = {
            "native_ms": None,
            "composition_ms": None,
            "choice": NATIVE,
            "source": "timed",
        }
        tf32_differs = self._device.paddle_tf32() and not _native.tf32
        if x.dtype == paddle.float32 and tf32_differs and described["op"] != "bias_act":
            return {**entry, "source": "not timed", "why": "the composition would use TF32"}
        try:
            # Both sides compute the same, whatever the caller has no use for this time.
            with _native.all_gradients():
                times, errors = self._race(tensors, needs, composition, run)
        finally:
            self._device.release()
        if NATIVE in errors and composition not in errors:
            warnings.warn(
                f"pygan.ops.{described['op']}: the native kernel failed while it was timed "
                f"({errors[NATIVE]}); Paddle's composition is used instead. Please report it with "
                "the output of: python -m pygan.gpu_check",
                stacklevel=5,
            )
            return {**entry, "choice": "composition", "why": errors[NATIVE]}
        if errors:
            # Possibly for want of memory, which another process may have: not for the file.
            return {**entry, "why": "; ".join(errors.values())}
        entry["native_ms"], entry["composition_ms"] = times[NATIVE], times[composition]
        if times[composition] < _MARGIN * times[NATIVE]:
            entry["choice"] = "composition"
        if self._cache is not None:
            stored = {k: v for k, v in entry.items() if k != "source"}
            self._cache.add(self._identity(), _name(described), stored)
        return entry

    def _race(
        self,
        tensors: Sequence[Optional[paddle.Tensor]],
        needs: Sequence[bool],
        composition: str,
        run: Run,
    ) -> tuple[dict[str, float], dict[str, str]]:
        """Median milliseconds of each side, taken in turns; and why a side failed."""
        samples: dict[str, list[float]] = {NATIVE: [], composition: []}
        errors: dict[str, str] = {}
        calls: dict[str, int] = {}
        bodies: dict[str, Callable[[], None]] = {}
        rounds = _ROUNDS
        for side in samples:
            try:
                bodies[side] = _body(side, tensors, needs, run)
                bodies[side]()  # compiles, plans and allocates
                once = self._time(bodies[side], 1)
                calls[side] = max(1, min(_MOST_CALLS, math.ceil(_BATCH_SECONDS / max(once, 1e-9))))
                if once > _SLOW_SECONDS:
                    rounds = 1
            except Exception as error:
                errors[side] = _first_line(error)
        for _ in range(0 if errors else rounds):
            for side, taken in samples.items():
                try:
                    taken.append(self._time(bodies[side], calls[side]) / calls[side])
                except Exception as error:
                    errors[side] = _first_line(error)
                    return {}, errors
        if errors:
            return {}, errors
        return {side: 1e3 * statistics.median(taken) for side, taken in samples.items()}, errors

    def _time(self, body: Callable[[], None], calls: int) -> float:
        # The wall clock around calls that follow each other: what a program waits for, be it the
        # GPU or the launching of many small kernels.
        self._device.synchronize()
        start = self._clock()
        for _ in range(calls):
            body()
        self._device.synchronize()
        return self._clock() - start


def _call(run: Run, settings: tuple, impl: str, *tensors: Optional[paddle.Tensor]) -> paddle.Tensor:
    return run(impl, *tensors, *settings)


def _body(
    impl: str, tensors: Sequence[Optional[paddle.Tensor]], needs: Sequence[bool], run: Run
) -> Callable[[], None]:
    """One call of an operator, on constants of its own: the caller's tensors only lend shapes."""
    with paddle.no_grad():
        inputs = [None if t is None else paddle.full_like(t.detach(), _VALUE) for t in tensors]
    live = []
    for t, need in zip(inputs, needs):
        if t is not None:
            t.stop_gradient = not need
            if need:
                live.append(t)

    def infer() -> None:
        with paddle.no_grad():
            run(impl, *inputs)

    def differentiate() -> None:
        with paddle.enable_grad():
            paddle.grad([run(impl, *inputs)], live, allow_unused=True)

    return differentiate if live else infer


def _describe(
    op: str,
    tensors: Sequence[Optional[paddle.Tensor]],
    needs: Sequence[bool],
    attributes: tuple,
    device: Device,
) -> dict[str, Any]:
    x = tensors[0]
    assert x is not None
    return {
        "op": op,
        "shapes": [None if t is None else list(t.shape) for t in tensors[:2]],
        "dtype": str(x.dtype).rpartition(".")[2],
        "inputs": "".join("-" if t is None else "g" if n else "c" for t, n in zip(tensors, needs)),
        "attributes": repr(attributes),
        "tf32": [bool(_native.tf32), bool(device.paddle_tf32())],
    }


def _name(described: dict[str, Any]) -> str:
    return json.dumps(described, sort_keys=True)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # Paddle's messages begin with a drawing and end with what happened.
    return f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__


def _mode() -> str:
    mode = os.environ.get("PYGAN_TUNE", "1")
    if mode not in ("0", "1", "force"):
        warnings.warn(
            f"PYGAN_TUNE is {mode!r}; it must be 0, 1 or force. It is taken for 1.", stacklevel=2
        )
        return "1"
    return mode


def _cache_folder() -> Optional[Path]:
    """Where decisions are kept; None for a user without a home, as in some containers."""
    chosen = os.environ.get("PYGAN_TUNE_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path("~/.cache").expanduser()) / "pygan" / "tune"
    except RuntimeError:
        return None


def _make() -> Optional[Tuner]:
    mode = _mode()
    if mode == "0" or not paddle.is_compiled_with_cuda():
        return None
    folder = _cache_folder()
    return Tuner(PaddleDevice(), None if folder is None else TuneCache(folder), mode=mode)


# None: 'auto' means native. The only thing that an operator looks at where there is no GPU.
tuner: Optional[Tuner] = _make()


def tuning_report() -> list[dict[str, Any]]:
    """What was chosen on this GPU so far in this process, in order.

    Each entry has 'op', 'shapes' of its first two inputs, 'dtype' of the first, 'inputs' (of each:
    g with gradient, c constant, - absent), 'attributes', 'tf32' (pygan's, Paddle's), 'native_ms'
    and 'composition_ms' (medians of forward, and backward where there are gradients; None where
    nothing was timed), 'choice' ('native' or 'composition'), 'source' ('timed', 'cache' or 'not
    timed'), and 'why' where the times do not explain it. Empty without a GPU, and with
    PYGAN_TUNE=0.
    """
    return [] if tuner is None else tuner.report()
