"""What a seeded bug is, and how it shows."""

from __future__ import annotations

from typing import Literal, NamedTuple

# How a bug shows: in what the emulator objects to, in counters of bank conflicts, or in results.
Kind = Literal[
    "race", "bounds", "misaligned", "uninitialised", "divergence", "bank conflict", "result"
]


class Run(NamedTuple):
    """A call of mutant_calls.py, the type of its tensors, and the emulated architecture."""

    call: str
    dtype: str = "float32"
    arch: int = 80


class Mutation(NamedTuple):
    """One edit of one file, compiled by way of the source file `unit`."""

    name: str
    kind: Kind
    file: str  # in csrc, or a pattern of files: the text occurs once in all of them
    before: str
    after: str
    unit: str
    call: str  # of mutant_calls.py
    kernel: str  # in which it shows
    # What the emulator says (empty where it has no objection), of which buffer of global memory
    # (empty: of shared memory), and a piece of the line that it points to: in the edited file, or
    # in the one that `where` names. It runs warps in turns, so that some races show as reads of
    # what nobody has written yet.
    says: str = ""
    buffer: str = ""
    line: str = ""
    where: str = ""
    dtype: str = "float32"
    arch: int = 80

    @property
    def run(self) -> Run:
        return Run(self.call, self.dtype, self.arch)
