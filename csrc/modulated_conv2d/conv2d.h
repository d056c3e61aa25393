// The convolution and its two gradients on the CPU, each fused with its scales: the three engines
// of which every convolution operator, and its derivatives of every order, is composed.
//
// Each function plans which path computes it (plan.h), for T = float or double. Null scales are
// ones. Outputs are overwritten. `layout` tells how w or dw lies. Throws std::bad_alloc when there
// is no memory for the workspace.
#pragma once

#include "modulated_conv2d/conv_shape.h"
#include "modulated_conv2d/epilogue.h"
#include "modulated_conv2d/weight_layout.h"

namespace pygan {

// y = epilogue(corr(x * x_scale, w)).
//   y [n, co, oh, ow], x [n, ci, h, w], w [co, ci/groups, kh, kw], x_scale [n, ci] or null.
//   The epilogue sees [n, co, oh, ow].
template <typename T>
void conv_forward(T* y, const T* x, const T* w, const T* x_scale, const Epilogue<T>& epilogue,
                  const ConvShape& shape, const WeightLayout& layout = {});

// dx = epilogue(corr^T(dy * dy_scale, w)), the transpose of the correlation: the gradient of
// conv_forward with respect to x, and the forward pass of a transposed convolution.
//   dx [n, ci, h, w], dy [n, co, oh, ow], dy_scale [n, co] or null.
//   The epilogue sees [n, ci, h, w]: its scale is [n, ci], its bias [ci], its noise h x w.
template <typename T>
void conv_input_grad(T* dx, const T* dy, const T* w, const T* dy_scale, const Epilogue<T>& epilogue,
                     const ConvShape& shape, const WeightLayout& layout = {});

// dw[o, c, a, b] = sum over n, i, j of (dy * dy_scale)[n, o, i, j] * (x * x_scale)[n, c, ...].
//   dw [co, ci/groups, kh, kw], x_scale [n, ci] or null, dy_scale [n, co] or null.
template <typename T>
void conv_weight_grad(T* dw, const T* x, const T* dy, const T* x_scale, const T* dy_scale,
                      const ConvShape& shape, const WeightLayout& layout = {});

// Name of the path that the last of these calls on this thread took: "direct", "pointwise",
// "onednn" or "winograd"; "" before the first.
const char* conv_last_path();

}  // namespace pygan
