// The register tile of the GEMM convolutions: MR rows by NV vectors of accumulators.
//
// Belongs in *_kernels.cpp files. Per step k it loads NV vectors of the packed operand b and
// broadcasts MR scalars of the other one straight from where they lie: row r at step k is
// a[offset[k] + row[r]], so that neither weights nor images need a second copy in memory.
#pragma once

#include "common/simd.h"

namespace pygan {
namespace PYGAN_ISA {

// Tile sizes that keep the accumulators, one row of b and a broadcast in the register file.
#if PYGAN_VECTOR_BYTES == 64
constexpr int kTileRows = 8;
constexpr int kTileVectors = 3;
#elif PYGAN_VECTOR_BYTES == 32
constexpr int kTileRows = 4;
constexpr int kTileVectors = 3;
#else
constexpr int kTileRows = 4;
constexpr int kTileVectors = 2;
#endif

template <typename T>
constexpr int tile_columns() {
  return kTileVectors * lanes<T>();
}

PYGAN_INLINE int64_t min_of(int64_t a, int64_t b) { return a < b ? a : b; }
PYGAN_INLINE int64_t max_of(int64_t a, int64_t b) { return a > b ? a : b; }
PYGAN_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// c[MR][NV vectors] = (add ? c : 0) + sum over k < steps of a * b. One chain of multiply-adds per
// element, in the order of k: the result does not depend on the tile an element falls into. Not
// inlined, so that the row pointers have the registers to themselves.
template <typename T, int MR, int NV>
static __attribute__((noinline)) void tile_product(T* __restrict c, const T* __restrict b,
                                                   const T* a, const int64_t* offset,
                                                   const int64_t* row, int64_t steps, bool add) {
  typedef typename Vec<T>::type V;
  constexpr int L = lanes<T>();
  V acc[MR][NV];
#pragma GCC unroll 8
  for (int r = 0; r < MR; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) acc[r][v] = V{};
  }
  const T* rows[MR];
#pragma GCC unroll 8
  for (int r = 0; r < MR; ++r) rows[r] = a + row[r];
  for (int64_t k = 0; k < steps; ++k) {
    const int64_t at = offset[k];
    V bk[NV];
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) bk[v] = load(b + v * L);
    b += NV * L;
#pragma GCC unroll 8
    for (int r = 0; r < MR; ++r) {
      const V ar = splat(rows[r][at]);
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) acc[r][v] += ar * bk[v];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < MR; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      T* p = c + (r * NV + v) * L;
      store(p, add ? load(p) + acc[r][v] : acc[r][v]);
    }
  }
}

template <typename T, int NV>
static void tile_rows(T* c, const T* b, const T* a, const int64_t* offset, const int64_t* row,
                      int64_t rows, int64_t steps, bool add) {
  constexpr int width = NV * lanes<T>();
#if PYGAN_VECTOR_BYTES == 64
  if (rows == 8) return tile_product<T, 8, NV>(c, b, a, offset, row, steps, add);
#endif
  if (rows >= 4) {
    tile_product<T, 4, NV>(c, b, a, offset, row, steps, add);
    c += 4 * width, row += 4, rows -= 4;
  }
  if (rows >= 2) {
    tile_product<T, 2, NV>(c, b, a, offset, row, steps, add);
    c += 2 * width, row += 2, rows -= 2;
  }
  if (rows >= 1) tile_product<T, 1, NV>(c, b, a, offset, row, steps, add);
}

// The tile of up to kTileRows rows and kTileVectors vectors; c and b are `vectors` wide.
template <typename T>
static void tile(T* c, const T* b, const T* a, const int64_t* offset, const int64_t* row,
                 int64_t rows, int64_t vectors, int64_t steps, bool add) {
  switch (vectors) {
#if PYGAN_VECTOR_BYTES >= 32
    case 3:
      return tile_rows<T, 3>(c, b, a, offset, row, rows, steps, add);
#endif
    case 2:
      return tile_rows<T, 2>(c, b, a, offset, row, rows, steps, add);
    default:
      return tile_rows<T, 1>(c, b, a, offset, row, rows, steps, add);
  }
}

}  // namespace PYGAN_ISA
}  // namespace pygan
