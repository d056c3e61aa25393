// What the launchers of the Winograd convolution and of its weight gradient share.
#pragma once

#include <cstddef>
#include <cstdint>

#include "common/parallel.h"
#include "common/scratch.h"
#include "modulated_conv2d/winograd.h"
#include "modulated_conv2d/winograd_kernels.h"

namespace pygan {

// winograd_forward and winograd_weight_grad with the kernels of a given instruction set.
void winograd_forward_with(const WinogradKernels& kernels, float* y, const float* x, const float* w,
                           const WeightLayout& layout, const float* in_scale,
                           const Epilogue<float>& epilogue, const WinogradShape& shape);
void winograd_weight_grad_with(const WinogradKernels& kernels, float* dw, const float* x,
                               const float* dy, const float* x_scale, const float* dy_scale,
                               const WinogradShape& shape, const WeightLayout& layout);

// The products M = U V of a form, and D = Y V^T of its weight gradient.
const WinogradProducts& winograd_products(WinogradForm form);
const WinogradProducts& winograd_weight_products(WinogradForm form);
// Planes of V.
int winograd_input_planes(WinogradForm form);

// The weights of a shape.
WinogradWeights winograd_weights(const float* w, const WeightLayout& layout,
                                 const WinogradShape& shape);

WinogradTiles winograd_tiles(const WinogradShape& shape);

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

// Planes are set apart so that the same element of all planes, which the transforms write together,
// does not fall into one set of the cache.
inline int64_t plane_stride(int64_t floats) { return round_up(floats, 1024) + 16; }
inline WinogradMatrix winograd_matrix(Scratch& scratch, int planes, int64_t stride) {
  return {scratch.get<float>(static_cast<size_t>(planes * stride)), stride};
}

// Threads that share one piece of work, step by step.
struct Team {
  int id = 0;
  int size = 1;

  struct Range {
    int64_t begin, end;
  };
  // This thread's part of [0, items).
  Range part(int64_t items) const { return {items * id / size, items * (id + 1) / size}; }
  // This thread's part of the items of all planes, `per_plane` each, by the products they take.
  Range part(const WinogradProducts& products, int64_t per_plane) const {
    return {first_item(products, per_plane, id), first_item(products, per_plane, id + 1)};
  }
  // Waits for the others. All of them are the threads of one parallel region.
  void wait() const {
#if defined(_OPENMP)
    if (size > 1) {
#pragma omp barrier
    }
#endif
  }

 private:
  // Of the items before which less than `share` of `size` parts of all products lie, the end.
  int64_t first_item(const WinogradProducts& products, int64_t per_plane, int share) const {
    const int64_t products_before = products.first[products.planes] * per_plane * share / size;
    for (int k = 0; k < products.planes; ++k) {
      const int64_t each = products.first[k + 1] - products.first[k];
      const int64_t left = products_before - products.first[k] * per_plane;
      if (left < each * per_plane) return k * per_plane + divide_up(left, each);
    }
    return products.planes * per_plane;
  }
};

inline int team_size(int64_t work) {
#if defined(_OPENMP)
  if (work < kSerialBelow || omp_in_parallel()) return 1;
#endif
  return max_threads();
}

inline Team this_team() {
#if defined(_OPENMP)
  return {omp_get_thread_num(), omp_get_num_threads()};
#else
  return {};
#endif
}

}  // namespace pygan
