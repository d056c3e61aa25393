// Scales and epilogues as passes of their own, for paths whose convolution cannot take them in.
#pragma once

#include <cstdint>

#include "common/isa.h"
#include "modulated_conv2d/epilogue.h"

namespace pygan {

PYGAN_DECLARE_KERNELS(
    // out[p, i] = in[p, i] * scale[p] for `planes` planes of `area` elements.
    void scale_planes(float* out, const float* in, const float* scale, int64_t planes,
                      int64_t area);
    // y[n, c, i] = epilogue(y[n, c, i]) in place.
    void apply_epilogue(float* y, const Epilogue<float>& epilogue, int64_t n, int64_t channels,
                        int64_t area);)

}  // namespace pygan
