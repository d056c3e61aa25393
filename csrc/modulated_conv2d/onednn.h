// Convolutions by the oneDNN library that Paddle's wheel carries and has loaded. Arguments as in
// conv2d.h; float only.
//
// Nothing is linked and no header is needed: the functions of oneDNN's stable C interface are
// looked up in the running process. Where that library is missing or of another major version, or
// declines a shape, the functions return false and have not written their output.
#pragma once

#include "modulated_conv2d/conv_shape.h"
#include "modulated_conv2d/epilogue.h"

namespace pygan {

// True if a usable oneDNN is in the process; cheap after the first call that finds it.
bool onednn_available();

// Its version as "3.6.2", or why there is none.
const char* onednn_status();

bool onednn_forward(float* y, const float* x, const float* w, const float* x_scale,
                    const Epilogue<float>& epilogue, const ConvShape& shape);

bool onednn_input_grad(float* dx, const float* dy, const float* w, const float* dy_scale,
                       const Epilogue<float>& epilogue, const ConvShape& shape);

bool onednn_weight_grad(float* dw, const float* x, const float* dy, const float* x_scale,
                        const float* dy_scale, const ConvShape& shape);

}  // namespace pygan
