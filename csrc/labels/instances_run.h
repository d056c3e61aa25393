// One row of an instance map, or one plane of an image: compiled for several instruction sets.
#pragma once

#include <cstdint>

#include "common/half.h"
#include "common/isa.h"

namespace pygan {

PYGAN_DECLARE_KERNELS(
    // A row of ids between the ones above and below it (itself at a border).
    template <typename I>
    void edges_row(float* edges, const I* above, const I* row, const I* below, int64_t width);
    // y[p] = means[slot[p]].
    template <typename T>
    void spread_means(T* y, const int32_t* slot, const double* means, int64_t count);)

}  // namespace pygan
