// Normalisation as SPADE has it, in two parts, each with first and second derivatives:
//
//   statistics   mean and biased variance of every channel, over the batch or over each sample
//   apply        normal = (x - mean) / sqrt(variance + epsilon)
//                u = normal * (1 + gamma) + beta,    y = u > 0 ? u : slope * u
//                of x, or of x enlarged by nearest neighbours
//
// Applied with x's own statistics, the gradient of x goes through them as well.
//
// Source: Park et al., "Semantic Image Synthesis with Spatially-Adaptive Normalization" (2019).
#pragma once

#include <cstdint>

#include "common/cuda_context.h"
#include "common/storage.h"

namespace pygan {

// Of x, [samples, channels, height, width], and of its statistics.
struct NormShape {
  int64_t samples = 0, channels = 0, height = 0, width = 0;
  bool per_sample = false;  // statistics [samples, channels], of one sample each; else [channels]
  int upsample = 1;         // 2: y, gamma and beta are twice as high and wide as x

  int64_t plane() const { return height * width; }
  int64_t planes() const { return samples * channels; }
  int64_t size() const { return planes() * plane(); }
  int64_t out_plane() const { return upsample * upsample * plane(); }
  // Statistics, each of `values` elements of x in `unit_planes` planes.
  int64_t units() const { return per_sample ? planes() : channels; }
  int64_t unit_planes() const { return per_sample ? 1 : samples; }
  int64_t values() const { return unit_planes() * plane(); }
};

// gamma or beta, or a gradient of theirs: one element for each pixel of a plane, or one for all.
template <typename Pointer>
struct NormMap {
  Pointer data = nullptr;           // null: absent, or not wanted
  int64_t sample = 0, channel = 0;  // elements from one sample or channel to the next
  bool is_map = false;
};

struct NormStatisticsCall {
  // 0: statistics.  1: the gradient of x.  2: gradients of <ddx, dx>.
  int order = 0;
  Storage storage = Storage::float32;  // of x, dx; statistics are float64 if x is, else float32
  NormShape shape;

  const void* x = nullptr;
  const void* dstatistics = nullptr;  // orders 1 and 2; [2, units], mean before variance
  const void* ddx = nullptr;          // order 2
  void* statistics = nullptr;         // order 0; order 2: the gradient of dstatistics; [2, units]
  void* dx = nullptr;                 // orders 1 and 2; null: not wanted
};

struct SpadeNormCall {
  // 0: y.  1: gradients of <dy, y>.  2: gradients of <ddx, dx> + <ddmean, dmean> + ..., the
  // contraction of all first-order gradients with their dd.
  int order = 0;
  Storage storage = Storage::float32;  // of everything but statistics
  NormShape shape;
  double epsilon = 1e-5;
  double slope = 1;  // 1: no activation
  // mean and variance are x's own: the gradient of x is the whole one, and theirs are not wanted.
  bool own_statistics = false;

  const void* x = nullptr;
  const void* mean = nullptr;
  const void* variance = nullptr;
  NormMap<const void*> gamma, beta;  // absent: 0

  const void* dy = nullptr;  // orders 1 and 2
  // Order 2; null: 0. The two maps are laid out as gamma and beta are.
  const void* ddx = nullptr;
  const void* ddmean = nullptr;
  const void* ddvariance = nullptr;
  NormMap<const void*> ddgamma, ddbeta;

  void* out = nullptr;  // order 0: y; order 2: the gradient of dy
  // Orders 1 and 2; null: not wanted. Laid out as what they are gradients of.
  void* dx = nullptr;
  void* dmean = nullptr;
  void* dvariance = nullptr;
  NormMap<void*> dgamma, dbeta;
};

// Every array is contiguous, at any alignment. Results do not depend on the number of threads.
// There is at least one element. Throws std::bad_alloc when there is no memory for partial sums.
void norm_statistics(const NormStatisticsCall& call);
void spade_norm(const SpadeNormCall& call);

// The same on a GPU: every pointer is device memory. Throw std::runtime_error for CUDA's errors.
void norm_statistics_cuda(const NormStatisticsCall& call, const CudaContext& context);
void spade_norm_cuda(const SpadeNormCall& call, const CudaContext& context);

}  // namespace pygan
