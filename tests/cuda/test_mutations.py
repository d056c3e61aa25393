"""Bugs seeded into the CUDA kernels are caught by the emulator, or by results that are wrong.

Each mutation changes one place of csrc/, is compiled as the emulated build is, and runs an operator
in a process of its own. What this shows is that the checks on which the other tests of kernels rely
(no races, no reads of unwritten memory, no access out of bounds) see such bugs where they are.

Compiling takes two seconds for each. So only one bug of each kind is seeded into each kernel,
unless PYGAN_MUTANTS=all asks for the others, too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import pytest

from pygan.ops import emulated
from tests.cuda.mutant_build import EMULATED, Caller, build, unavailable
from tests.cuda.mutations import MUTATIONS, Mutation, Run, one_of_each

SEEDED = MUTATIONS if os.environ.get("PYGAN_MUTANTS") == "all" else one_of_each(MUTATIONS)

# Of the largest value: float32 sums up to a few thousand terms, of which TF32 rounds none that the
# calls give it; halves are rounded, once per operator of a layer.
TOLERANCE = {"float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}
# What no rounding does.
LEAST_WRONG = {"float32": 1e-2, "float16": 4e-2, "bfloat16": 1e-1}

PLACE = re.compile(
    r"kernel (?P<kernel>\w+), block \(\d+,\d+,\d+\), thread \d+ \(\d+,\d+,\d+\), "
    r"(?P<lines>[\w.]+:\d+( \(inlined at [^)]*\))?): "
)


class Outcome(NamedTuple):
    verdict: dict[str, Any]
    edited: Path
    csrc: Path


def outcome_of(mutation: Mutation, folder: Path, callers: SimpleQueue[Caller]) -> Outcome:
    edited = build(mutation, folder)
    caller = callers.get()
    try:
        (verdict,) = caller.verdicts(folder, [mutation.run])
    finally:
        callers.put(caller)
        (folder / "pygan_cuda.so").unlink()  # 40 MB
    return Outcome(verdict, edited, folder / "csrc")


@pytest.fixture(scope="module")
def _can_build() -> None:
    try:
        with emulated():
            reason = unavailable()
    except RuntimeError as error:
        reason = str(error)
    if reason and os.environ.get("PYGAN_REQUIRE_EMULATOR") == "1":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def callers(_can_build: None) -> Iterator[SimpleQueue[Caller]]:
    """Two processes, which serve whoever takes them."""
    both = [Caller(), Caller()]
    free: SimpleQueue[Caller] = SimpleQueue()
    for caller in both:
        free.put(caller)
    yield free
    for caller in both:
        caller.close()


@pytest.fixture(scope="module")
def control(callers: SimpleQueue[Caller]) -> dict[Run, dict[str, Any]]:
    """What the calls give on the kernels as they are."""
    found: dict[Run, dict[str, Any]] = {}
    caller = callers.get()
    try:
        for arch in sorted({m.arch for m in SEEDED}):
            runs = sorted({m.run for m in SEEDED if m.arch == arch})
            found.update(zip(runs, caller.verdicts(EMULATED, runs)))
    finally:
        callers.put(caller)
    return found


@pytest.fixture(scope="module")
def outcomes(
    callers: SimpleQueue[Caller],
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Future[Outcome]]]:
    """Of the mutations that were selected, two at a time."""
    folder = tmp_path_factory.mktemp("mutants")
    items: list[Any] = request.session.items
    selected = [
        item.callspec.params["mutation"]
        for item in items
        if getattr(item, "originalname", "") == test_bug_is_caught.__name__
    ]
    with ThreadPoolExecutor(2) as pool:
        yield {
            m.name: pool.submit(outcome_of, m, folder / str(i), callers)
            for i, m in enumerate(selected)
        }
        pool.shutdown(cancel_futures=True)


def test_mutations_are_many_and_of_every_kind() -> None:
    assert len(MUTATIONS) == len({m.name for m in MUTATIONS}) >= 24
    assert {m.kind for m in MUTATIONS} == {
        "race",
        "bounds",
        "misaligned",
        "uninitialised",
        "divergence",
        "bank conflict",
        "result",
    }


def test_kernels_as_they_are_pass_the_same_calls(control: dict[Run, dict[str, Any]]) -> None:
    for run, verdict in control.items():
        assert verdict["message"] == "", run
        assert verdict["error"] <= TOLERANCE[run.dtype], run
    for mutation in SEEDED:
        assert kernel_of(mutation, control[mutation.run]["shared"]), mutation.name


def kernel_of(mutation: Mutation, shared: dict[str, list[int]]) -> list[int]:
    """The wavefronts of the mutation's kernel."""
    return shared.get(mutation.kernel) or shared[f"device::{mutation.kernel}"]


@pytest.mark.parametrize("mutation", SEEDED, ids=lambda m: m.name)
def test_bug_is_caught(
    mutation: Mutation,
    outcomes: dict[str, Future[Outcome]],
    control: dict[Run, dict[str, Any]],
) -> None:
    verdict, edited, csrc = outcomes[mutation.name].result()
    message, dtype = verdict["message"], mutation.dtype
    wavefronts, ideal = kernel_of(mutation, verdict["shared"]) if not message else (0, 0)
    how = f"error {verdict['error']:.2g}, {wavefronts} wavefronts, {ideal} without conflicts"
    print(message or how)

    if mutation.says:
        check_message(mutation, message, edited, csrc)
        return
    assert message == ""
    if mutation.kind == "result":
        assert verdict["error"] > LEAST_WRONG[dtype]
    else:
        assert verdict["error"] <= TOLERANCE[dtype], "a bank conflict changes no result"
        before, best = kernel_of(mutation, control[mutation.run]["shared"])
        assert (wavefronts - ideal) >= (before - best) + 0.25 * ideal


def check_message(mutation: Mutation, message: str, edited: Path, csrc: Path) -> None:
    """The message says what happened, to which memory, in which kernel, thread and line."""
    assert mutation.says in message
    if mutation.buffer:
        place = rf"\(buffer '{mutation.buffer}' of \d+ bytes, offset -?\d+\): kernel"
        assert re.search(place, message), message
    elif mutation.kind != "divergence":
        assert re.search(r"at (byte|offset) \d+", message), message
    at = PLACE.search(message)
    assert at, message
    assert mutation.kernel in at["kernel"]
    expected = list(csrc.glob(mutation.where)) if mutation.where else [edited]
    path, line = innermost_of(csrc, at["lines"])
    assert path in expected, f"{path} is not {mutation.where or edited.name}: {message}"
    assert mutation.line in path.read_text().splitlines()[line - 1], message


def innermost_of(csrc: Path, lines: str) -> tuple[Path, int]:
    """The first of the lines, from the fault outwards through its callers, that is not CUDA's."""
    for name, number in re.findall(r"([\w.]+):(\d+)", lines):
        for path in csrc.rglob(name):
            return path, int(number)
    raise AssertionError(f"no line of csrc among: {lines}")
