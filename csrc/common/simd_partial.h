// The first `count` < lanes elements of a vector: loads leave zeros behind them, stores leave the
// memory behind them alone.
#pragma once

#include "common/simd.h"

namespace pygan {
namespace PYGAN_ISA {

#if PYGAN_VECTOR_BYTES == 64
PYGAN_INLINE __mmask16 first_lanes(int count) { return static_cast<__mmask16>((1u << count) - 1u); }
PYGAN_INLINE VecF load_first(const float* p, int count) {
  return (VecF)_mm512_maskz_loadu_ps(first_lanes(count), p);
}
PYGAN_INLINE VecD load_first(const double* p, int count) {
  return (VecD)_mm512_maskz_loadu_pd(static_cast<__mmask8>(first_lanes(count)), p);
}
PYGAN_INLINE void store_first(float* p, VecF v, int count) {
  _mm512_mask_storeu_ps(p, first_lanes(count), (__m512)v);
}
PYGAN_INLINE void store_first(double* p, VecD v, int count) {
  _mm512_mask_storeu_pd(p, static_cast<__mmask8>(first_lanes(count)), (__m512d)v);
}
#elif PYGAN_VECTOR_BYTES == 32
PYGAN_INLINE __m256i first_bytes(int bytes) {
  static const int32_t kMask[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kMask + 8 - bytes / 4));
}
PYGAN_INLINE VecF load_first(const float* p, int count) {
  return (VecF)_mm256_maskload_ps(p, first_bytes(4 * count));
}
PYGAN_INLINE VecD load_first(const double* p, int count) {
  return (VecD)_mm256_maskload_pd(p, first_bytes(8 * count));
}
PYGAN_INLINE void store_first(float* p, VecF v, int count) {
  _mm256_maskstore_ps(p, first_bytes(4 * count), (__m256)v);
}
PYGAN_INLINE void store_first(double* p, VecD v, int count) {
  _mm256_maskstore_pd(p, first_bytes(8 * count), (__m256d)v);
}
#else
// Out of line, because these loops are longer than what surrounds them.
template <typename C>
static __attribute__((noinline)) typename Vec<C>::type load_first(const C* p, int count) {
  typename Vec<C>::type v = {};
  for (int i = 0; i < count; ++i) v[i] = p[i];
  return v;
}
template <typename C>
static __attribute__((noinline)) void store_first(C* p, typename Vec<C>::type v, int count) {
  for (int i = 0; i < count; ++i) p[i] = v[i];
}
#endif

}  // namespace PYGAN_ISA
}  // namespace pygan
