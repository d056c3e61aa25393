// Weights and styles of a modulated convolution in half precision, on the GPU, scaled so that
// nothing overflows, and the demodulation that undoes the scaling:
//
//   cw[o] = 1 / (max |w[o]| sqrt(inputs taps)),   cs[n] = 1 / max |s[n]|,   maxima at least 1e-8
//   w'[o, i, k] = cw[o] w[o, i, k],    s'[n, i] = cs[n] s[n, i]
//   e[o, i] = sum over k of w'[o, i, k]^2
//   d[n, o] = (sum over i of s'[n, i]^2 e[o, i] + 1e-8)^(-1/2)
//
// d and e are of w' and s' before these are rounded.
#pragma once

#include <cstdint>

#include "common/cuda_context.h"
#include "common/storage.h"
#include "modulated_conv2d/demodulation.h"

namespace pygan {

struct ModulationShape {
  int64_t samples, outputs, inputs, taps;
};
// A tensor in float32 or in the half type of the call.
struct ModulationSource {
  const void* data;
  Storage storage;
};
struct ModulationResults {
  void *w, *s, *d;           // like the weights, like the styles, [samples, outputs]
  Storage storage;           // of these: float32 or the half type of the call
  float* e;                  // [outputs, inputs]
  float *w_scale, *s_scale;  // cw [outputs], cs [samples]
};

// All of them, in one launch. `half` is float16 or bfloat16. What `stage` asks for is of w', s' and
// its x in the half type, and so are the results then.
void modulation_cuda(const ModulationResults& results, const ModulationSource& w,
                     const ModulationSource& s, const ModulationShape& shape, Storage half,
                     const StagedLayer& stage, const CudaContext& context);

// The gradient of x, which modulation has scaled: of weights, lines being outputs, or of styles,
// lines being samples and taps 1:
//
//   out[l, i, k] = scale[l] (grad[l, i, k] + 2 x'[l, i, k] r[l, i])
//
// `out` is float32 or half, `grad`, the gradient of x', is half, or null: zeros.
struct ModulationGradient {
  void* out;
  Storage storage;  // of out
  const void* grad;
  const float *x, *r, *scale;
  int64_t lines, inputs, taps;
};
void modulation_gradient_cuda(const ModulationGradient& gradient, Storage half,
                              const CudaContext& context);

}  // namespace pygan
