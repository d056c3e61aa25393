// Portable vectors for `*_kernels.cpp` files: GCC/Clang vector extensions of the level's width.
//
//   Vec<float>::type      a vector of lanes<float>() floats; + - * / act per lane
//   load / store          unaligned; store_stream bypasses the cache where the level can
//   splat(s)              every lane s
#pragma once

#include <cstdint>
#include <cstring>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#ifndef PYGAN_ISA
#error "simd.h belongs in *_kernels.cpp files, which are compiled once per instruction set"
#endif

#define PYGAN_INLINE static inline __attribute__((always_inline))

namespace pygan {
namespace PYGAN_ISA {

template <typename T>
struct Vec {
  typedef T type __attribute__((vector_size(PYGAN_VECTOR_BYTES)));
};
typedef Vec<float>::type VecF;
typedef Vec<double>::type VecD;

template <typename T>
constexpr int lanes() {
  return PYGAN_VECTOR_BYTES / static_cast<int>(sizeof(T));
}

template <typename T>
PYGAN_INLINE typename Vec<T>::type load(const T* p) {
  typename Vec<T>::type v;
  __builtin_memcpy(&v, p, sizeof(v));
  return v;
}

template <typename T>
PYGAN_INLINE void store(T* p, typename Vec<T>::type v) {
  __builtin_memcpy(p, &v, sizeof(v));
}

template <typename T>
PYGAN_INLINE typename Vec<T>::type splat(T s) {
  return s - typename Vec<T>::type{};  // broadcast through scalar-vector arithmetic
}

// Streaming store: p must be aligned to PYGAN_VECTOR_BYTES. Call stream_fence() after the last.
PYGAN_INLINE void store_stream(float* p, VecF v) {
#if PYGAN_VECTOR_BYTES == 64
  _mm512_stream_ps(p, (__m512)v);
#elif PYGAN_VECTOR_BYTES == 32
  _mm256_stream_ps(p, (__m256)v);
#elif defined(__x86_64__)
  _mm_stream_ps(p, (__m128)v);
#else
  store(p, v);
#endif
}

PYGAN_INLINE void store_stream(double* p, VecD v) {
#if PYGAN_VECTOR_BYTES == 64
  _mm512_stream_pd(p, (__m512d)v);
#elif PYGAN_VECTOR_BYTES == 32
  _mm256_stream_pd(p, (__m256d)v);
#elif defined(__x86_64__)
  _mm_stream_pd(p, (__m128d)v);
#else
  store(p, v);
#endif
}

PYGAN_INLINE void stream_fence() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

// Sum of the lanes, in a fixed order.
template <typename T>
PYGAN_INLINE T sum_lanes(typename Vec<T>::type v) {
  T s[lanes<T>()];
  store(s, v);
  for (int width = lanes<T>() / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) s[i] += s[i + width];
  }
  return s[0];
}

}  // namespace PYGAN_ISA
}  // namespace pygan
