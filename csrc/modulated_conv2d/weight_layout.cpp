#include "modulated_conv2d/weight_layout.h"

#include "common/parallel.h"

namespace pygan {

template <typename T>
void arrange_weights(T* out, const T* in, int64_t rows, int64_t columns, int64_t taps,
                     int64_t groups, const WeightLayout& layout) {
  constexpr int64_t kTile = 16;  // kernels of a tile stay in the cache while they change places
  const int64_t row_tiles = (rows + kTile - 1) / kTile;
#pragma omp parallel for collapse(2) schedule(static) if (rows * columns * taps >= kSerialBelow)
  for (int64_t q = 0; q < groups; ++q) {
    for (int64_t tile = 0; tile < row_tiles; ++tile) {
      const T* from = in + q * rows * columns * taps;
      T* to = out + q * rows * columns * taps;
      const int64_t a_end = (tile + 1) * kTile < rows ? (tile + 1) * kTile : rows;
      for (int64_t b0 = 0; b0 < columns; b0 += kTile) {
        const int64_t b_end = b0 + kTile < columns ? b0 + kTile : columns;
        for (int64_t a = tile * kTile; a < a_end; ++a) {
          for (int64_t b = b0; b < b_end; ++b) {
            const T* source = from + (a * columns + b) * taps;
            T* target = to + (layout.exchanged ? b * rows + a : a * columns + b) * taps;
            for (int64_t k = 0; k < taps; ++k)
              target[layout.mirrored ? taps - 1 - k : k] = source[k];
          }
        }
      }
    }
  }
}

template void arrange_weights<float>(float*, const float*, int64_t, int64_t, int64_t, int64_t,
                                     const WeightLayout&);
template void arrange_weights<double>(double*, const double*, int64_t, int64_t, int64_t, int64_t,
                                      const WeightLayout&);

}  // namespace pygan
