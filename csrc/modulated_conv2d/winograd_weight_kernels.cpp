// Winograd convolution: the transform of the weights U = G w G^T, and its adjoint.
//
// A kernel's nine taps lie together in memory, while the vectors here hold one tap of many kernels.
// Taps are moved four at a time, 0 to 3, 4 to 7 and 5 to 8, which a transposition of 4x4 turns: the
// overlap spares both a ninth tap on its own and accesses beyond the kernel.
#include "common/simd_shuffle.h"
#include "modulated_conv2d/winograd_kernels.h"
#include "modulated_conv2d/winograd_layout.h"
#include "modulated_conv2d/winograd_points.h"
#include "modulated_conv2d/winograd_points_strided.h"

namespace pygan {
namespace PYGAN_ISA {
namespace {

// --- Four taps of several kernels ---

typedef float Quad __attribute__((vector_size(16)));

PYGAN_INLINE Quad load_quad(const float* p) {
  Quad quad;
  __builtin_memcpy(&quad, p, sizeof(quad));
  return quad;
}

// 128-bit lane q: four floats at p[q].
PYGAN_INLINE VecF load_quads(const float* const p[kQuads]) {
#if PYGAN_VECTOR_BYTES == 64
  __m512 v = _mm512_castps128_ps512((__m128)load_quad(p[0]));
  v = _mm512_insertf32x4(v, (__m128)load_quad(p[1]), 1);
  v = _mm512_insertf32x4(v, (__m128)load_quad(p[2]), 2);
  return (VecF)_mm512_insertf32x4(v, (__m128)load_quad(p[3]), 3);
#elif PYGAN_VECTOR_BYTES == 32
  const __m256 v = _mm256_castps128_ps256((__m128)load_quad(p[0]));
  return (VecF)_mm256_insertf128_ps(v, (__m128)load_quad(p[1]), 1);
#else
  return load_quad(p[0]);
#endif
}

// 128-bit lane q to p + q * step.
PYGAN_INLINE void store_quads(float* p, int64_t step, VecF v) {
#if PYGAN_VECTOR_BYTES == 64
  // The unmasked intrinsics make GCC 12 warn of undefined vectors of its own header.
  constexpr __mmask8 kAll = 0xf;
  _mm_storeu_ps(p, _mm512_maskz_extractf32x4_ps(kAll, (__m512)v, 0));
  _mm_storeu_ps(p + step, _mm512_maskz_extractf32x4_ps(kAll, (__m512)v, 1));
  _mm_storeu_ps(p + 2 * step, _mm512_maskz_extractf32x4_ps(kAll, (__m512)v, 2));
  _mm_storeu_ps(p + 3 * step, _mm512_maskz_extractf32x4_ps(kAll, (__m512)v, 3));
#elif PYGAN_VECTOR_BYTES == 32
  _mm_storeu_ps(p, _mm256_castps256_ps128((__m256)v));
  _mm_storeu_ps(p + step, _mm256_extractf128_ps((__m256)v, 1));
#else
  (void)step;
  store(p, v);
#endif
}

// --- The transform ---

constexpr int kVectorInputs = kLanes / kOutBlock;  // input channels in a vector of U
static_assert(kLanes % kOutBlock == 0 && kOutBlock % 4 == 0, "a vector holds whole blocks");
constexpr int kStageVectors = 1024 / PYGAN_VECTOR_BYTES;  // a few lines of each plane at a time
constexpr int kStageInputs = kStageVectors * kVectorInputs;

// tap[t], lane c * kOutBlock + r: tap t of the kernel (r, c), which is at
// w + r * out_stride + c * in_stride; tap 8 - t if `mirrored`.
PYGAN_INLINE void load_taps(VecF tap[9], const float* w, int64_t out_stride, int64_t in_stride,
                            bool mirrored) {
  constexpr int kFirst[3] = {0, 4, 5};
  VecF four[3][4];
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const float* p[3][kQuads];
#pragma GCC unroll 4
    for (int q = 0; q < kQuads; ++q) {
      const float* kernel =
          w + (4 * q + j) % kOutBlock * out_stride + (4 * q + j) / kOutBlock * in_stride;
#pragma GCC unroll 3
      for (int part = 0; part < 3; ++part) p[part][q] = kernel + kFirst[part];
    }
#pragma GCC unroll 3
    for (int part = 0; part < 3; ++part) four[part][j] = load_quads(p[part]);
  }
#pragma GCC unroll 3
  for (int part = 0; part < 3; ++part) {
    transpose_4x4(four[part][0], four[part][1], four[part][2], four[part][3]);
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const int t = kFirst[part] + j;
      tap[mirrored ? 8 - t : t] = four[part][j];
    }
  }
}

// Copies `rows` by `inputs` kernels between zeros: (r, c) to copy + (c * kOutBlock + r) * 9.
void copy_kernels(float* copy, const float* w, int64_t out_stride, int64_t in_stride, int rows,
                  int inputs) {
  __builtin_memset(copy, 0, kVectorInputs * kOutBlock * 9 * sizeof(float));
  for (int c = 0; c < inputs; ++c) {
    for (int r = 0; r < rows; ++r) {
      __builtin_memcpy(copy + (c * kOutBlock + r) * 9, w + r * out_stride + c * in_stride,
                       9 * sizeof(float));
    }
  }
}

// Calls `body` with each pair of points of an axis (winograd_points.h) as a constant.
template <typename Body>
PYGAN_INLINE void for_each_pair(const Body& body) {
  body(Pair<0>());
  body(Pair<1>());
  body(Pair<2>());
}

// The 36 planes of `vectors` vectors of taps, the last of which has `valid` lanes. Planes are
// written twelve at a time: few enough streams of stores.
template <typename Points>
PYGAN_INLINE void transform_taps(float* to, int64_t stride, const VecF (*tap)[9], int vectors,
                                 int valid) {
  for_each_pair([&](auto y) {
    for (int i = 0; i < vectors; ++i) {
      VecF half[2][3];
#pragma GCC unroll 3
      for (int b = 0; b < 3; ++b) {
        const VecF column[3] = {tap[i][b], tap[i][3 + b], tap[i][6 + b]};
        VecF u[2];
        Points::g(y, column, u);
        half[0][b] = u[0];
        half[1][b] = u[1];
      }
      const bool whole = i + 1 < vectors || valid == kLanes;
      for_each_pair([&](auto x) {
#pragma GCC unroll 2
        for (int r = 0; r < 2; ++r) {
          VecF u[2];
          Points::g(x, half[r], u);
#pragma GCC unroll 2
          for (int c = 0; c < 2; ++c) {
            const int plane = Points::kPairs[y.index][r] * 6 + Points::kPairs[x.index][c];
            float* p = to + plane * stride + i * kLanes;
            if (whole) {
              store(p, u[c]);
            } else {
              __builtin_memcpy(p, &u[c], valid * sizeof(float));
            }
          }
        }
      });
    }
  });
}

}  // namespace

void winograd_transform_weights(const WinogradMatrix& u, const WinogradWeights& weights,
                                int64_t first, int64_t begin, int64_t end) {
  VecF tap[kStageVectors][9];
  float copy[kVectorInputs * kOutBlock * 9];
  const int64_t out_stride = weights.out_stride, in_stride = weights.in_stride;
  const int64_t channels = weights.in_channels;
  // Blocks inside, for neighbouring blocks of transposed weights share lines and pages.
  for (int64_t i = 0; i < channels; i += kStageInputs) {
    const int inputs = static_cast<int>(channels - i < kStageInputs ? channels - i : kStageInputs);
    const int vectors = (inputs + kVectorInputs - 1) / kVectorInputs;
    for (int64_t block = begin; block < end; ++block) {
      const int64_t o = first + block * kOutBlock;
      const int64_t left = weights.out_channels - o;
      const int rows = static_cast<int>(left < 0 ? 0 : left < kOutBlock ? left : kOutBlock);
      const float* of_block = weights.w + o * out_stride + i * in_stride;
      for (int at = 0; at < vectors; ++at) {
        const int c = at * kVectorInputs;
        const float* from = of_block + c * in_stride;
        if (rows == kOutBlock && c + kVectorInputs <= inputs) {
          load_taps(tap[at], from, out_stride, in_stride, weights.mirrored);
        } else {
          copy_kernels(copy, from, out_stride, in_stride, rows,
                       inputs - c < kVectorInputs ? inputs - c : kVectorInputs);
          load_taps(tap[at], copy, 9, 9 * kOutBlock, weights.mirrored);
        }
      }
      float* to = u.data + (block * channels + i) * kOutBlock;
      const int valid = inputs * kOutBlock - (vectors - 1) * kLanes;
      if (weights.strided) {
        transform_taps<StridedPoints>(to, u.stride, tap, vectors, valid);
      } else {
        transform_taps<SamePoints>(to, u.stride, tap, vectors, valid);
      }
    }
  }
}

// --- The adjoint ---

namespace {

// tap[t] of the adjoint for one vector of kernels. Plane k of it is at from + k * stride; what lies
// `ahead` of that will be needed soon.
template <typename Points>
PYGAN_INLINE void adjoint(VecF tap[9], const float* from, int64_t ahead, int64_t stride) {
  VecF total[3][3] = {};  // by column
  for_each_pair([&](auto y) {
    VecF half[2][3] = {};
#pragma GCC unroll 2
    for (int r = 0; r < 2; ++r) {
      for_each_pair([&](auto x) {
        VecF u[2];
#pragma GCC unroll 2
        for (int c = 0; c < 2; ++c) {
          const int plane = Points::kPairs[y.index][r] * 6 + Points::kPairs[x.index][c];
          u[c] = load(from + plane * stride);
          __builtin_prefetch(from + plane * stride + ahead);
        }
        Points::add_g_transposed(x, u, half[r]);
      });
    }
#pragma GCC unroll 3
    for (int b = 0; b < 3; ++b) {
      const VecF u[2] = {half[0][b], half[1][b]};
      Points::add_g_transposed(y, u, total[b]);
    }
  });
#pragma GCC unroll 9
  for (int t = 0; t < 9; ++t) tap[t] = total[t % 3][t / 3];
}

// Kernel c to to + c * step, mirrored if asked for.
PYGAN_INLINE void store_taps(float* to, int64_t step, const VecF tap[9], bool mirrored) {
  constexpr int kFirst[3] = {0, 4, 5};
#pragma GCC unroll 3
  for (int part = 0; part < 3; ++part) {
    VecF four[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const int t = kFirst[part] + j;
      four[j] = tap[mirrored ? 8 - t : t];
    }
    transpose_4x4(four[0], four[1], four[2], four[3]);
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) store_quads(to + j * step + kFirst[part], 4 * step, four[j]);
  }
}

}  // namespace

void winograd_gather_weights(float* dw, const WinogradMatrix& d, const WinogradWeights& weights,
                             int64_t first, int64_t begin, int64_t end) {
  const int64_t groups = (weights.in_channels + kLanes - 1) / kLanes;
  for (int64_t row = begin; row < end; ++row) {
    const float* of_block = d.data + row / kOutBlock * groups * kOutBlock * kLanes;
    float* of_row = dw + (first + row) * weights.out_stride;
    int64_t panel = 0, left_edge = 0, right_edge = groups > 0 ? panel_begin(1, groups) : 0;
    for (int64_t group = 0; group < groups; ++group) {
      if (group == right_edge) {
        left_edge = right_edge;
        right_edge = panel_begin(++panel + 1, groups);
      }
      const int64_t width = right_edge - left_edge;
      const float* from =
          of_block +
          (left_edge * kOutBlock + row % kOutBlock * width + (group - left_edge)) * kLanes;
      VecF tap[9];
      const int64_t ahead = width * kOutBlock * kLanes;
      if (weights.strided) {
        adjoint<StridedPoints>(tap, from, ahead, d.stride);
      } else {
        adjoint<SamePoints>(tap, from, ahead, d.stride);
      }
      float* of_group = of_row + group * kLanes * weights.in_stride;
      const int64_t inputs = weights.in_channels - group * kLanes;
      if (inputs >= kLanes) {
        store_taps(of_group, weights.in_stride, tap, weights.mirrored);
      } else {
        float copy[kLanes * 9];
        store_taps(copy, 9, tap, weights.mirrored);
        for (int64_t c = 0; c < inputs; ++c) {
          __builtin_memcpy(of_group + c * weights.in_stride, copy + c * 9, 9 * sizeof(float));
        }
      }
    }
  }
}

}  // namespace PYGAN_ISA
}  // namespace pygan
