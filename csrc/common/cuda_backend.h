// The CUDA side of the library as one table, so that csrc/paddle/ calls it without knowing where it
// is: linked in (builds for GPUs), or loaded on demand from a library whose kernels run on the
// emulator of csrc/ptx (tests on machines without a GPU).
#pragma once

#include "augment/color.h"
#include "augment/image_filter.h"
#include "augment/warp.h"
#include "bias_act/bias_act.h"
#include "labels/instances.h"
#include "labels/label_conv.h"
#include "modulated_conv2d/demodulation.h"
#include "modulated_conv2d/layer_cuda.h"
#include "modulated_conv2d/modulation.h"
#include "spade_norm/spade_norm.h"
#include "upfirdn2d/upfirdn2d.h"

namespace pygan {

struct CudaBackend {
  decltype(&bias_act_cuda) bias_act;
  decltype(&upfirdn2d_cuda) upfirdn2d;
  decltype(&layer_staged_bytes_cuda) layer_staged_bytes;
  decltype(&layer_forward_cuda) layer_forward;
  decltype(&layer_backward_cuda) layer_backward;
  decltype(&layer_second_order_cuda) layer_second_order;
  decltype(&demodulation_cuda) demodulation;
  decltype(&tap_dot_cuda) tap_dot;
  decltype(&tap_scale_cuda) tap_scale;
  // Compute capability of the current device, 10 * major + minor.
  int (*arch)();
  decltype(&modulation_cuda) modulation;
  decltype(&modulation_gradient_cuda) modulation_gradient;
  // Null: not there yet.
  decltype(&warp_cuda) warp;
  decltype(&color_cuda) color;
  decltype(&image_filter_cuda) image_filter;
  decltype(&label_conv_cuda) label_conv;
  decltype(&label_conv_gradient_cuda) label_conv_gradient;
  decltype(&instance_mean_cuda) instance_mean;
  decltype(&instance_edges_cuda) instance_edges;
  decltype(&norm_statistics_cuda) norm_statistics;
  decltype(&spade_norm_cuda) spade_norm;
};

}  // namespace pygan
