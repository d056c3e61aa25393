// The filter in device code: float or double, stored as the caller has it, read as the correlation
// that the kernels compute.
#pragma once

#include "common/cuda_launch.cuh"

namespace pygan {
namespace device {

struct Taps {
  const void* data;  // separable: [width]; otherwise [height, width]
  bool doubles, separable, flip;
  int height, width;

  // g[a, b], or g[b] of a separable filter, which has g for both axes.
  template <typename C>
  __device__ __forceinline__ C at(int a, int b) const {
    const int y = flip ? a : height - 1 - a;
    const int x = flip ? b : width - 1 - b;
    const int i = separable ? x : y * width + x;
    return doubles ? static_cast<C>(static_cast<const double*>(data)[i])
                   : static_cast<C>(static_cast<const float*>(data)[i]);
  }
};

}  // namespace device
}  // namespace pygan
