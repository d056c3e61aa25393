// The attribute `spec` of pg_conv2d, and the shapes that follow from it and the operands.
#pragma once

#include <cstdint>
#include <vector>

#include "modulated_conv2d/layer_cuda.h"
#include "modulated_conv2d/modulated_conv2d.h"
#include "paddle/common.h"
#include "paddle/device.h"

namespace pygan {
namespace binding {

// One list, since Paddle's call cost grows with the number of attributes.
struct Spec {
  LinearConv conv;
  LayerActivation act;
  bool need_x, need_w, need_s, need_d, need_noise, need_strength, need_bias;
};

inline Spec parse(const std::vector<int>& v, int64_t alpha, int64_t gain, int64_t clamp) {
  PD_CHECK(v.size() == 24, "pygan.conv2d: internal error, spec has ", v.size(), " numbers.");
  Spec spec;
  LinearConv& c = spec.conv;
  size_t i = 0;
  c.mode = static_cast<ConvMode>(v[i++]);
  c.stride_y = v[i++];
  c.stride_x = v[i++];
  c.dilation_y = v[i++];
  c.dilation_x = v[i++];
  c.pad_left = v[i++];
  c.pad_right = v[i++];
  c.pad_top = v[i++];
  c.pad_bottom = v[i++];
  c.groups = v[i++];
  c.flip = v[i++] != 0;
  c.fir_left = v[i++];
  c.fir_right = v[i++];
  c.fir_top = v[i++];
  c.fir_bottom = v[i++];
  c.fir_flip = v[i++] != 0;
  spec.act.act = v[i++];
  spec.act.alpha = double_of(alpha);
  spec.act.gain = double_of(gain);
  spec.act.clamp = double_of(clamp);
  spec.need_x = v[i++] != 0;
  spec.need_w = v[i++] != 0;
  spec.need_s = v[i++] != 0;
  spec.need_d = v[i++] != 0;
  spec.need_noise = v[i++] != 0;
  spec.need_strength = v[i++] != 0;
  spec.need_bias = v[i++] != 0;
  return spec;
}

// What a GPU multiplies in, for an operator whose x is of type `dtype`: widened halves still
// multiply in their type, on tensor cores.
inline Product product_of(DataType dtype) {
  return dtype == DataType::FLOAT16                     ? Product::float16
         : dtype == DataType::BFLOAT16                  ? Product::bfloat16
         : dtype == DataType::FLOAT32 && tf32_allowed() ? Product::tf32
                                                        : Product::exact;
}

inline void set_shapes(LinearConv* conv, const std::vector<int64_t>& x,
                       const std::vector<int64_t>& w, const std::vector<int64_t>* filter) {
  conv->n = x[0];
  conv->ci = x[1];
  conv->h = x[2];
  conv->w = x[3];
  conv->co = conv->mode == ConvMode::transposed ? w[1] * conv->groups : w[0];
  conv->kh = static_cast<int>(w[2]);
  conv->kw = static_cast<int>(w[3]);
  conv->fir_h = conv->fir_w = 1;
  conv->fir_separable = filter != nullptr && filter->size() == 1;
  if (filter != nullptr) {
    conv->fir_h = static_cast<int>(filter->front());
    conv->fir_w = static_cast<int>(filter->back());
  }
  infer_output_size(*conv);
}

}  // namespace binding
}  // namespace pygan
