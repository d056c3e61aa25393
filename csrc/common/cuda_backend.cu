#include "common/cuda_backend.h"
#include "common/cuda_launch.cuh"

// The only symbol that a library of CUDA kernels shows (CudaBackend of common/cuda_backend.h).
extern "C" __attribute__((visibility("default"))) const pygan::CudaBackend* pygan_cuda_backend() {
  static const pygan::CudaBackend backend = {
      pygan::bias_act_cuda,
      pygan::upfirdn2d_cuda,
      pygan::layer_staged_bytes_cuda,
      pygan::layer_forward_cuda,
      pygan::layer_backward_cuda,
      pygan::layer_second_order_cuda,
      pygan::demodulation_cuda,
      pygan::tap_dot_cuda,
      pygan::tap_scale_cuda,
      [] { return pygan::device_limits().arch; },
      pygan::modulation_cuda,
      pygan::modulation_gradient_cuda,
      pygan::warp_cuda,
      pygan::color_cuda,
      pygan::image_filter_cuda,
      nullptr,  // label_conv
      nullptr,  // label_conv_gradient
      nullptr,  // instance_mean
      nullptr,  // instance_edges
      nullptr,  // norm_statistics
      nullptr,  // spade_norm
  };
  return &backend;
}
