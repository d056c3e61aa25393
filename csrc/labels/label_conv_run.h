// Runs of pixels of one sample, as label_conv.cpp shares them out: compiled for several instruction
// sets.
#pragma once

#include <cstdint>

#include "common/half.h"
#include "common/isa.h"

namespace pygan {

// Pixels of the result that are computed at once: their columns stay in the first cache.
constexpr int64_t kLabelTile = 64;
// Columns are padded to whole vectors of any level, in any type.
constexpr int64_t kColumnUnit = 16;

// Consecutive pixels of a plane. Pixel p looks at rows slots[place[p] + tap[t]] of its taps t,
// where a column of `table` is: of tap t and slot s, at (s * taps + t) * columns. Slot 0 is no
// label.
template <typename T>
struct LabelRun {
  typedef typename Compute<T>::type C;
  const int32_t* slots;   // of the padded label map of this sample
  const int64_t* place;   // [count]
  const uint8_t* same;    // [count]: whether the pixel's taps meet what the previous one's met
  const int64_t* tap;     // [taps]
  int64_t count;          // at most kLabelTile
  int64_t taps, columns;  // columns: of the table, a multiple of kColumnUnit
  int64_t plane;          // pixels from one channel to the next
};

PYGAN_DECLARE_KERNELS(
    // y[c * plane + p] = bias[c] + the sum of the pixel's columns, for c < channels.
    template <typename T>
    void gather_run(const LabelRun<T>& run, T* y, const typename Compute<T>::type* table,
                    const typename Compute<T>::type* bias, int64_t channels);
    // Adds dy[c * plane + p] to channel c of the pixel's columns, for c < channels <= columns, and
    // the sum over the pixels to bias[c], which is padded as the columns are.
    template <typename T>
    void scatter_run(const LabelRun<T>& run, const T* dy, typename Compute<T>::type* table,
                     typename Compute<T>::type* bias, int64_t channels);)

}  // namespace pygan
