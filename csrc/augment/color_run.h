// Runs of pixels of one sample, as colours are transformed: compiled for several instruction sets.
#pragma once

#include <cstdint>

#include "augment/color.h"
#include "common/half.h"
#include "common/isa.h"

namespace pygan {

// y[c][k] = sum over d of matrix[c][d] * x[d][k] + offset[c] + sigma * noise[c][k] for each colour
// and 0 <= k < count.
template <typename T>
struct ColorRun {
  typedef typename Compute<T>::type C;
  int64_t count;
  T* y[kMaxColors];
  const T* x[kMaxColors];
  const T* noise[kMaxColors];  // null: none
  C matrix[kMaxColors][kMaxColors];
  C offset[kMaxColors];
  C sigma;
};

// For 1 or 3 colours.
PYGAN_DECLARE_KERNELS(template <typename T> void transform_run(const ColorRun<T>& run, int colors);)

}  // namespace pygan
