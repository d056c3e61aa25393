// The geometry of one convolution, shared by every path that computes it or its gradients.
#pragma once

#include <cstdint>

namespace pygan {

// One strided correlation y = corr(x, w) on contiguous NCHW tensors:
//
//   y[n, o, i, j] = sum over c, a, b of
//       w[o, c, a, b] * x[n, g(o) * (ci / groups) + c,
//                         i * stride_y - pad_top + a * dilation_y,
//                         j * stride_x - pad_left + b * dilation_x]
//
// with x zero outside [0, h) x [0, w), g(o) = o / (co / groups), and w stored as
// [co, ci / groups, kh, kw]. Only the leading padding is stored, and it may be negative (a crop);
// the trailing padding follows from the output size, which may be any. Every extent may be zero.
//
// A transposed convolution is the same description read backwards: its forward pass is the input
// gradient of the correlation, and its input gradient is the correlation itself.
struct ConvShape {
  int64_t n, ci, co;  // samples, input channels, output channels
  int64_t h, w;       // input size
  int64_t oh, ow;     // output size
  int kh, kw;         // kernel size
  int stride_y, stride_x;
  int dilation_y, dilation_x;
  int64_t pad_top, pad_left;
  int64_t groups;

  int64_t ci_per_group() const { return ci / groups; }
  int64_t co_per_group() const { return co / groups; }
  int64_t taps() const { return int64_t{kh} * kw; }
  int64_t input_area() const { return h * w; }
  int64_t output_area() const { return oh * ow; }
  int64_t x_size() const { return n * ci * h * w; }
  int64_t y_size() const { return n * co * oh * ow; }
  int64_t weight_size() const { return co * ci_per_group() * taps(); }
  // Multiply-adds of the forward pass, and of each of its two gradients.
  int64_t macs() const { return n * co * oh * ow * ci_per_group() * taps(); }

  // True for the 1x1 kernel that reads each input pixel where it lies.
  bool is_pointwise() const {
    return kh == 1 && kw == 1 && stride_y == 1 && stride_x == 1 && pad_top == 0 && pad_left == 0 &&
           oh == h && ow == w;
  }
};

}  // namespace pygan
