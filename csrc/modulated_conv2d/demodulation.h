// Demodulation coefficients of a modulated convolution (Karras et al. 2020, equation 3), and the
// energy of weights, on the GPU:
//
//   e[o, i] = sum over k of w[o, i, k]^2
//   d[n, o] = (sum over i of s[n, i]^2 e[o, i] + 1e-8)^(-1/2)
#pragma once

#include <cstdint>

#include "common/cuda_context.h"
#include "common/storage.h"

namespace pygan {

struct LayerCuda;

// What a layer's convolution multiplies, staged by the launch that makes its demodulation, so that
// the layer is two launches: `staged`, of layer_staged_bytes_cuda (more than 0), from x. For
// LayerCuda::staged.
struct StagedLayer {
  const LayerCuda* layer = nullptr;  // null: nothing is staged
  const void* x = nullptr;
  void* staged = nullptr;
};

// Both, in one launch: d [samples, outputs] and e [outputs, inputs] from w [outputs, inputs, taps]
// and s [samples, inputs]. float32 or float64, as all of this file.
void demodulation_cuda(void* d, void* e, const void* w, const void* s, int64_t samples,
                       int64_t outputs, int64_t inputs, int64_t taps, Storage storage,
                       const StagedLayer& stage, const CudaContext& context);

// The loops of weight_energy.h: e[r] = factor * sum_k a[r, k] b[r, k], and
// out[r, k] = factor * w[r, k] * e[r].
void tap_dot_cuda(void* e, const void* a, const void* b, double factor, int64_t rows, int64_t taps,
                  Storage storage, const CudaContext& context);
void tap_scale_cuda(void* out, const void* w, const void* e, double factor, int64_t rows,
                    int64_t taps, Storage storage, const CudaContext& context);

}  // namespace pygan
