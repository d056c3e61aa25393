// The epilogue as a pass of its own, for paths that cannot fuse it into their last step.
#pragma once

#include <cstdint>

#include "common/isa.h"
#include "modulated_conv2d/epilogue.h"

namespace pygan {

PYGAN_DECLARE_KERNELS(
    // One channel of one sample, in place.
    void epilogue_plane(float* y, const Epilogue<float>& epilogue, int64_t sample, int64_t channel,
                        int64_t channels, int64_t area);
    void epilogue_plane(double* y, const Epilogue<double>& epilogue, int64_t sample,
                        int64_t channel, int64_t channels, int64_t area);)

// The planes [begin, end) of y [n, channels, area], in place.
template <typename T>
void apply_epilogue_planes(T* y, const Epilogue<T>& epilogue, int64_t begin, int64_t end,
                           int64_t channels, int64_t area);

// All of y [n, channels, area], in place.
template <typename T>
void apply_epilogue(T* y, const Epilogue<T>& epilogue, int64_t n, int64_t channels, int64_t area);

}  // namespace pygan
