// The linear map C of modulated_conv2d.h and its two gradients, in each of its four modes.
#pragma once

#include "modulated_conv2d/modulated_conv2d.h"

namespace pygan {

// y = epilogue(C(x * s, w)); s [n, ci] or null.
template <typename T>
void linear_forward(T* y, const T* x, const T* w, const T* s, const Epilogue<T>& epilogue,
                    const LinearConv& conv);

// Of <C(x * s, w), dy>: dx = C^T(dy, w), without the factor s, and dw. Either may be null; what
// both need is computed once.
template <typename T>
void linear_grads(T* dx, T* dw, const T* x, const T* w, const T* s, const T* dy,
                  const LinearConv& conv);

// The path that the last of these took on this thread: "winograd", "onednn", "direct", ...
const char* linear_last_path();

}  // namespace pygan
