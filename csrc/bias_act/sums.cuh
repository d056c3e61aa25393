// The second stage of bias_act's reductions: one small kernel that adds the partial sums of a
// sweep, in a fixed order, and stores the parameters' gradients.
#pragma once

#include "common/cuda_launch.cuh"

namespace pygan {
namespace device {

// to[i] = the sum of from[i * count], ..., from[(i + 1) * count - 1].
template <typename T>
struct LineSums {
  const Compute<T>* from;
  T* to;  // null: nothing to do
  int64_t outputs, count;
};

// to[i, j] = the sum over k of from[i, k, j]; from: [outputs, count, length].
template <typename T>
struct ColumnSums {
  const Compute<T>* from;
  T* to;
  int64_t outputs, count, length;
};

constexpr int kLineSums = 3;

template <typename T>
void launch_sums(const LineSums<T> (&lines)[kLineSums], const ColumnSums<T>& columns,
                 cudaStream_t stream);

}  // namespace device
}  // namespace pygan
