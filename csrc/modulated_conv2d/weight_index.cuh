// Where a weight lies in memory: device code's view of weight_layout.h.
#pragma once

#include "modulated_conv2d/conv_shape.h"
#include "modulated_conv2d/weight_layout.h"

namespace pygan {

// Index of w[o, c, tap] of one group: `rows` output channels and `columns` input channels per
// group.
struct WeightIndex {
  int64_t rows, columns, taps;
  bool exchanged, mirrored;

  WeightIndex(const ConvShape& shape, const WeightLayout& layout)
      : rows(shape.co_per_group()),
        columns(shape.ci_per_group()),
        taps(shape.taps()),
        exchanged(layout.exchanged),
        mirrored(layout.mirrored) {}

  __device__ __forceinline__ int64_t operator()(int64_t group, int64_t o, int64_t c,
                                                int64_t tap) const {
    const int64_t t = mirrored ? taps - 1 - tap : tap;
    const int64_t kernel =
        exchanged ? (group * columns + c) * rows + o : (group * rows + o) * columns + c;
    return kernel * taps + t;
  }
};

}  // namespace pygan
