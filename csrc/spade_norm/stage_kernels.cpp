// Conversions to and from the type computed in, and between x and what it is enlarged to.
#include "spade_norm/run.h"

namespace pygan {
namespace PYGAN_ISA {

template <typename T, typename C>
void norm_widen(const T* __restrict from, int64_t n, int repeat, C* __restrict to) {
  if (repeat == 1) {
    for (int64_t i = 0; i < n; ++i) to[i] = to_float(from[i]);
    return;
  }
  // Converted first, because the compiler vectorises either of the two loops, but not both in one.
  constexpr int64_t kPart = 64;
  C part[kPart];
  for (int64_t done = 0; done < n; done += kPart) {
    const int64_t count = n - done < kPart ? n - done : kPart;
    for (int64_t i = 0; i < count; ++i) part[i] = to_float(from[done + i]);
    C* __restrict pairs = to + 2 * done;
    for (int64_t i = 0; i < count; ++i) pairs[2 * i] = pairs[2 * i + 1] = part[i];
  }
}

template <typename T, typename C>
void norm_narrow(const C* __restrict from, int64_t n, T* __restrict to) {
  for (int64_t i = 0; i < n; ++i) from_float(from[i], to + i);
}

template <typename C>
void norm_fold(const C* __restrict top, const C* __restrict bottom, int64_t n, C* __restrict to) {
  for (int64_t i = 0; i < n; ++i) {
    to[i] = (top[2 * i] + top[2 * i + 1]) + (bottom[2 * i] + bottom[2 * i + 1]);
  }
}

#define PYGAN_INSTANTIATE(T, C)                         \
  template void norm_widen(const T*, int64_t, int, C*); \
  template void norm_narrow(const C*, int64_t, T*);
PYGAN_INSTANTIATE(float, float)
PYGAN_INSTANTIATE(double, double)
PYGAN_INSTANTIATE(float16, float)
PYGAN_INSTANTIATE(bfloat16, float)
#undef PYGAN_INSTANTIATE
template void norm_fold(const float*, const float*, int64_t, float*);
template void norm_fold(const double*, const double*, int64_t, double*);

}  // namespace PYGAN_ISA
}  // namespace pygan
