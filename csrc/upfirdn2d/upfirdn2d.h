// upfirdn2d: zero insertion, padding, FIR filtering and striding of image planes in one pass.
//
//   y[p, i, j] = gain * sum over a, b of
//       f[a, b] * u[p, i * down_y + a - pad_y0, j * down_x + b - pad_x0]
//   u[p, i * up_y, j * up_x] = x[p, i, j], and zero elsewhere
//
// f being the filter read backwards (a convolution) unless `flip`. Only the leading padding is
// stored, and it may be negative (a crop); the trailing padding follows from the output size, which
// may be any.
#pragma once

#include <cstdint>
#include <utility>

#include "common/cuda_context.h"
#include "common/device_epilogue.h"
#include "common/storage.h"

namespace pygan {

struct Upfirdn2dParams {
  int64_t planes = 0;  // images times channels; planes are contiguous, one after the other
  int64_t in_h = 0, in_w = 0;
  int64_t out_h = 0, out_w = 0;
  int up_y = 1, up_x = 1;
  int down_y = 1, down_x = 1;
  int64_t pad_y0 = 0, pad_x0 = 0;
  // Borrowed. Separable: taps[taps_w], for both axes, and taps_h == taps_w. Otherwise
  // taps[taps_h][taps_w]; a 2-D filter that is an outer product is found out and run separably.
  const double* taps = nullptr;
  int taps_h = 1, taps_w = 1;
  bool separable = false;
  bool flip = false;
  double gain = 1.0;

  int64_t in_size() const { return planes * in_h * in_w; }
  int64_t out_size() const { return planes * out_h * out_w; }
};

// The size of the output with padding pad0 + pad1; less than 1 where the filter does not fit.
int64_t upfirdn2d_out_size(int64_t in, int up, int down, int64_t pad0, int64_t pad1, int taps);

// The transposed operator, which takes the gradient of y to that of x: again an upfirdn2d. Its own
// transpose is the operator one started from.
inline Upfirdn2dParams transposed(const Upfirdn2dParams& params) {
  Upfirdn2dParams t = params;
  std::swap(t.in_h, t.out_h);
  std::swap(t.in_w, t.out_w);
  std::swap(t.up_y, t.down_y);
  std::swap(t.up_x, t.down_x);
  t.pad_y0 = params.taps_h - params.pad_y0 - 1;
  t.pad_x0 = params.taps_w - params.pad_x0 - 1;
  t.flip = !params.flip;
  return t;
}

// y[planes, out_h, out_w] from x[planes, in_h, in_w], which must not overlap. T is float, double,
// float16 or bfloat16 (the last two are filtered in float). The result does not depend on the
// number of threads. Throws std::bad_alloc when there is no memory for the workspace, of a few rows
// per thread.
template <typename T>
void upfirdn2d(T* y, const T* x, const Upfirdn2dParams& params);

// The same on a GPU, with an epilogue in the same pass where one is given.
struct Upfirdn2dCudaCall {
  Upfirdn2dParams params;  // params.taps is not read: the host must not wait for the taps
  Storage storage = Storage::float32;
  void* y = nullptr;
  const void* x = nullptr;
  // In device memory, as params.taps says; float, or double where `double_taps`.
  const void* taps = nullptr;
  bool double_taps = false;
  // Sees y as [planes / channels, channels, out_h, out_w]; null: none.
  const DeviceEpilogue* epilogue = nullptr;
  int64_t channels = 1;
};

// Throws std::runtime_error for CUDA's errors. An empty call does nothing.
void upfirdn2d_cuda(const Upfirdn2dCudaCall& call, const CudaContext& context);

}  // namespace pygan
