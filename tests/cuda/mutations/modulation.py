"""Bugs in the scaling and demodulation of half-precision weights and styles."""

from __future__ import annotations

from tests.cuda.mutations.mutation import Mutation

_MODULATION = "modulated_conv2d/modulation.cu"

MUTATIONS = [
    Mutation(
        name="modulation: scales are used before they are there",
        kind="race",
        file=_MODULATION,
        before="w_scale[o] = scales[kSamples];\n    }\n    __syncthreads();",
        after="w_scale[o] = scales[kSamples];\n    }",
        unit=_MODULATION,
        call="demodulated",
        dtype="float16",
        kernel="modulate_and_stage",
        says="shared-memory read-after-write hazard",
        line="scales[",
    ),
    Mutation(
        name="modulation: one sample too many",
        kind="bounds",
        file=_MODULATION,
        before="if (first + k >= samples) continue;\n          const int64_t at",
        after="if (first + k > samples) continue;\n          const int64_t at",
        unit=_MODULATION,
        call="demodulated",
        dtype="float16",
        kernel="modulate_and_stage",
        says="out-of-bounds global read",
        buffer="s",
        line="static_cast<const Half*>(data)[i]",
    ),
    Mutation(
        name="modulation: energies of styles that are not scaled",
        kind="result",
        file=_MODULATION,
        before="sums[k] += style * style * energy;",
        after="sums[k] += s[at] * s[at] * energy;",
        unit=_MODULATION,
        call="demodulated",
        dtype="bfloat16",
        kernel="modulate_and_stage",
    ),
]
