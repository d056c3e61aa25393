"""Bugs in the kernel that writes convolutions' operands anew."""

from __future__ import annotations

from tests.cuda.mutations.mutation import Mutation

_STAGING = "modulated_conv2d/staging.cu"

MUTATIONS = [
    Mutation(
        name="staging: pixels are read across before they are written",
        kind="race",
        file=_STAGING,
        before="tile);\n    }\n    __syncthreads();",
        after="tile);\n    }",
        unit=_STAGING,
        call="conv_forward",
        kernel="stage_kernel",
        says="uninitialised shared read",
        line="to_staged<kProduct, T>(tile[slot(",
    ),
    Mutation(
        name="staging: nothing keeps a column of pixels out of one bank",
        kind="bank conflict",
        file=_STAGING,
        before="(pixel ^ (kSwizzle * (channel / kPiece)));",
        after="pixel;",
        unit=_STAGING,
        call="conv_forward",
        kernel="stage_kernel",
    ),
    Mutation(
        name="staging: pixels are read as if they lay in order",
        kind="result",
        file=_STAGING,
        before="tile[slot(piece * kPiece + k, pixel)]",
        after="tile[(piece * kPiece + k) * kTilePixels + pixel]",
        unit=_STAGING,
        call="conv_forward",
        kernel="stage_kernel",
    ),
    Mutation(
        name="staging: vectors whatever the image's size",
        kind="misaligned",
        file=_STAGING,
        before=" &&\n              call.h * call.w % 4 == 0;",
        after=";",
        unit=_STAGING,
        call="conv_forward",
        kernel="stage_kernel",
        says="misaligned 16-byte global access",
        buffer="x",
        line="*reinterpret_cast<const Pack<T, kV>*>(x)",
    ),
    Mutation(
        name="staging: some pixels of the border are left as they were",
        kind="uninitialised",
        file=_STAGING,
        before="k < kBorderPixels; k +=",
        after="k < kBorderPixels - 1; k +=",
        unit=_STAGING,
        call="conv_forward",
        kernel="gather_kernel",
        says="uninitialised global read",
        buffer="workspace",
        line="cp.async.cg.shared.global",
        where="modulated_conv2d/mma.cuh",
    ),
    Mutation(
        name="staging: the border below lies over the image",
        kind="race",
        file=_STAGING,
        before="at += (s.row_end - s.row_begin) * (s.column_end - s.column_begin);",
        after="",
        unit=_STAGING,
        call="conv_forward",
        kernel="stage_kernel",
        says="global-memory write-write hazard",
        buffer="workspace",
        line="__stcg(reinterpret_cast<uint4*>(to), word)",
    ),
]
