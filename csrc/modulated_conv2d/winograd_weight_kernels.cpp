// Winograd convolution: the transform of the weights U = G w G^T, and its adjoint.
#include "common/simd_shuffle.h"
#include "modulated_conv2d/winograd_kernels.h"
#include "modulated_conv2d/winograd_layout.h"

namespace pygan {
namespace PYGAN_ISA {
namespace {

constexpr int kStageInputs = 32;  // input channels transposed at a time
constexpr int kStageFloats = kStageInputs * kOutBlock;
static_assert(kStageFloats % kLanes == 0, "whole vectors");

}  // namespace

void winograd_transform_weights(const WinogradMatrix& u, const WinogradWeights& weights,
                                int64_t first, int64_t padded, int64_t begin, int64_t end) {
  alignas(64) float stage[9][kStageFloats];
  const int64_t channels = weights.in_channels * weights.in_phases;
  const int64_t phase_blocks = padded / kOutBlock;
  for (int64_t block = begin; block < end; ++block) {
    const int64_t out_phase = block / phase_blocks;
    const int64_t o = first + block % phase_blocks * kOutBlock;
    const int64_t left = weights.out_channels - o;
    const int rows = static_cast<int>(left < 0 ? 0 : left < kOutBlock ? left : kOutBlock);
    const float* of_block =
        weights.w + out_phase * weights.out_phase_stride + o * weights.out_stride;
    for (int in_phase = 0; in_phase < weights.in_phases; ++in_phase) {
      const int64_t phase = out_phase + in_phase;
      const float (*gy)[3] = weights.matrix_y[phase / 2];
      const float (*gx)[3] = weights.matrix_x[phase % 2];
      for (int64_t i = 0; i < weights.in_channels; i += kStageInputs) {
        const int64_t rest = weights.in_channels - i;
        const int inputs = static_cast<int>(rest < kStageInputs ? rest : kStageInputs);
        if (rows < kOutBlock || inputs < kStageInputs) __builtin_memset(stage, 0, sizeof(stage));
        for (int r = 0; r < rows; ++r) {
          const float* from = of_block + r * weights.out_stride +
                              in_phase * weights.in_phase_stride + i * weights.in_stride;
          for (int c = 0; c < inputs; ++c, from += weights.in_stride) {
            for (int tap = 0; tap < 9; ++tap) stage[tap][c * kOutBlock + r] = from[tap];
          }
        }
        float* to = u.data + (block * channels + in_phase * weights.in_channels + i) * kOutBlock;
        for (int at = 0; at < inputs * kOutBlock; at += kLanes) {
          VecF half[6][3];
          for (int b = 0; b < 3; ++b) {
            const VecF w0 = load(stage[b] + at), w1 = load(stage[3 + b] + at),
                       w2 = load(stage[6 + b] + at);
            for (int a = 0; a < 6; ++a) half[a][b] = gy[a][0] * w0 + gy[a][1] * w1 + gy[a][2] * w2;
          }
          const int valid = inputs * kOutBlock - at;
          for (int a = 0; a < 6; ++a) {
            for (int b = 0; b < 6; ++b) {
              const VecF value =
                  gx[b][0] * half[a][0] + gx[b][1] * half[a][1] + gx[b][2] * half[a][2];
              float* p = to + (a * 6 + b) * u.stride + at;
              if (valid >= kLanes) {
                store(p, value);
              } else {
                __builtin_memcpy(p, &value, valid * sizeof(float));
              }
            }
          }
        }
      }
    }
  }
}

void winograd_gather_weights(float* dw, const WinogradMatrix& d, const WinogradWeights& weights,
                             int64_t first, int64_t padded, int64_t begin, int64_t end) {
  const int64_t phase_groups = (weights.in_channels + kLanes - 1) / kLanes;
  const int64_t groups = phase_groups * weights.in_phases;
  const bool folds = weights.out_phase_stride == 0 && weights.in_phase_stride == 0;
  const int outer = folds ? 1 : weights.out_phases * weights.in_phases;
  const int inner = folds ? weights.out_phases * weights.in_phases : 1;
  for (int64_t o = begin; o < end; ++o) {
    for (int64_t group = 0; group < phase_groups; ++group) {
      const int64_t i = group * kLanes;
      const int64_t rest = weights.in_channels - i;
      const int inputs = static_cast<int>(rest < kLanes ? rest : kLanes);
      for (int unfolded = 0; unfolded < outer; ++unfolded) {
        VecF sum[9] = {};
        for (int folded = 0; folded < inner; ++folded) {
          const int phase = unfolded + folded;
          const int64_t out_phase = weights.out_phases > 1 ? phase : 0;
          const int64_t in_phase = weights.in_phases > 1 ? phase : 0;
          const float (*gy)[3] = weights.matrix_y[phase / 2];
          const float (*gx)[3] = weights.matrix_x[phase % 2];
          const int64_t row = out_phase * padded + o;
          const int64_t vector = in_phase * phase_groups + group;
          const float* from = d.data + row / kOutBlock * groups * kOutBlock * kLanes +
                              panel_offset(vector, groups, kOutBlock) +
                              row % kOutBlock * panel_row(vector, groups);
          VecF half[3][6];
          for (int b = 0; b < 6; ++b) {
            VecF column[3] = {};
            for (int a = 0; a < 6; ++a) {
              const VecF value = load(from + (a * 6 + b) * d.stride);
              for (int tap = 0; tap < 3; ++tap) column[tap] += gy[a][tap] * value;
            }
            for (int tap = 0; tap < 3; ++tap) half[tap][b] = column[tap];
          }
          for (int ta = 0; ta < 3; ++ta) {
            for (int b = 0; b < 6; ++b) {
              for (int tb = 0; tb < 3; ++tb) sum[ta * 3 + tb] += gx[b][tb] * half[ta][b];
            }
          }
        }
        alignas(64) float stage[9][kLanes];
        for (int tap = 0; tap < 9; ++tap) store(stage[tap], sum[tap]);
        float* to = dw + (first + o) * weights.out_stride + i * weights.in_stride +
                    (weights.out_phases > 1 ? weights.out_phase_stride : weights.in_phase_stride) *
                        unfolded;
        for (int c = 0; c < inputs; ++c, to += weights.in_stride) {
          for (int tap = 0; tap < 9; ++tap) to[tap] = stage[tap][c];
        }
      }
    }
  }
}

}  // namespace PYGAN_ISA
}  // namespace pygan
