// Which path computes a convolution.
#pragma once

#include "modulated_conv2d/conv_shape.h"

namespace pygan {

enum class ConvOp { forward, input_grad, weight_grad };

enum class ConvPath {
  direct,     // implicit-im2col GEMM: every shape, float and double (direct.h)
  pointwise,  // 1x1 with at most four channels on one side, in one pass over memory (pointwise.h)
  onednn,     // the oneDNN of Paddle's wheel, where it is loaded; float (onednn.h)
  winograd,   // 3x3 kernels of stride 1 and padding 1, or stride 2 and none; float (winograd.h)
};

const char* path_name(ConvPath path);

// True if `path` can compute the shape at all (for onednn: as far as can be told without asking
// it).
bool path_supports(ConvPath path, ConvOp op, const ConvShape& shape, bool is_float);

// The fastest path by measurement (plan.cpp holds the reasons), or the one that was asked for where
// it supports the shape: by set_conv_path, or else by PYGAN_CONV_PATH=direct|onednn|winograd|auto
// in the environment. `plain`: the weights lie as the shape says (weight_layout.h).
ConvPath choose_path(ConvOp op, const ConvShape& shape, bool is_float, bool plain);

// Asks for a path on all threads from now on: "direct", "pointwise", "onednn", "winograd" or
// "auto". Returns false, and changes nothing, on any other name.
bool set_conv_path(const char* name);

// The path asked for, or "auto".
const char* asked_conv_path();

}  // namespace pygan
