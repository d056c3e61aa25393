#include "modulated_conv2d/weight_energy.h"

#include "common/parallel.h"

namespace pygan {
namespace {

// Kernels have few taps: with the common counts known at compile time, the loops over a row unroll
// and those over rows run at the speed of memory.
template <typename T, int kTaps>
void dot_rows(T* e, const T* a, const T* b, T factor, int64_t rows, int64_t taps) {
  const int64_t count = kTaps > 0 ? kTaps : taps;
#pragma omp parallel for schedule(static) if (rows * count >= kSerialBelow)
  for (int64_t r = 0; r < rows; ++r) {
    T sum = 0;
    for (int64_t k = 0; k < count; ++k) sum += a[r * count + k] * b[r * count + k];
    e[r] = factor * sum;
  }
}

template <typename T, int kTaps>
void scale_rows(T* out, const T* w, const T* e, T factor, int64_t rows, int64_t taps) {
  const int64_t count = kTaps > 0 ? kTaps : taps;
#pragma omp parallel for schedule(static) if (rows * count >= kSerialBelow)
  for (int64_t r = 0; r < rows; ++r) {
    const T scale = factor * e[r];
    for (int64_t k = 0; k < count; ++k) out[r * count + k] = scale * w[r * count + k];
  }
}

}  // namespace

template <typename T>
void tap_dot(T* e, const T* a, const T* b, T factor, int64_t rows, int64_t taps) {
  if (taps == 9) return dot_rows<T, 9>(e, a, b, factor, rows, taps);
  if (taps == 1) return dot_rows<T, 1>(e, a, b, factor, rows, taps);
  dot_rows<T, 0>(e, a, b, factor, rows, taps);
}

template <typename T>
void tap_scale(T* out, const T* w, const T* e, T factor, int64_t rows, int64_t taps) {
  if (taps == 9) return scale_rows<T, 9>(out, w, e, factor, rows, taps);
  if (taps == 1) return scale_rows<T, 1>(out, w, e, factor, rows, taps);
  scale_rows<T, 0>(out, w, e, factor, rows, taps);
}

#define PYGAN_INSTANTIATE(T)                                             \
  template void tap_dot<T>(T*, const T*, const T*, T, int64_t, int64_t); \
  template void tap_scale<T>(T*, const T*, const T*, T, int64_t, int64_t);
PYGAN_INSTANTIATE(float)
PYGAN_INSTANTIATE(double)

}  // namespace pygan
