// Scale, noise, bias, activation, gain and clamp in one pass over memory, with first and second
// derivatives that take one pass each:
//
//   u = scale[n, c] * x + strength * noise + b[c]
//   y = clamp(gain * act(u))
//
// Only the inputs are needed again: the backward passes recompute u.
#pragma once

#include <cstdint>

#include "common/activation.h"
#include "common/cuda_context.h"
#include "common/storage.h"

namespace pygan {

// The five tensors of the operator; null where absent or not wanted.
template <typename Pointer>
struct BiasActTensors {
  Pointer x = nullptr;         // [outer, channels, inner]
  Pointer b = nullptr;         // [channels]
  Pointer scale = nullptr;     // [outer, channels]
  Pointer noise = nullptr;     // [noise_batch, inner]
  Pointer strength = nullptr;  // [1]; absent: 1
};

struct BiasActCall {
  // 0: y.  1: gradients of <dy, y>.  2: gradients of <dd.x, dx> + <dd.b, db> + ..., the contraction
  // of all first-order gradients with dd.
  int order = 0;

  Storage storage = Storage::float32;
  int64_t outer = 1;
  int64_t channels = 1;
  int64_t inner = 1;
  int64_t noise_batch = 1;  // outer, or 1: the same noise for every sample

  Activation act = Activation::linear;
  double alpha = 0;
  double gain = 1;
  double clamp = -1;  // negative: no limit

  BiasActTensors<const void*> in;
  const void* dy = nullptr;        // orders 1 and 2
  BiasActTensors<const void*> dd;  // order 2

  void* out = nullptr;         // order 0: y; order 2: the gradient of dy
  BiasActTensors<void*> grad;  // orders 1 and 2; the gradients not wanted are null

  int64_t size() const { return outer * channels * inner; }
};

// Every array is contiguous, at any alignment. Results do not depend on the number of threads.
// Throws std::bad_alloc when there is no memory for the partial sums.
void bias_act(const BiasActCall& call);

// The same on a GPU: every pointer is device memory.
// Throws std::runtime_error for CUDA's errors.
void bias_act_cuda(const BiasActCall& call, const CudaContext& context);

}  // namespace pygan
