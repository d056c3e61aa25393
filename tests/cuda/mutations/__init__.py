"""Seeded bugs in the CUDA kernels of csrc/, each with an operator call that shows it."""

from __future__ import annotations

from tests.cuda.mutations import (
    augment,
    bias_act,
    convolution,
    layer,
    modulation,
    staging,
    upfirdn2d,
)
from tests.cuda.mutations.mutation import Kind, Mutation, Run

__all__ = ["MUTATIONS", "Kind", "Mutation", "Run", "one_of_each"]

MUTATIONS: list[Mutation] = [
    *bias_act.MUTATIONS,
    *upfirdn2d.MUTATIONS,
    *staging.MUTATIONS,
    *convolution.MUTATIONS,
    *layer.MUTATIONS,
    *modulation.MUTATIONS,
    *augment.MUTATIONS,
]


def one_of_each(mutations: list[Mutation]) -> list[Mutation]:
    """Those that are the first of their kind in their kernel, or of their type and architecture."""
    seen: set[tuple[str, str]] = set()
    chosen = []
    for m in mutations:
        is_of = {(m.kind, m.kernel), (m.dtype, str(m.arch))}
        if not is_of <= seen:
            chosen.append(m)
        seen |= is_of
    return chosen
