// The weight gradient as a GEMM over pixels (corr_gemm.h).
//
// Pixels are summed in blocks: some rows of one sample, or several whole samples where they are
// small. Per block, dy is transposed into panels of output channels (the vectors), and the rows of
// x it meets are copied with their padding, so that the other operand, element (c, a, b) of the
// kernel at pixel (i, j), is a scalar at a sum of two offsets: no im2col matrix at all. Register
// tiles hold 8 kernel elements by 3 vectors of output channels; the last block of pixels transposes
// them into dw.
#include "common/parallel.h"
#include "common/scratch.h"
#include "common/simd_shuffle.h"
#include "modulated_conv2d/corr_gemm.h"
#include "modulated_conv2d/gemm_microkernel.h"

namespace pygan {
namespace PYGAN_ISA {
namespace {

constexpr int64_t kPixelBytes = 2048;  // bytes of one output channel in a block of pixels
constexpr int64_t kSerialMacs = int64_t{1} << 17;

// The cut of the pixels into blocks; it depends on the shape alone, as it fixes the order of sums.
struct PixelBlocks {
  int64_t samples, rows, columns;                    // of a whole block
  int64_t sample_blocks, row_blocks, column_blocks;  // in the tensor
  int64_t tile_rows, tile_columns;                   // of x's padded copy
  int64_t pixels() const { return samples * rows * columns; }
  int64_t count() const { return sample_blocks * row_blocks * column_blocks; }
};

template <typename T>
PixelBlocks cut(const WeightGemm<T>& p) {
  const int64_t pixels = kPixelBytes / int64_t{sizeof(T)};
  PixelBlocks b;
  b.columns = p.ow <= pixels ? p.ow : ceil_div(p.ow, ceil_div(p.ow, pixels));
  b.rows = max_of(1, min_of(p.oh, pixels / b.columns));
  b.rows = ceil_div(p.oh, ceil_div(p.oh, b.rows));
  const bool whole = b.rows == p.oh && b.columns == p.ow;
  b.samples = whole ? max_of(1, min_of(p.n, pixels / (b.rows * b.columns))) : 1;
  b.samples = ceil_div(p.n, ceil_div(p.n, b.samples));
  b.sample_blocks = ceil_div(p.n, b.samples);
  b.row_blocks = ceil_div(p.oh, b.rows);
  b.column_blocks = ceil_div(p.ow, b.columns);
  b.tile_rows = (b.rows - 1) * p.stride_y + (p.kh - 1) * p.dilation_y + 1;
  b.tile_columns = (b.columns - 1) * p.stride_x + (p.kw - 1) * p.dilation_x + 1;
  return b;
}

// One block: samples [n0, n1), output rows [y0, y1), output columns [x0, x1).
struct Block {
  int64_t n0, n1, y0, y1, x0, x1;
  int64_t pixels() const { return (n1 - n0) * (y1 - y0) * (x1 - x0); }
};

template <typename T>
Block block_at(const WeightGemm<T>& p, const PixelBlocks& b, int64_t index) {
  Block k;
  k.x0 = index % b.column_blocks * b.columns;
  index /= b.column_blocks;
  k.y0 = index % b.row_blocks * b.rows;
  k.n0 = index / b.row_blocks * b.samples;
  k.x1 = min_of(p.ow, k.x0 + b.columns);
  k.y1 = min_of(p.oh, k.y0 + b.rows);
  k.n1 = min_of(p.n, k.n0 + b.samples);
  return k;
}

// dst[i][o] = src[o][i] * scale[o] for one run of pixels and `channels` channels of planes of
// `area` elements; dst has rows of `width` elements, of which the rest are zero.
template <typename T>
void transpose_run(T* dst, int64_t width, const T* src, int64_t area, int64_t length,
                   int64_t channels, const T* scale) {
  for (int64_t o = 0; o < width; ++o) {
    const T s = o < channels ? (scale ? scale[o] : T(1)) : T(0);
    const T* row = src + (o < channels ? o : 0) * area;
    for (int64_t i = 0; i < length; ++i) dst[i * width + o] = row[i] * s;
  }
}

void transpose_run(float* dst, int64_t width, const float* src, int64_t area, int64_t length,
                   int64_t channels, const float* scale) {
  int64_t i = 0;
  for (; i + kLanes <= length; i += kLanes) {
    for (int64_t o = 0; o < width; o += kLanes) {
      VecF block[kLanes];
      for (int r = 0; r < kLanes; ++r) {
        const bool inside = o + r < channels;
        block[r] = inside ? load(src + (o + r) * area + i) : VecF{};
        if (inside && scale) block[r] *= splat(scale[o + r]);
      }
      transpose_lanes(block);
      for (int r = 0; r < kLanes; ++r) store(dst + (i + r) * width + o, block[r]);
    }
  }
  if (i < length) {
    transpose_run<float>(dst + i * width, width, src + i, area, length - i, channels, scale);
  }
}

// dst[pixel][o] = dy[n, o0 + o, pixel] * scale for the pixels of the block.
template <typename T>
void transpose_dy(const WeightGemm<T>& p, const Block& k, T* dst, int64_t width, int64_t o0,
                  int64_t channels) {
  const int64_t area = p.oh * p.ow;
  const bool whole_rows = k.x1 - k.x0 == p.ow;
  const int64_t length = whole_rows ? (k.y1 - k.y0) * p.ow : k.x1 - k.x0;
  const int64_t runs = whole_rows ? 1 : k.y1 - k.y0;
  for (int64_t n = k.n0; n < k.n1; ++n) {
    const T* src = p.dy + n * p.dy_sample_stride + o0 * area + k.y0 * p.ow + k.x0;
    const T* scale = p.dy_scale ? p.dy_scale + n * p.dy_scale_stride + o0 : nullptr;
    for (int64_t y = 0; y < runs; ++y, src += p.ow, dst += length * width) {
      transpose_run(dst, width, src, area, length, channels, scale);
    }
  }
}

// The rows and columns of plane (n, c) that the block reads, zero outside the image.
template <typename T>
void copy_padded(const WeightGemm<T>& p, const PixelBlocks& b, const Block& k, T* dst, int64_t n,
                 int64_t c) {
  const T* plane = p.x + n * p.x_sample_stride + c * p.h * p.w;
  const T s = p.x_scale ? p.x_scale[n * p.x_scale_stride + c] : T(1);
  const int64_t y0 = k.y0 * p.stride_y - p.pad_top, x0 = k.x0 * p.stride_x - p.pad_left;
  for (int64_t y = y0; y < y0 + b.tile_rows; ++y, dst += b.tile_columns) {
    int64_t low = b.tile_columns, high = b.tile_columns;
    if (y >= 0 && y < p.h) {
      low = min_of(b.tile_columns, max_of(0, -x0));
      high = max_of(low, min_of(b.tile_columns, p.w - x0));
    }
    for (int64_t i = 0; i < low; ++i) dst[i] = T(0);
    for (int64_t i = low; i < high; ++i) dst[i] = plane[y * p.w + x0 + i] * s;
    for (int64_t i = high; i < b.tile_columns; ++i) dst[i] = T(0);
  }
}

// Offsets of the block's pixels in x's padded copy.
template <typename T>
void pixel_offsets(const WeightGemm<T>& p, const PixelBlocks& b, const Block& k, int64_t* offset) {
  const int64_t plane = b.tile_rows * b.tile_columns;
  for (int64_t n = 0; n < k.n1 - k.n0; ++n) {
    for (int64_t y = 0; y < k.y1 - k.y0; ++y) {
      for (int64_t x = 0; x < k.x1 - k.x0; ++x) {
        *offset++ = n * p.ci * plane + y * p.stride_y * b.tile_columns + x * p.stride_x;
      }
    }
  }
}

// dw[o][element0 + r] = tile[r][o].
template <typename T>
void store_transposed(T* dw, int64_t elements, const T* tile_values, int64_t width, int64_t rows,
                      int64_t channels) {
  for (int64_t o = 0; o < channels; ++o) {
    for (int64_t r = 0; r < rows; ++r) dw[o * elements + r] = tile_values[r * width + o];
  }
}

void store_transposed(float* dw, int64_t elements, const float* tile_values, int64_t width,
                      int64_t rows, int64_t channels) {
  if (rows < kTileRows) {
    return store_transposed<float>(dw, elements, tile_values, width, rows, channels);
  }
  for (int64_t o = 0; o < channels; o += kLanes) {
    VecF block[kLanes];
    for (int r = 0; r < kLanes; ++r) {
      block[r] = r < kTileRows ? load(tile_values + r * width + o) : VecF{};
    }
    transpose_lanes(block);
    const int64_t inside = min_of(kLanes, channels - o);
    for (int64_t r = 0; r < inside; ++r) {
      __builtin_memcpy(dw + (o + r) * elements, &block[r], kTileRows * sizeof(float));
    }
  }
}

PYGAN_INLINE int64_t part(int64_t count, int64_t parts, int64_t i) { return count * i / parts; }

template <typename T>
void run(const WeightGemm<T>& p) {
  constexpr int L = lanes<T>();
  const int64_t taps = int64_t{p.kh} * p.kw;
  const int64_t elements = p.ci * taps;
  if (elements == 0 || p.co == 0) return;
  if (p.n * p.oh * p.ow == 0) {
    __builtin_memset(p.dw, 0, p.co * elements * sizeof(T));
    return;
  }
  const PixelBlocks b = cut(p);
  const int64_t blocks = b.count();
  const int64_t vectors = ceil_div(p.co, L);
  const int64_t panels = ceil_div(vectors, kTileVectors);
  const int64_t row_panels = ceil_div(elements, kTileRows);
  const int64_t plane = b.tile_rows * b.tile_columns;
  const int threads = p.n * p.oh * p.ow * p.co * elements < kSerialMacs ? 1 : max_threads();

  Scratch scratch;
  T* packed = static_cast<T*>(scratch.bytes(b.pixels() * vectors * L * sizeof(T)));
  T* copy = static_cast<T*>(scratch.bytes(b.samples * p.ci * plane * sizeof(T)));
  T* sums = static_cast<T*>(scratch.bytes(blocks > 1 ? elements * vectors * L * sizeof(T) : 0));
  int64_t* offset = static_cast<int64_t*>(scratch.bytes(b.pixels() * sizeof(int64_t)));
  int64_t* row = static_cast<int64_t*>(scratch.bytes(row_panels * kTileRows * sizeof(int64_t)));
  for (int64_t e = 0; e < row_panels * kTileRows; ++e) {
    const int64_t c = e / taps, ty = e % taps / p.kw, tx = e % p.kw;
    row[e] = c * plane + ty * p.dilation_y * b.tile_columns + tx * p.dilation_x;
  }

#pragma omp parallel num_threads(threads) if (threads > 1)
  {
#if defined(_OPENMP)
    const int member = omp_get_thread_num(), members = omp_get_num_threads();
#else
    const int member = 0, members = 1;
#endif
    for (int64_t index = 0; index < blocks; ++index) {
      const Block k = block_at(p, b, index);
      const int64_t pixels = k.pixels();
      for (int64_t i = member; i < panels; i += members) {
        const int64_t p0 = part(vectors, panels, i), p1 = part(vectors, panels, i + 1);
        transpose_dy(p, k, packed + p0 * L * pixels, (p1 - p0) * L, p0 * L,
                     min_of((p1 - p0) * L, p.co - p0 * L));
      }
      const int64_t planes = (k.n1 - k.n0) * p.ci;
      const int64_t c1 = part(planes, members, member + 1);
      for (int64_t c = part(planes, members, member); c < c1; ++c) {
        copy_padded(p, b, k, copy + c * plane, k.n0 + c / p.ci, c % p.ci);
      }
      if (member == 0) pixel_offsets(p, b, k, offset);
#pragma omp barrier
      const int64_t i1 = part(panels * row_panels, members, member + 1);
      for (int64_t i = part(panels * row_panels, members, member); i < i1; ++i) {
        const int64_t panel = i / row_panels, row0 = i % row_panels * kTileRows;
        const int64_t p0 = part(vectors, panels, panel), p1 = part(vectors, panels, panel + 1);
        const int64_t width = (p1 - p0) * L, rows = min_of(kTileRows, elements - row0);
        T on_stack[kTileRows * tile_columns<T>()];
        T* c = blocks == 1 ? on_stack : sums + p0 * L * elements + row0 * width;
        tile(c, packed + p0 * L * pixels, copy, offset, row + row0, rows, p1 - p0, pixels,
             index > 0);
        if (index + 1 == blocks) {
          store_transposed(p.dw + p0 * L * elements + row0, elements, c, width, rows,
                           min_of(width, p.co - p0 * L));
        }
      }
#pragma omp barrier
    }
  }
}

}  // namespace

void weight_gemm(const WeightGemm<float>& p) { run(p); }
void weight_gemm(const WeightGemm<double>& p) { run(p); }

}  // namespace PYGAN_ISA
}  // namespace pygan
