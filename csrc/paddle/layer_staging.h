// pg_demodulation and pg_modulation are given the x and the attribute `spec` of the convolution
// that their results are for, and on a GPU stage what it multiplies in the same launch: their
// result `Staged`, an input of pg_conv2d. No gradient reads it.
#pragma once

#include <vector>

#include "paddle/conv2d_spec.h"
#include "paddle/device.h"

namespace pygan {
namespace binding {

// What to stage, and where.
struct LayerStaging {
  LayerCuda layer;
  StagedLayer stage;  // to nothing, if nothing is to be staged
  Tensor staged;      // bytes; one, of no meaning, if nothing is staged

  // `w` [O, I, kh, kw] as the convolution has it; x may be absent.
  LayerStaging(Device& device, const char* op, const Tensor& w, const OptionalTensor& x,
               const std::vector<int>& spec) {
    int64_t bytes = 0;
    if (has(x) && device.is_cuda()) {
      layer.conv = parse(spec, 0, 0, 0).conv;
      set_shapes(&layer.conv, x->shape(), w.shape(), nullptr);
      layer.storage = storage_of(op, x->dtype());
      layer.product = product_of(x->dtype());
      bytes = device.backend()->layer_staged_bytes(layer);
    }
    staged = paddle::empty({bytes > 0 ? bytes : 1}, DataType::UINT8, w.place());
    if (bytes == 0) return;
    device.use("x", *x);
    device.made("staged operands", staged);
    stage = {&layer, x->data(), staged.data()};
  }
  LayerStaging(const LayerStaging&) = delete;
};

}  // namespace binding
}  // namespace pygan
