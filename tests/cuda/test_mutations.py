"""Bugs seeded into the CUDA kernels are caught by the emulator, or by results that are wrong.

Each mutation changes one place of csrc/, is compiled as the emulated build is, and runs an operator
in a process of its own. What this shows is that the checks on which the other tests of kernels rely
(no races, no reads of unwritten memory, no access out of bounds) see such bugs where they are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pygan.ops import emulated
from tests.cuda.mutant_build import EMULATED, build, unavailable, verdicts
from tests.cuda.mutations import MUTATIONS, Mutation

# Of the largest value: float32 sums up to a few thousand terms. TF32 multiplies without rounding
# what the calls give it.
TOLERANCE = 1e-5

PLACE = re.compile(
    r"kernel (?P<kernel>\w+), block \(\d+,\d+,\d+\), thread \d+ \(\d+,\d+,\d+\), "
    r"(?P<file>[\w.]+):(?P<line>\d+): "
)


class Outcome(NamedTuple):
    verdict: dict[str, Any]
    edited: Path
    csrc: Path


def outcome_of(mutation: Mutation, folder: Path) -> Outcome:
    edited = build(mutation, folder)
    try:
        verdict = verdicts([mutation.call], folder)[mutation.call]
    finally:
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
def control(_can_build: None) -> dict[str, dict[str, Any]]:
    """What the calls give on the kernels as they are."""
    return verdicts(sorted({m.call for m in MUTATIONS}), EMULATED)


@pytest.fixture(scope="module")
def outcomes(
    _can_build: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
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
        yield {m.name: pool.submit(outcome_of, m, folder / str(i)) for i, m in enumerate(selected)}
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


def test_kernels_as_they_are_pass_the_same_calls(control: dict[str, dict[str, Any]]) -> None:
    for call, verdict in control.items():
        assert verdict["message"] == "", call
        assert verdict["error"] <= TOLERANCE, call
    for mutation in MUTATIONS:
        assert kernel_of(mutation, control[mutation.call]["shared"]), mutation.name


def kernel_of(mutation: Mutation, shared: dict[str, list[int]]) -> list[int]:
    """The wavefronts of the mutation's kernel."""
    return shared.get(mutation.kernel) or shared[f"device::{mutation.kernel}"]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_bug_is_caught(
    mutation: Mutation,
    outcomes: dict[str, Future[Outcome]],
    control: dict[str, dict[str, Any]],
) -> None:
    verdict, edited, csrc = outcomes[mutation.name].result()
    message = verdict["message"]
    wavefronts, ideal = kernel_of(mutation, verdict["shared"]) if not message else (0, 0)
    how = f"error {verdict['error']:.2g}, {wavefronts} wavefronts, {ideal} without conflicts"
    print(message or how)

    if mutation.says:
        check_message(mutation, message, edited, csrc)
        return
    assert message == ""
    if mutation.kind == "result":
        assert verdict["error"] > 1000 * TOLERANCE
    else:
        assert verdict["error"] <= TOLERANCE, "a bank conflict changes no result"
        before, best = kernel_of(mutation, control[mutation.call]["shared"])
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
    if not mutation.line:
        return
    reported = list(csrc.glob(mutation.where)) if mutation.where else [edited]
    reported = [path for path in reported if path.name == at["file"]]
    assert reported, f"{at['file']} is not {mutation.where or edited.name}: {message}"
    lines = reported[0].read_text().splitlines()
    assert mutation.line in lines[int(at["line"]) - 1], message
