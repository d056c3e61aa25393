// Winograd convolution: the 36 matrix products, in register tiles of kOutBlock rows by up to
// kWinogradPanelVectors vectors.
#include "modulated_conv2d/winograd_kernels.h"
#include "modulated_conv2d/winograd_layout.h"

namespace pygan {
namespace PYGAN_ISA {
namespace {

constexpr int kLanes = lanes<float>();

// c[r][.] (+)= sum over k < depth of a[k][r] * b[k][.], with r < kOutBlock and rows of b and c of
// Vectors vectors.
template <int Vectors, bool Accumulate>
void multiply_tile(float* c, const float* a, const float* b, int64_t depth) {
  VecF sum[kOutBlock][Vectors];
#pragma GCC unroll 8
  for (int r = 0; r < kOutBlock; ++r) {
#pragma GCC unroll 3
    for (int j = 0; j < Vectors; ++j) sum[r][j] = VecF{};
  }
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
#pragma GCC unroll 8
  for (int r = 0; r < kOutBlock; ++r) {
#pragma GCC unroll 3
    for (int j = 0; j < Vectors; ++j) {
      float* to = c + (r * Vectors + j) * kLanes;
      store(to, Accumulate ? load(to) + sum[r][j] : sum[r][j]);
    }
  }
}

template <bool Accumulate>
PYGAN_INLINE void multiply_tile(int64_t vectors, float* c, const float* a, const float* b,
                                int64_t depth) {
  static_assert(kWinogradPanelVectors == 3, "one case per width");
  switch (vectors) {
    case 1:
      return multiply_tile<1, Accumulate>(c, a, b, depth);
    case 2:
      return multiply_tile<2, Accumulate>(c, a, b, depth);
    default:
      return multiply_tile<3, Accumulate>(c, a, b, depth);
  }
}

}  // namespace

void winograd_multiply(const WinogradMatrix& m, const WinogradMatrix& u, const WinogradMatrix& v,
                       int64_t channels, int64_t vectors, int64_t blocks, int64_t begin,
                       int64_t end) {
  const int64_t panels = panels_of(vectors);
  for (int64_t item = begin; item < end; ++item) {
    const int64_t k = item / blocks, block = item % blocks;
    const float* a = u.data + k * u.stride + block * channels * kOutBlock;
    for (int64_t p = 0; p < panels; ++p) {
      const int64_t first = panel_begin(p, vectors), width = panel_begin(p + 1, vectors) - first;
      const float* b = v.data + k * v.stride + first * kLanes * channels;
      float* c =
          m.data + k * m.stride + (first * blocks + block * width) * (kOutBlock * int64_t{kLanes});
      multiply_tile<false>(width, c, a, b, channels);
    }
  }
}

void winograd_multiply_transposed(const WinogradMatrix& d, const WinogradMatrix& y,
                                  const WinogradMatrix& v, int64_t tiles, const WinogradRows& rows,
                                  int64_t groups, bool accumulate, int64_t begin, int64_t end) {
  const int64_t panels = panels_of(groups);
  for (int64_t item = begin; item < end; ++item) {
    const int64_t k = item / rows.blocks, block = item % rows.blocks;
    const int64_t row_block =
        block / rows.per_phase * rows.phase_blocks + rows.first + block % rows.per_phase;
    const float* a = y.data + k * y.stride + row_block * tiles * kOutBlock;
    for (int64_t p = 0; p < panels; ++p) {
      const int64_t first = panel_begin(p, groups), width = panel_begin(p + 1, groups) - first;
      const float* b = v.data + k * v.stride + first * kLanes * tiles;
      float* c = d.data + k * d.stride + (block * groups + first) * (kOutBlock * int64_t{kLanes});
      if (accumulate) {
        multiply_tile<true>(width, c, a, b, tiles);
      } else {
        multiply_tile<false>(width, c, a, b, tiles);
      }
    }
  }
}

}  // namespace PYGAN_ISA
}  // namespace pygan
