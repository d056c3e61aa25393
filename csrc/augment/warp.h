// warp: an affine map of images through twice their resolution, behind anti-aliasing filters.
//
// With the matrix M of a sample, which takes pixels of the result to pixels of x, both counted from
// the images' centres, and x continued beyond its borders by reflection (..., x2, x1, x0, x1, ...):
//
//   u[o]  = 2 * sum over i of f[o + 5 - 2 * i] * x[i]     per axis: upsampled, pixel i at o = 2 * i
//   z[q]  = u at 2 * M(q / 2), bilinear                   warped, at twice the resolution
//   y[i]  = sum over t of f[t] * z[2 * i + t - 5]         per axis: downsampled, by flipped taps
//
// with f = kWarpTaps. A sample whose matrix takes pixels to pixels (flips, turns by 90 degrees,
// whole shifts: see is_exact) is a gather instead, and exact to the bit. Of whole shifts that is
// the limit as well: the taps sum to 1, and 2 * sum over t of f[t] * f[t + 2 * k] is 1 for k = 0
// and else 0, both to 5e-13. At flips and turns the operator jumps as a function of the matrix, for
// f is not symmetric: what is smooth in the matrix, or compared across, must keep to one side.
//
// A sample whose map is not bounded (see is_bounded: not finite, or leading absurdly far away) is
// NaN, in both directions.
//
// Source: Karras et al., "Training Generative Adversarial Networks with Limited Data" (2020),
// appendix B; the filter is the symlet of 12 taps of Daubechies, "Ten Lectures on Wavelets" (1992),
// table 8.3, scaled to sum 1.
#pragma once

#include <cstdint>

#include "common/cuda_context.h"
#include "common/storage.h"

namespace pygan {

constexpr int kWarpTapCount = 12;
// The tap at which the filter is centred, nearly: 5.1 is its centre of mass.
constexpr int kWarpCentre = 5;
constexpr double kWarpTaps[kWarpTapCount] = {
    0.01089235016328,  0.00246830618592, -0.08343160770584, -0.03416156079324,
    0.34722898647835,  0.55694639196396, 0.23895218566605,  -0.05136248493090001,
    -0.01489187564922, 0.03162528132994, 0.00124996104639,  -0.00551593375469};

struct WarpParams {
  int64_t samples = 0, channels = 0;
  int64_t height = 0, width = 0;  // of x and y alike; at least 1

  int64_t size() const { return samples * channels * height * width; }
};

// Numbers of a matrix: the first two rows, [xx, xy, x0, yx, yy, y0] with
// x_source = xx * x + xy * y + x0 and y_source = yx * x + yy * y + y0.
constexpr int kMatrixSize = 6;

// y from x, both [samples, channels, height, width] and not overlapping, with matrices[samples][6].
// T is float, double, float16 or bfloat16 (the last two are computed in float). The result does not
// depend on the number of threads, nor a sample's on the other samples. Throws std::bad_alloc when
// there is no memory for the workspace.
template <typename T>
void warp(T* y, const T* x, const double* matrices, const WarpParams& params);

// The transposed operator, which takes the gradient of y to that of x.
template <typename T>
void warp_transposed(T* dx, const T* dy, const double* matrices, const WarpParams& params);

// Both on a GPU.
struct WarpCudaCall {
  WarpParams params;
  Storage storage = Storage::float32;
  void* out = nullptr;
  const void* in = nullptr;
  const double* matrices = nullptr;  // in device memory
  bool transpose = false;            // out = dx, in = dy
};

// Throws std::runtime_error for CUDA's errors. An empty call does nothing.
void warp_cuda(const WarpCudaCall& call, const CudaContext& context);

}  // namespace pygan
