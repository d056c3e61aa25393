// What upfirdn2d's kernels that walk down strips have in common (strip.cuh, aligned_strip.cuh):
// their arguments, the filter in the order in which they use it, and how they are launched.
#pragma once

#include <cstring>

#include "common/cuda_launch.cuh"
#include "common/device_epilogue.cuh"
#include "upfirdn2d/taps.cuh"
#include "upfirdn2d/upfirdn2d.h"

namespace pygan {
namespace device {

// One axis: which taps an upsampled output meets depends on its parity and on that of the padding.
struct StripAxis {
  int in, out;
  int units;   // of the output
  int start;   // the first input of unit 0; unit u starts at u * down + start
  bool delay;  // a unit's second output starts an input later than its first
  bool swap;   // a unit's first output has the odd taps
};

template <typename T>
struct StripArgs {
  T* y;
  const T* x;
  Taps taps;
  double gain;
  StripAxis rows, columns;
  int64_t planes, channels;
  EpilogueMath<T> epilogue;

  int strip_units = 0;   // rows of units of a strip
  int column_tiles = 0;  // strips side by side
  int misaligned = 0;    // elements by which x misses the start of a sector
  bool pairs = false;    // y's units can be stored at once (kUp == 2)
  // Shared memory: [2 batches][blockDim.y planes][rows of a batch][pitch].
  int batch_rows_log2 = 0;
  int pitch = 0, plane_pitch = 0;
  // The threads that fetch a row together, and the vectors of a row.
  int group = 0, row_vectors = 0;
};

__device__ __forceinline__ void store_pair(float* p, float a, float b) {
  *reinterpret_cast<float2*>(p) = make_float2(a, b);
}
__device__ __forceinline__ void store_pair(double* p, double a, double b) {
  *reinterpret_cast<double2*>(p) = make_double2(a, b);
}
__device__ __forceinline__ void store_pair(__half* p, float a, float b) {
  *reinterpret_cast<__half2*>(p) = __floats2half2_rn(a, b);
}
__device__ __forceinline__ void store_pair(__nv_bfloat16* p, float a, float b) {
  const __nv_bfloat16 both[2] = {__float2bfloat16_rn(a), __float2bfloat16_rn(b)};
  uint32_t bits;
  memcpy(&bits, both, sizeof(bits));
  *reinterpret_cast<uint32_t*>(p) = bits;
}

// The taps, gain included, in the order in which units use them: that of index n * kUp + phase is
// the phase's n-th. Separable: those of the rows, then those of the columns.
template <int kTaps, bool kSeparable>
constexpr int kStripTaps = kSeparable ? 2 * kTaps : kTaps * kTaps;

// The i-th of them, from the filter as it is stored.
template <int kTaps, int kUp, bool kSeparable, typename T>
__device__ __forceinline__ Compute<T> strip_tap(const StripArgs<T>& a, int i) {
  using C = Compute<T>;
  const int swap_y = kUp == 2 && a.rows.swap ? 1 : 0;
  const int swap_x = kUp == 2 && a.columns.swap ? 1 : 0;
  const C gain = static_cast<C>(a.gain);
  if (kSeparable) {
    return i < kTaps ? gain * a.taps.template at<C>(0, i ^ swap_y)
                     : a.taps.template at<C>(0, (i - kTaps) ^ swap_x);
  }
  const int y = i / kTaps ^ swap_y, x = i % kTaps ^ swap_x;
  const C tap = a.taps.separable ? a.taps.template at<C>(0, y) * a.taps.template at<C>(0, x)
                                 : a.taps.template at<C>(y, x);
  return gain * tap;
}

struct StripLaunch {
  dim3 grid, block;
  int shared_bytes;
  cudaStream_t stream;
};

// Whether there is a strip kernel for these factors and this filter.
bool strip_supports(const Upfirdn2dCudaCall& call);

// strip_float.cu and so on. up, down: 1 or 2, not both 2.
template <typename T>
void launch_strip(const StripLaunch& launch, const StripArgs<T>& args, int up, int down, int taps,
                  bool epilogue);

// Threads of a block of an aligned strip: few, so that there are many blocks. Inputs of each, of a
// row: they or its outputs are 16 bytes.
constexpr int kAlignedThreads = 64;
template <typename T>
__host__ __device__ constexpr int aligned_inputs(int up) {
  return 16 / static_cast<int>(sizeof(T)) / up;
}

// aligned_strip_float.cu and so on; not for double. args.columns.start: -1, or -2 without factors.
template <typename T>
void launch_aligned_strip(const StripLaunch& launch, const StripArgs<T>& args, int up, int down);

}  // namespace device
}  // namespace pygan
