"""Bugs in the kernels of augmentation."""

from __future__ import annotations

from tests.cuda.mutations.mutation import Mutation

_COLOR = "augment/color.cu"

MUTATIONS = [
    Mutation(
        name="color_transform: a sample's numbers are used before they are all there",
        kind="race",
        file=_COLOR,
        before="    __syncthreads();\n    const bool cuts",
        after="    const bool cuts",
        unit=_COLOR,
        call="color_three",
        kernel="color_kernel",
        says="shared-memory read-after-write hazard",
        line="numbers.x0 < numbers.x1",
    ),
    Mutation(
        name="color_transform: packs end with the block, not with the plane",
        kind="bounds",
        file=_COLOR,
        before="min(first + kPacks * step, a.plane)",
        after="first + kPacks * step",
        unit=_COLOR,
        call="color_one",
        kernel="color_kernel",
        says="out-of-bounds global read",
        buffer="images",
        line="x[c] = *reinterpret_cast<const P*>",
    ),
    Mutation(
        name="color_transform: the gradient by the matrix as it is",
        kind="result",
        file=_COLOR,
        before="matrix[d][c] : matrix[c][d]",
        after="matrix[c][d] : matrix[c][d]",
        unit=_COLOR,
        call="color_three",
        kernel="color_kernel",
    ),
    Mutation(
        name="color_transform: a pack that passes a row's end stays in the row",
        kind="result",
        file=_COLOR,
        before="      column = 0;\n      ++row;",
        after="      column = 0;",
        unit=_COLOR,
        call="color_three",
        kernel="color_kernel",
    ),
]
