// The GEMM convolution on one group: correlations over a grid of positions, one per phase.
//
//   out[n, r, y0 + gy * out_step_y, x0 + gx * out_step_x] = epilogue(
//       sum over c, s, t of a[r * a_row_stride + c * a_channel_stride + a_y[s] + a_x[t]]
//           * scale[n, c] * src[n, c, gy * step_y + src_y[s], gx * step_x + src_x[t]])
//
// with src zero outside its plane, for the y0, x0, s and t of each phase. The forward pass has one
// phase; the input gradient has one per residue of the stride (direct.cpp). The im2col matrix
// exists only as a cache-sized tile, and the epilogue runs on the finished register tiles.
#pragma once

#include <cstdint>

#include "common/isa.h"
#include "modulated_conv2d/epilogue.h"

namespace pygan {

// The grid of one phase, where it writes, and the kernel taps it uses: what each reads in src and
// in a. Positions that would be written outside the output are left out.
struct CorrPhase {
  int64_t grid_h, grid_w;
  int64_t y0, x0;
  int taps_y, taps_x;
  const int64_t* src_y;  // [taps_y]
  const int64_t* a_y;
  const int64_t* src_x;  // [taps_x]
  const int64_t* a_x;
};

template <typename T>
struct CorrGemm {
  const CorrPhase* phases;
  int phase_count;
  bool interleave;  // phases, which then have one grid, take turns on blocks of its positions
  int64_t rows, channels;  // rows of the output (its channels), channels summed over
  int64_t n;

  const T* src;
  int64_t src_sample_stride, src_h, src_w;
  int64_t step_y, step_x;
  const T* scale;  // [n, ...] with scale_stride between samples, or null
  int64_t scale_stride;

  const T* a;
  int64_t a_row_stride, a_channel_stride;
  bool copy_a;  // the rows of a channel follow each other: gather those of a tile in one place

  T* out;
  int64_t out_sample_stride, out_h, out_w;
  int64_t out_step_y, out_step_x;
  Epilogue<T> epilogue;
  int64_t epilogue_channels;  // elements between the samples of epilogue.scale
};

// The weight gradient of one group:
//
//   dw[o, c, a, b] = sum over n, i, j of dy[n, o, i, j] * dy_scale[n, o] * x_scale[n, c]
//                    * x[n, c, i * stride_y - pad_top + a * dilation_y, ...]
//
// as a product of dy, transposed into panels, with pixels of a padded copy of some rows of x.
template <typename T>
struct WeightGemm {
  T* dw;  // [co, ci, kh, kw]
  const T* x;
  const T* dy;
  const T* x_scale;   // null or [n, ...], x_scale_stride apart
  const T* dy_scale;  // null or [n, ...], dy_scale_stride apart
  int64_t x_sample_stride, dy_sample_stride, x_scale_stride, dy_scale_stride;
  int64_t n, ci, co, h, w, oh, ow;
  int kh, kw;
  int64_t stride_y, stride_x, dilation_y, dilation_x, pad_top, pad_left;
};

PYGAN_DECLARE_KERNELS(void corr_gemm(const CorrGemm<float>& p);
                      void corr_gemm(const CorrGemm<double>& p);
                      void weight_gemm(const WeightGemm<float>& p);
                      void weight_gemm(const WeightGemm<double>& p);)

}  // namespace pygan
