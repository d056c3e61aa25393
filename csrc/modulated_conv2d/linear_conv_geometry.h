// The four modes of the linear map C of modulated_conv2d.h in terms of the engines, for the CPU and
// the GPU alike: which correlation (conv2d.h) and which FIR (upfirdn2d.h) each of them holds.
#pragma once

#include "modulated_conv2d/conv_shape.h"
#include "modulated_conv2d/modulated_conv2d.h"
#include "modulated_conv2d/weight_layout.h"
#include "upfirdn2d/upfirdn2d.h"

namespace pygan {

// The correlation inside C, as conv2d.h describes it. In the modes that transpose, its input is
// C's output side.
inline ConvShape shape_of(const LinearConv& c) {
  ConvShape s;
  s.n = c.n;
  s.kh = c.kh;
  s.kw = c.kw;
  s.stride_y = c.stride_y;
  s.stride_x = c.stride_x;
  s.dilation_y = c.dilation_y;
  s.dilation_x = c.dilation_x;
  s.pad_top = c.pad_top;
  s.pad_left = c.pad_left;
  s.groups = c.groups;
  s.ci = c.ci;
  s.co = c.co;
  s.h = c.h;
  s.w = c.w;
  s.oh = c.oh;
  s.ow = c.ow;
  switch (c.mode) {
    case ConvMode::conv:
      break;
    case ConvMode::transposed:
      s.ci = c.co;
      s.co = c.ci;
      s.h = c.oh;
      s.w = c.ow;
      s.oh = c.h;
      s.ow = c.w;
      break;
    case ConvMode::up:
      s.ci = c.co;
      s.co = c.ci;
      s.h = (c.h - 1) * c.stride_y + c.kh;
      s.w = (c.w - 1) * c.stride_x + c.kw;
      s.oh = c.h;
      s.ow = c.w;
      break;
    case ConvMode::down:
      s.h = c.h + c.fir_top + c.fir_bottom - (c.fir_h - 1);
      s.w = c.w + c.fir_left + c.fir_right - (c.fir_w - 1);
      break;
  }
  return s;
}

// The FIR of the modes up (t [.., th, tw] -> u) and down (x -> filtered x).
inline Upfirdn2dParams fir_of(const LinearConv& c, const ConvShape& s) {
  Upfirdn2dParams p;
  const bool up = c.mode == ConvMode::up;
  p.planes = up ? c.n * c.co : c.n * c.ci;
  p.in_h = up ? s.h : c.h;
  p.in_w = up ? s.w : c.w;
  p.out_h = up ? c.oh : s.h;
  p.out_w = up ? c.ow : s.w;
  p.pad_y0 = c.fir_top;
  p.pad_x0 = c.fir_left;
  p.taps = c.fir.data();
  p.taps_h = c.fir_h;
  p.taps_w = c.fir_w;
  p.separable = c.fir_separable;
  p.flip = c.fir_flip;
  p.gain = up ? static_cast<double>(c.stride_y) * c.stride_x : 1.0;
  return p;
}

// How the weights of C lie for shape_of's correlation. A correlation of the zero-inserted image is
// the transpose of a correlation with mirrored taps, hence mode up.
inline WeightLayout layout_of(const LinearConv& c) {
  return {c.mode == ConvMode::up, (c.mode == ConvMode::up) != c.flip};
}

}  // namespace pygan
