// How the weights of a correlation lie in memory. A transposed convolution, and a true convolution,
// have them in another order than conv2d.h; most paths take a copy in the right one, Winograd reads
// and writes any.
#pragma once

#include <cstdint>

namespace pygan {

struct WeightLayout {
  bool exchanged =
      false;              // [ci / groups, co / groups, ..] in each group, not [co, ci / groups, ..]
  bool mirrored = false;  // taps in reverse order along both axes

  bool is_plain() const { return !exchanged && !mirrored; }
};

// The weights of `groups` groups of rows x columns kernels of `taps` values, from one layout to the
// other: rows and columns change places if `exchanged`, taps are reversed if `mirrored`.
template <typename T>
void arrange_weights(T* out, const T* in, int64_t rows, int64_t columns, int64_t taps,
                     int64_t groups, const WeightLayout& layout);

}  // namespace pygan
