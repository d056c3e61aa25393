// What the two ways of image_filter on a GPU share (image_filter.cu, image_filter_long.cu).
//
// Both see an axis as it is continued, at positions beyond its ends, too: those where pixels stand
// in their own order, and those of their mirror images; the axis's end pixels are both at once.
// With that, the transposed operator is a filter of the continued gradient as well:
//
//   dx[p] = end(p) * sum over q from p - k / 2 to p + k / 2 of w(q - p) * dy[q]
//   w(d) = taps[k / 2 - d] where q is in the pixels' own order, taps[k / 2 + d] where it is
//   mirrored,
//          and the sum of both where q is an end
//
// and end(p) 1/2 at the ends, 1 elsewhere: pixels of the image are seen from their own place and
// from their mirror image, of which an end has only one.
#pragma once

#include "augment/image_filter.h"
#include "common/cuda_launch.cuh"

namespace pygan {

// By two launches with an intermediate result in global memory; for filters of any length
// (image_filter_long.cu).
void image_filter_long_cuda(const ImageFilterCudaCall& call, const CudaContext& context);

namespace device {

constexpr unsigned kInOrder = 1, kMirrored = 2, kEnd = kInOrder | kMirrored;

template <typename I>
struct Place {
  I pixel;
  unsigned order;
};

// What the axis of `size` pixels has at position q. A single pixel counts as in order everywhere.
template <typename I>
__device__ __forceinline__ Place<I> place_of(I q, I size) {
  if (size == 1) return {0, kInOrder};
  const I last = size - 1;
  if (q < 0 || q >= size) {
    q %= 2 * last;
    if (q < 0) q += 2 * last;
  }
  if (q > last) return {2 * last - q, kMirrored};
  return {q, q == 0 || q == last ? kEnd : kInOrder};
}

template <typename I>
__device__ __forceinline__ bool is_end(I pixel, I size) {
  return size > 1 && (pixel == 0 || pixel == size - 1);
}

// Adds to acc[i] the sum over a of taps[a] * (element i + a of the source), a from 0 to k - 1, in
// ascending order. Elements come four at a time from source.load(); those beyond the last that is
// needed, up to four, have no effect. Taps lie in shared memory, 16-byte aligned.
template <int N, typename C, typename Source>
__device__ __forceinline__ void add_filtered(C (&acc)[N], const C* taps, int k, Source& source);

template <typename C>
struct alignas(16) FourTaps {
  C v[4];
};

// The last kRest taps, behind those that w already has: w[N - 1 + d] is tap number d of the rest.
template <int kRest, int N, typename C, typename Source>
__device__ __forceinline__ void add_rest(C (&acc)[N], C (&w)[N + 3], const C* taps,
                                         Source& source) {
#pragma unroll
  for (int d = 0; d < kRest; ++d) w[N - 1 + d] = taps[d];
#pragma unroll
  for (int m = 0; m < kRest + N - 1; m += 4) {
    C v[4];
    source.load(v);
#pragma unroll
    for (int e = 0; e < 4; ++e) {
#pragma unroll
      for (int i = 0; i < N; ++i) {
        if (m + e - i < kRest && m + e < kRest + N - 1) acc[i] += w[N - 1 + m + e - i] * v[e];
      }
    }
  }
}

template <int N, typename C, typename Source>
__device__ __forceinline__ void add_filtered(C (&acc)[N], const C* taps, int k, Source& source) {
  constexpr int kHead = (N - 1 + 3) / 4 * 4;  // elements that not all sums see
  C v[4];
  if (k < kHead) {
    for (int m = 0; m < k + N - 1; m += 4) {
      source.load(v);
#pragma unroll
      for (int e = 0; e < 4; ++e) {
#pragma unroll
        for (int i = 0; i < N; ++i) {
          if (m + e >= i && m + e - i < k) acc[i] += taps[m + e - i] * v[e];
        }
      }
    }
    return;
  }
  C w[N + 3];  // w[N - 1 + d]: tap number m + d, where m is the first of the four elements
  const auto step = [&](int m, int known) {
    const FourTaps<C> next = *reinterpret_cast<const FourTaps<C>*>(taps + m);
#pragma unroll
    for (int d = 0; d < 4; ++d) w[N - 1 + d] = next.v[d];
    source.load(v);
#pragma unroll
    for (int e = 0; e < 4; ++e) {
#pragma unroll
      for (int i = 0; i < N; ++i) {
        if (e - i >= -known) acc[i] += w[N - 1 + e - i] * v[e];
      }
    }
#pragma unroll
    for (int d = 0; d < N - 1; ++d) w[d] = w[d + 4];
  };
#pragma unroll
  for (int m = 0; m < kHead; m += 4) step(m, m);
  int m = kHead;
#pragma unroll 2
  for (; m + 4 <= k; m += 4) step(m, N);
  if (k - m == 1) {
    add_rest<1>(acc, w, taps + m, source);
  } else {
    add_rest<3>(acc, w, taps + m, source);
  }
}

}  // namespace device
}  // namespace pygan
