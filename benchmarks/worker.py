"""The process that runs the timed code: one framework, one thread count, one malloc setting.

It is started by `benchmarks.harness.Worker`, lives as long as the suite, and answers JSON lines on
its standard input with JSON lines on its standard output:

    {"do": "build", "case": id, "target": "module:function", "kwargs": {...}}  -> {"steps": [...]}
    {"do": "run", "case": id, "step": name}                -> {"wall": seconds, "cpu": seconds}
    {"do": "call", "target": "module:function", "kwargs": {...}}  -> {"value": any JSON value}
    {"do": "drop", "case": id}                                                 -> {}
    {"do": "memory"}                              -> {"resident": bytes, "peak": bytes}

This module imports nothing but the standard library, so that any interpreter can run it.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any


def resolve(target: str) -> Callable[..., Any]:
    """Import the function that "package.module:function" names."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def memory() -> dict[str, int]:
    """Resident memory of this process now and at its highest, in bytes.

    VmHWM is read rather than `getrusage().ru_maxrss`, which on Linux starts from the resident size
    that the *parent* had when it forked.
    """
    found = {}
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            key, _, value = line.partition(":")
            if key in ("VmRSS", "VmHWM"):
                found[key] = int(value.split()[0]) * 1024
    return {"resident": found["VmRSS"], "peak": found["VmHWM"]}


class Cases:
    """The built cases: for each, the steps it can run."""

    def __init__(self) -> None:
        self._steps: dict[str, dict[str, Callable[[], object]]] = {}

    def build(self, case: str, target: str, kwargs: dict[str, Any]) -> dict[str, Any]:
        built = resolve(target)(**kwargs)
        self._steps[case] = built if isinstance(built, dict) else {"": built}
        return {"steps": list(self._steps[case])}

    def run(self, case: str, step: str = "") -> dict[str, float]:
        body = self._steps[case][step]
        gc.collect()  # a collection inside the measured interval would be charged to one case
        gc.disable()
        try:
            wall, cpu = time.perf_counter(), time.process_time()
            result = body()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            del result
        finally:
            gc.enable()
        return {"wall": wall, "cpu": cpu}

    def drop(self, case: str) -> dict[str, Any]:
        del self._steps[case]
        gc.collect()
        return {}


def serve() -> None:
    # The protocol keeps the original standard output for itself; what the frameworks print to
    # descriptor 1 goes to standard error.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    cases = Cases()
    actions: dict[str, Callable[..., dict[str, Any]]] = {
        "build": cases.build,
        "run": cases.run,
        "drop": cases.drop,
        "memory": memory,
        "call": lambda target, kwargs: {"value": resolve(target)(**kwargs)},
    }
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = actions[request.pop("do")](**request)
        except Exception:
            reply = {"error": traceback.format_exc()}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    serve()
