// instances: operators on a map of instances, whose ids are any integers.
//
//   edges  y[n, i, j] = 1 where an id differs from one above, below, left or right of it, else 0
//   mean   y[n, c, p] = the mean of x[n, c, q] over the pixels q of the sample whose id is p's
//
// The mean is a projection, and its own transpose: it is its own derivative of either order.
#pragma once

#include <cstdint>

#include "common/cuda_context.h"
#include "common/storage.h"

namespace pygan {

struct InstanceMap {
  int64_t samples = 0, channels = 1, height = 0, width = 0;
  bool wide_ids = false;  // int64 ones instead of int32

  int64_t plane() const { return height * width; }
  int64_t size() const { return samples * channels * plane(); }
};

// edges[samples, height, width] from ids of the same shape.
void instance_edges(float* edges, const void* ids, const InstanceMap& map);

// y from x, both [samples, channels, height, width]; ids [samples, height, width]. T is float,
// double, float16 or bfloat16; sums are in double.
template <typename T>
void instance_mean(T* y, const T* x, const void* ids, const InstanceMap& map);

// The same on a GPU.
struct InstanceCudaCall {
  InstanceMap map;
  Storage storage = Storage::float32;  // of the mean
  void* out = nullptr;
  const void* in = nullptr;  // null: edges
  const void* ids = nullptr;
};

// Throw std::runtime_error for CUDA's errors. Empty calls do nothing.
void instance_edges_cuda(const InstanceCudaCall& call, const CudaContext& context);
void instance_mean_cuda(const InstanceCudaCall& call, const CudaContext& context);

}  // namespace pygan
