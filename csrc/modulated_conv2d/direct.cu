// Convolution by its definition (direct_cuda.h).
#include <cstdlib>

#include "common/cuda_launch.cuh"
#include "common/device_epilogue.cuh"
#include "modulated_conv2d/direct_cuda.h"
#include "modulated_conv2d/weight_index.cuh"

namespace pygan {
namespace {

constexpr int kThreads = 128;

template <typename T>
__device__ __forceinline__ Compute<T> scale_at(const T* scale, int64_t index) {
  return scale != nullptr ? load_value(scale[index]) : Compute<T>(1);
}

// Where a thread's result lies. All that is divided has 31 bits (check_extents): 64-bit divisions
// are function calls.
struct Place {
  unsigned sample, channel, row, column;
  int64_t pixel, index;
  bool inside;

  __device__ __forceinline__ Place(unsigned channels, unsigned h, unsigned w) {
    const unsigned area = h * w, blocks = (area + kThreads - 1) / kThreads;
    const unsigned plane = blockIdx.x / blocks;
    const unsigned at = blockIdx.x % blocks * kThreads + threadIdx.x;
    sample = plane / channels;
    channel = plane % channels;
    row = at / w;
    column = at % w;
    pixel = at;
    index = int64_t{plane} * area + at;
    inside = at < area;
  }
};

// y[n, o, i, j]: one thread each.
template <typename T>
__global__ void __launch_bounds__(kThreads, 4)
    direct_forward_kernel(T* y, const T* x, const T* w, const T* x_scale, EpilogueMath<T> epilogue,
                          ConvShape s, WeightIndex weights) {
  using C = Compute<T>;
  const Place to(s.co, s.oh, s.ow);
  if (!to.inside) return;
  const unsigned group = to.channel / static_cast<unsigned>(weights.rows);
  const unsigned o = to.channel % static_cast<unsigned>(weights.rows);
  const int64_t top = int64_t{to.row} * s.stride_y - s.pad_top;
  const int64_t left = int64_t{to.column} * s.stride_x - s.pad_left;

  C sum = 0;
  for (int64_t c = 0; c < weights.columns; ++c) {
    const int64_t plane = to.sample * s.ci + group * weights.columns + c;
    const T* image = x + plane * (s.h * s.w);
    C part = 0;
    for (int a = 0; a < s.kh; ++a) {
      const int64_t row = top + int64_t{a} * s.dilation_y;
      if (row < 0 || row >= s.h) continue;
      for (int b = 0; b < s.kw; ++b) {
        const int64_t column = left + int64_t{b} * s.dilation_x;
        if (column < 0 || column >= s.w) continue;
        const int64_t at = weights(group, o, c, a * s.kw + b);
        part += load_value(w[at]) * load_value(image[row * s.w + column]);
      }
    }
    sum += scale_at(x_scale, plane) * part;
  }
  const C offset = epilogue.strength() * epilogue.noise_of(to.sample, to.pixel, s.oh * s.ow) +
                   epilogue.bias_of(to.channel);
  const C scale = epilogue.scale_of(to.sample, to.channel, s.co);
  y[to.index] = store_value<T>(epilogue(sum, scale, offset));
}

// dx[n, c, row, column]: one thread each, over the outputs that read this pixel.
template <typename T>
__global__ void __launch_bounds__(kThreads, 4)
    direct_input_grad_kernel(T* dx, const T* dy, const T* w, const T* dy_scale,
                             EpilogueMath<T> epilogue, ConvShape s, WeightIndex weights) {
  using C = Compute<T>;
  const Place to(s.ci, s.h, s.w);
  if (!to.inside) return;
  const unsigned group = to.channel / static_cast<unsigned>(weights.columns);
  const unsigned c = to.channel % static_cast<unsigned>(weights.columns);
  const int row = static_cast<int>(to.row + s.pad_top);
  const int column = static_cast<int>(to.column + s.pad_left);

  C sum = 0;
  for (int64_t o = 0; o < weights.rows; ++o) {
    const int64_t plane = to.sample * s.co + group * weights.rows + o;
    const T* image = dy + plane * (s.oh * s.ow);
    C part = 0;
    for (int a = 0; a < s.kh; ++a) {
      const int y = row - a * s.dilation_y;
      if (y < 0 || y % s.stride_y != 0 || y / s.stride_y >= s.oh) continue;
      for (int b = 0; b < s.kw; ++b) {
        const int x = column - b * s.dilation_x;
        if (x < 0 || x % s.stride_x != 0 || x / s.stride_x >= s.ow) continue;
        const int64_t at = weights(group, o, c, a * s.kw + b);
        part += load_value(w[at]) * load_value(image[y / s.stride_y * s.ow + x / s.stride_x]);
      }
    }
    sum += scale_at(dy_scale, plane) * part;
  }
  const C offset = epilogue.strength() * epilogue.noise_of(to.sample, to.pixel, s.h * s.w) +
                   epilogue.bias_of(to.channel);
  const C scale = epilogue.scale_of(to.sample, to.channel, s.ci);
  dx[to.index] = store_value<T>(epilogue(sum, scale, offset));
}

// dw[o, c, tap]: one block each. A thread adds every kThreads-th pixel, then a tree adds threads.
template <typename T>
__global__ void __launch_bounds__(kThreads, 4)
    direct_weight_grad_kernel(T* dw, const T* x, const T* dy, const T* x_scale, const T* dy_scale,
                              ConvShape s, WeightIndex weights) {
  using C = Compute<T>;
  __shared__ C parts[kThreads];
  // blockIdx.x counts [co, ci per group, taps].
  const unsigned taps = static_cast<unsigned>(weights.taps);
  const unsigned columns = static_cast<unsigned>(weights.columns);
  const unsigned tap = blockIdx.x % taps, c = blockIdx.x / taps % columns;
  const unsigned o = blockIdx.x / taps / columns;
  const unsigned group = o / static_cast<unsigned>(weights.rows);
  const int64_t top = int64_t{tap / s.kw} * s.dilation_y - s.pad_top;
  const int64_t left = int64_t{tap % s.kw} * s.dilation_x - s.pad_left;
  // A thread's first pixel, and the way to its next.
  const int width = static_cast<int>(s.ow), height = width > 0 ? static_cast<int>(s.oh) : 0;
  const int first_i = static_cast<int>(threadIdx.x) / max(width, 1);
  const int first_j = static_cast<int>(threadIdx.x) % max(width, 1);
  const int rows_on = kThreads / max(width, 1), columns_on = kThreads % max(width, 1);

  C sum = 0;
  for (int64_t sample = 0; sample < s.n; ++sample) {
    const int64_t x_plane = sample * s.ci + group * weights.columns + c;
    const int64_t y_plane = sample * s.co + o;
    const T* image = x + x_plane * (s.h * s.w);
    const T* gradient = dy + y_plane * (s.oh * s.ow);
    C part = 0;
    int i = first_i, j = first_j;
    while (i < height) {
      const int64_t row = int64_t{i} * s.stride_y + top, column = int64_t{j} * s.stride_x + left;
      if (row >= 0 && row < s.h && column >= 0 && column < s.w) {
        part += load_value(gradient[int64_t{i} * s.ow + j]) * load_value(image[row * s.w + column]);
      }
      i += rows_on;
      j += columns_on;
      if (j >= width) {
        j -= width;
        ++i;
      }
    }
    sum += scale_at(x_scale, x_plane) * scale_at(dy_scale, y_plane) * part;
  }
  parts[threadIdx.x] = sum;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    dw[weights(group, o - group * weights.rows, c, tap)] = store_value<T>(parts[0]);
  }
}

// Throws if a coordinate or number of pixels does not fit 31 bits, with room for padding and
// kernel.
void check_extents(const ConvShape& s) {
  constexpr int64_t kMax = int64_t{1} << 29;
  const int64_t extents[] = {s.co,
                             s.ci,
                             s.input_area() / 4,
                             s.output_area() / 4,
                             s.h,
                             s.w,
                             s.oh,
                             s.ow,
                             std::abs(s.pad_top),
                             std::abs(s.pad_left),
                             int64_t{s.kh} * s.dilation_y,
                             int64_t{s.kw} * s.dilation_x};
  for (const int64_t extent : extents) {
    if (extent >= kMax) {
      throw std::runtime_error(
          "conv2d: an image of 2^31 or more pixels, or 2^29 or more channels, or a side, padding "
          "or kernel of 2^29 or more pixels; cut it into tiles.");
    }
  }
}

unsigned grid_of(int64_t blocks) {
  if (blocks > kMaxGridX) {
    throw std::runtime_error("conv2d: a result of " + std::to_string(blocks) +
                             " blocks; the GPU runs up to 2147483647. Use smaller batches.");
  }
  return static_cast<unsigned>(blocks);
}

}  // namespace

void direct_forward_cuda(void* y, const void* x, const void* w, const void* x_scale,
                         const DeviceEpilogue& epilogue, const CudaConv& conv,
                         const CudaContext& context) {
  if (conv.shape.y_size() == 0) return;
  check_extents(conv.shape);
  dispatch_storage(conv.storage, [&](auto type) {
    using T = decltype(type);
    direct_forward_kernel<T>
        <<<grid_of(conv.shape.n * conv.shape.co * ceil_div(conv.shape.output_area(), kThreads)),
           kThreads, 0, stream_of(context)>>>(
            static_cast<T*>(y), static_cast<const T*>(x), static_cast<const T*>(w),
            static_cast<const T*>(x_scale), EpilogueMath<T>(epilogue), conv.shape,
            WeightIndex(conv.shape, conv.layout));
  });
  check_launch("direct_forward_kernel");
}

void direct_input_grad_cuda(void* dx, const void* dy, const void* w, const void* dy_scale,
                            const DeviceEpilogue& epilogue, const CudaConv& conv,
                            const CudaContext& context) {
  if (conv.shape.x_size() == 0) return;
  check_extents(conv.shape);
  dispatch_storage(conv.storage, [&](auto type) {
    using T = decltype(type);
    direct_input_grad_kernel<T>
        <<<grid_of(conv.shape.n * conv.shape.ci * ceil_div(conv.shape.input_area(), kThreads)),
           kThreads, 0, stream_of(context)>>>(
            static_cast<T*>(dx), static_cast<const T*>(dy), static_cast<const T*>(w),
            static_cast<const T*>(dy_scale), EpilogueMath<T>(epilogue), conv.shape,
            WeightIndex(conv.shape, conv.layout));
  });
  check_launch("direct_input_grad_kernel");
}

void direct_weight_grad_cuda(void* dw, const void* x, const void* dy, const void* x_scale,
                             const void* dy_scale, const CudaConv& conv,
                             const CudaContext& context) {
  const int64_t size = conv.shape.weight_size();
  if (size == 0) return;
  check_extents(conv.shape);
  dispatch_storage(conv.storage, [&](auto type) {
    using T = decltype(type);
    direct_weight_grad_kernel<T><<<grid_of(size), kThreads, 0, stream_of(context)>>>(
        static_cast<T*>(dw), static_cast<const T*>(x), static_cast<const T*>(dy),
        static_cast<const T*>(x_scale), static_cast<const T*>(dy_scale), conv.shape,
        WeightIndex(conv.shape, conv.layout));
  });
  check_launch("direct_weight_grad_kernel");
}

}  // namespace pygan
