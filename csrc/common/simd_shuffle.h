// Rearrangements of float vectors for `*_kernels.cpp` files, for any vector width:
//
//   shuffle<P>(a, b)     lane i is element P::at(i) of a followed by b
//   transpose_4x4        in every 128-bit lane: vector j, element i <- vector i, element j
//   transpose_lanes      of a square of lanes<float>() vectors
//   interleave, deinterleave
#pragma once

#include "common/simd.h"

namespace pygan {
namespace PYGAN_ISA {

constexpr int kLanes = lanes<float>();
constexpr int kQuads = kLanes / 4;  // 128-bit lanes

template <int... I>
struct Indices {};
#if defined(__clang__)
template <typename T, T... I>
struct IndicesOf {
  typedef Indices<I...> type;
};
typedef __make_integer_seq<IndicesOf, int, kLanes>::type LaneIndices;
#else
template <int N>
struct IndicesBelow {
  typedef Indices<__integer_pack(N)...> type;
};
typedef IndicesBelow<kLanes>::type LaneIndices;
#endif

typedef int32_t VecI __attribute__((vector_size(PYGAN_VECTOR_BYTES)));

template <typename P, int... I>
PYGAN_INLINE VecF shuffle_by(VecF a, VecF b, Indices<I...>) {
#if defined(__clang__)
  return __builtin_shufflevector(a, b, P::at(I)...);
#else
  return __builtin_shuffle(a, b, VecI{P::at(I)...});
#endif
}

template <typename P>
PYGAN_INLINE VecF shuffle(VecF a, VecF b) {
  return shuffle_by<P>(a, b, LaneIndices());
}

// a where the mask is all ones, b where it is zero.
PYGAN_INLINE VecF select(VecI mask, VecF a, VecF b) { return mask ? a : b; }

// In each 128-bit lane: a0 b0 a1 b1 (Half = 0) or a2 b2 a3 b3 (Half = 1).
template <int Half>
struct Unpack {
  static constexpr int at(int i) { return i / 4 * 4 + 2 * Half + i % 4 / 2 + (i % 2 ? kLanes : 0); }
};
// In each 128-bit lane: a0 a1 b0 b1, or a2 a3 b2 b3.
template <int Half>
struct UnpackPairs {
  static constexpr int at(int i) { return i / 4 * 4 + 2 * Half + i % 2 + (i % 4 / 2 ? kLanes : 0); }
};
// Half = 0 or 1: a0 b0 a1 b1 ... of the first or second half of a and b.
template <int Half>
struct Interleave {
  static constexpr int at(int i) { return Half * kLanes / 2 + i / 2 + (i % 2 ? kLanes : 0); }
};
// Every second element of a followed by b, from element Odd.
template <int Odd>
struct EverySecond {
  static constexpr int at(int i) { return 2 * i + Odd; }
};
// 128-bit lanes: those of a from First in steps of Step (half of the result), then those of b.
template <int First, int Step>
struct PickQuads {
  static constexpr int at(int i) {
    return (i < kLanes / 2 ? 0 : kLanes) +
           (First + i / 4 % (kQuads > 1 ? kQuads / 2 : 1) * Step) * 4 + i % 4;
  }
};

PYGAN_INLINE void transpose_4x4(VecF& a, VecF& b, VecF& c, VecF& d) {
  const VecF ab_lo = shuffle<Unpack<0>>(a, b), ab_hi = shuffle<Unpack<1>>(a, b);
  const VecF cd_lo = shuffle<Unpack<0>>(c, d), cd_hi = shuffle<Unpack<1>>(c, d);
  a = shuffle<UnpackPairs<0>>(ab_lo, cd_lo);
  b = shuffle<UnpackPairs<1>>(ab_lo, cd_lo);
  c = shuffle<UnpackPairs<0>>(ab_hi, cd_hi);
  d = shuffle<UnpackPairs<1>>(ab_hi, cd_hi);
}

// Rows become columns: element j of row i <-> element i of row j.
PYGAN_INLINE void transpose_lanes(VecF row[kLanes]) {
#pragma GCC unroll 4
  for (int q = 0; q < kQuads; ++q) {
    transpose_4x4(row[4 * q], row[4 * q + 1], row[4 * q + 2], row[4 * q + 3]);
  }
  // Now row[4 q + j] holds, in its 128-bit lane p, element 4 p + j of the rows 4 q ... 4 q + 3.
#if PYGAN_VECTOR_BYTES == 64
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const VecF a = shuffle<PickQuads<0, 1>>(row[j], row[4 + j]);
    const VecF b = shuffle<PickQuads<2, 1>>(row[j], row[4 + j]);
    const VecF c = shuffle<PickQuads<0, 1>>(row[8 + j], row[12 + j]);
    const VecF d = shuffle<PickQuads<2, 1>>(row[8 + j], row[12 + j]);
    row[j] = shuffle<PickQuads<0, 2>>(a, c);
    row[4 + j] = shuffle<PickQuads<1, 2>>(a, c);
    row[8 + j] = shuffle<PickQuads<0, 2>>(b, d);
    row[12 + j] = shuffle<PickQuads<1, 2>>(b, d);
  }
#elif PYGAN_VECTOR_BYTES == 32
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const VecF a = row[j], b = row[4 + j];
    row[j] = shuffle<PickQuads<0, 1>>(a, b);
    row[4 + j] = shuffle<PickQuads<1, 1>>(a, b);
  }
#endif
}

}  // namespace PYGAN_ISA
}  // namespace pygan
