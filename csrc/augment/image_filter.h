// image_filter: every sample filtered along both axes by taps of its own, its size kept.
//
//   y[i, j] = sum over a, b of taps[a] * taps[b] * x[i + a - k / 2, j + b - k / 2]
//
// x being continued beyond its borders by reflection. A sample whose only tap other than zero is a
// one in the middle is copied.
#pragma once

#include <cstdint>

#include "common/cuda_context.h"
#include "common/storage.h"

namespace pygan {

struct ImageFilterParams {
  int64_t samples = 0, channels = 0;
  int64_t height = 0, width = 0;  // at least 1
  int64_t taps = 1;               // k, odd

  int64_t size() const { return samples * channels * height * width; }
};

// y from x, both [samples, channels, height, width] and not overlapping, with taps[samples][k]. T
// is float, double, float16 or bfloat16 (the last two are computed in float). The result does not
// depend on the number of threads, nor a sample's on the other samples. Throws std::bad_alloc when
// there is no memory for the workspace.
template <typename T>
void image_filter(T* y, const T* x, const double* taps, const ImageFilterParams& params);

// The transposed operator, which takes the gradient of y to that of x.
template <typename T>
void image_filter_transposed(T* dx, const T* dy, const double* taps,
                             const ImageFilterParams& params);

// Both on a GPU.
struct ImageFilterCudaCall {
  ImageFilterParams params;
  Storage storage = Storage::float32;
  void* out = nullptr;
  const void* in = nullptr;
  const double* taps = nullptr;  // in device memory
  bool transpose = false;        // out = dx, in = dy
};

// Throws std::runtime_error for CUDA's errors. An empty call does nothing.
void image_filter_cuda(const ImageFilterCudaCall& call, const CudaContext& context);

}  // namespace pygan
