// Winograd convolution: the matrix products, in register tiles of kOutBlock rows by up to
// kWinogradPanelVectors vectors.
#include "modulated_conv2d/winograd_kernels.h"
#include "modulated_conv2d/winograd_layout.h"

namespace pygan {
namespace PYGAN_ISA {
namespace {

constexpr int kLanes = lanes<float>();

// c[r][.] (+)= sum over the pairs and k < depth of a[k][r] * b[k][.], with r < kOutBlock and rows
// of b and c of Vectors vectors; a and b of a pair begin at those of plane 0 plus its planes'
// offsets.
template <int Vectors, bool Accumulate>
void multiply_tile(float* c, const float* a0, int64_t a_stride, const float* b0, int64_t b_stride,
                   const WinogradProducts::Pair* pair, const WinogradProducts::Pair* pairs_end,
                   int64_t depth) {
  VecF sum[kOutBlock][Vectors];
#pragma GCC unroll 8
  for (int r = 0; r < kOutBlock; ++r) {
#pragma GCC unroll 3
    for (int j = 0; j < Vectors; ++j) sum[r][j] = VecF{};
  }
  for (; pair != pairs_end; ++pair) {
    const float* a = a0 + pair->a * a_stride;
    const float* b = b0 + pair->b * b_stride;
    for (int64_t k = 0; k < depth; ++k) {
      VecF row[Vectors];
#pragma GCC unroll 3
      for (int j = 0; j < Vectors; ++j) row[j] = load(b + j * kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < kOutBlock; ++r) {
        const VecF factor = splat(a[r]);
#pragma GCC unroll 3
        for (int j = 0; j < Vectors; ++j) sum[r][j] += factor * row[j];
      }
      a += kOutBlock;
      b += Vectors * kLanes;
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kOutBlock; ++r) {
#pragma GCC unroll 3
    for (int j = 0; j < Vectors; ++j) {
      float* to = c + (r * Vectors + j) * kLanes;
      store(to, Accumulate ? load(to) + sum[r][j] : sum[r][j]);
    }
  }
}

// Plane k of the products, for one block of rows of a and all panels of b.
template <bool Accumulate>
PYGAN_INLINE void multiply_row(const WinogradProducts& products, int64_t k, const WinogradMatrix& u,
                               int64_t u_offset, const WinogradMatrix& v, int64_t vectors,
                               int64_t depth, float* c, int64_t panel_rows, int64_t block) {
  static_assert(kWinogradPanelVectors == 3, "one case per width");
  const int64_t panels = panels_of(vectors);
  const WinogradProducts::Pair* pair = products.pair + products.first[k];
  const WinogradProducts::Pair* end = products.pair + products.first[k + 1];
  for (int64_t p = 0; p < panels; ++p) {
    const int64_t first = panel_begin(p, vectors), width = panel_begin(p + 1, vectors) - first;
    const float* a = u.data + u_offset;
    const float* b = v.data + first * kLanes * depth;
    float* to = c + (first * panel_rows + block * width) * (kOutBlock * int64_t{kLanes});
    switch (width) {
      case 1:
        multiply_tile<1, Accumulate>(to, a, u.stride, b, v.stride, pair, end, depth);
        break;
      case 2:
        multiply_tile<2, Accumulate>(to, a, u.stride, b, v.stride, pair, end, depth);
        break;
      default:
        multiply_tile<3, Accumulate>(to, a, u.stride, b, v.stride, pair, end, depth);
    }
  }
}

}  // namespace

void winograd_multiply(const WinogradProducts& products, const WinogradMatrix& m,
                       const WinogradMatrix& u, const WinogradMatrix& v, int64_t channels,
                       int64_t vectors, int64_t blocks, int64_t begin, int64_t end) {
  for (int64_t item = begin; item < end; ++item) {
    const int64_t k = item / blocks, block = item % blocks;
    multiply_row<false>(products, k, u, block * channels * kOutBlock, v, vectors, channels,
                        m.data + k * m.stride, blocks, block);
  }
}

void winograd_multiply_transposed(const WinogradProducts& products, const WinogradMatrix& d,
                                  const WinogradMatrix& y, const WinogradMatrix& v, int64_t tiles,
                                  const WinogradRows& rows, int64_t groups, bool accumulate,
                                  int64_t begin, int64_t end) {
  for (int64_t item = begin; item < end; ++item) {
    const int64_t k = item / rows.blocks, block = item % rows.blocks;
    const int64_t y_offset = (rows.first + block) * tiles * kOutBlock;
    // D[k] is [block][panel], one block of rows at a time.
    float* of_block = d.data + k * d.stride + block * groups * (kOutBlock * int64_t{kLanes});
    if (accumulate) {
      multiply_row<true>(products, k, y, y_offset, v, groups, tiles, of_block, 1, 0);
    } else {
      multiply_row<false>(products, k, y, y_offset, v, groups, tiles, of_block, 1, 0);
    }
  }
}

}  // namespace PYGAN_ISA
}  // namespace pygan
