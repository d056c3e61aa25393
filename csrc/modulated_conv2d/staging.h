// Operands of the GPU's convolution engines, laid out for tensor cores (conv2d_cuda.h).
//
// Staged images: [n][hp][wp][groups][cp] elements of the product's type, cp channels per group, the
// channels beyond the group's own and everything outside the image zero:
//
//   data[n][i][j][g][c] = scale[n, g * cg + c] * x[n, g * cg + c, i - top, j - left]
//
// Staged weights: [taps][groups][rows][cp] of the same type, zero beyond the matrix's own rows and
// columns; row = output channel of the product, column = the channel that is summed over.
#pragma once

#include "common/cuda_context.h"
#include "common/storage.h"
#include "modulated_conv2d/conv2d_cuda.h"

namespace pygan {

constexpr int kStagedChannels = 32;  // cp is a multiple of this: 64 or 128 bytes
constexpr int kStagedRows = 64;      // staged weights have a multiple of this many rows

// Bytes of one staged element: 2 for the half products, else 4, or 8 for float64 storage.
inline int staged_bytes(Product product, Storage storage) {
  if (storage == Storage::float64) return 8;
  return product == Product::float16 || product == Product::bfloat16 ? 2 : 4;
}

struct StagedImages {
  void* data = nullptr;
  int64_t n = 0, hp = 0, wp = 0;     // padded size
  int64_t groups = 1, channels = 0;  // channels per group, of which the images have this many
  int64_t cp = 0;                    // channels per group in memory
  int64_t top = 0, left = 0;  // where pixel (0, 0) of the image lies; may be negative (a crop)

  int64_t pixel_stride() const { return groups * cp; }
  int64_t size() const { return n * hp * wp * pixel_stride(); }
};

struct StagedWeights {
  void* data = nullptr;
  int64_t taps = 0, groups = 1;
  int64_t rows = 0, columns = 0;  // of each group's matrix
  int64_t rp = 0, cp = 0;         // in memory

  int64_t size() const { return taps * groups * rp * cp; }
};

// Both operands of a product in one piece of memory.
struct StagedOperands {
  StagedImages images;
  StagedWeights weights;

  // `element`: staged_bytes.
  int64_t weights_at(int element) const { return (images.size() * element + 255) / 256 * 256; }
  int64_t bytes(int element) const { return weights_at(element) + weights.size() * element; }
  void place(void* memory, int element) {
    images.data = memory;
    weights.data = static_cast<char*>(memory) + weights_at(element);
  }
};

// One launch that stages images, weights, or both. `images` and `weights` come filled in except for
// `data`, which is allocated from the context; either may be null.
struct StagingCall {
  Storage storage = Storage::float32;  // of x, x_scale and w
  Product product = Product::exact;
  StagedImages* images = nullptr;
  const void* x = nullptr;        // [n, groups * channels, h, w]
  const void* x_scale = nullptr;  // [n, groups * channels] or null
  int64_t h = 0, w = 0;
  StagedWeights* weights = nullptr;
  const void* w_data = nullptr;
  // w_data lies as [groups][rows][columns][taps], or, `exchanged`, [groups][columns][rows][taps];
  // taps in reverse order if `mirrored`.
  WeightLayout layout;
};

void stage(const StagingCall& call, const CudaContext& context);

}  // namespace pygan
