// What pointwise.cpp asks of its kernels.
#pragma once

#include <cstdint>

#include "common/isa.h"
#include "modulated_conv2d/epilogue.h"

namespace pygan {

// out[n, r, p] = epilogue(sum over c of a[r * a_row_stride + c * a_channel_stride]
//                                       * scale[n, c] * src[n, c, p])
// with at most kPointwiseChannels rows or channels.
template <typename T>
struct PointwiseMap {
  int64_t n, rows, channels, area;
  T* out;
  const T* src;
  const T* a;
  int64_t a_row_stride, a_channel_stride;
  const T* scale;  // [n, channels] or null
  Epilogue<T> epilogue;
};

// out[m * out_many_stride + f * out_few_stride] =
//     sum over n, p of many[n, m, p] * many_scale[n, m] * few[n, f, p] * few_scale[n, f]
// with at most kPointwiseChannels in `few`.
template <typename T>
struct PointwiseDots {
  int64_t n, many_channels, few_channels, area;
  T* out;
  int64_t out_many_stride, out_few_stride;
  const T* many;
  const T* few;
  const T* many_scale;  // [n, many_channels] or null
  const T* few_scale;   // [n, few_channels] or null
};

PYGAN_DECLARE_KERNELS(void pointwise_map(const PointwiseMap<float>& p);
                      void pointwise_map(const PointwiseMap<double>& p);
                      void pointwise_dots(const PointwiseDots<float>& p);
                      void pointwise_dots(const PointwiseDots<double>& p);)

}  // namespace pygan
