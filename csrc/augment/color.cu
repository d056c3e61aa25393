// See color.h. One launch: a block takes some pixels of one sample, all of their channels.
#include <algorithm>

#include "augment/color.h"
#include "common/cuda_launch.cuh"
#include "common/store_pack.cuh"

namespace pygan {
namespace {

using device::store_pack;

constexpr int kWarp = 32;
constexpr int kThreads = 128;
constexpr int kPacks = 4;  // of a channel, that a thread takes one after another

template <typename T>
struct ColorArgs {
  T* y;
  const T *x, *noise;
  const double* rows;
  int64_t samples, channels, height, width, plane;
  int64_t step_rows, step_columns;  // from a thread's pack to its next
  ColorPass pass;
};

// A number of a row as an index from 0 to size; what is no number counts as 0.
__device__ __forceinline__ int64_t index_of(double value, int64_t size) {
  if (!(value > 0)) return 0;
  return value < static_cast<double>(size) ? static_cast<int64_t>(value) : size;
}

// One sample's row, read out for a pass.
template <typename C, int kColors>
struct Numbers {
  C matrix[kColors][kColors];
  C offset[kColors];
  C sigma;
  int64_t x0, x1, y0, y1;
  bool identity;  // apart from the cut-out

  // By the lanes of one warp, each of which reads a number.
  template <typename T>
  __device__ __forceinline__ void read(const ColorArgs<T>& a, int64_t sample, int lane) {
    constexpr int kSquare = kColors * kColors, kRow = kSquare + kColors + 5;
    const double number = lane < kRow ? a.rows[sample * kRow + lane] : 0;
    const bool full = a.pass == ColorPass::full;
    bool changes = false;
    if (lane < kSquare) {
      const int c = lane / kColors, d = lane % kColors;
      (a.pass == ColorPass::transposed ? matrix[d][c] : matrix[c][d]) = static_cast<C>(number);
      changes = number != (c == d ? 1.0 : 0.0);
    } else if (lane < kSquare + kColors) {
      offset[lane - kSquare] = full ? static_cast<C>(number) : C(0);
      changes = full && number != 0;
    } else if (lane == kSquare + kColors) {
      const bool noisy = full && a.noise != nullptr;
      sigma = noisy ? static_cast<C>(number) : C(0);
      changes = noisy && number != 0;
    } else if (lane < kRow) {
      const int end = lane - (kRow - 4);
      (end == 0   ? x0
       : end == 1 ? x1
       : end == 2 ? y0
                  : y1) = index_of(number, end < 2 ? a.width : a.height);
    }
    changes = __any_sync(0xffffffffu, changes);
    if (lane == 0) identity = !changes;
  }
};

// Which pixels of a pack that begins here are in the cut-out: bit e for pixel e.
template <int N, typename Cut>
__device__ __forceinline__ unsigned cut_pixels(const Cut& cut, int64_t row, int64_t column,
                                               int64_t width) {
  unsigned inside = 0;
#pragma unroll
  for (int e = 0; e < N; ++e) {
    if (row >= cut.y0 && row < cut.y1 && column >= cut.x0 && column < cut.x1) inside |= 1u << e;
    if (++column == width) {
      column = 0;
      ++row;
    }
  }
  return inside;
}

template <typename T, int N>
__device__ __forceinline__ Pack<T, N> without(Pack<T, N> pack, unsigned cut) {
#pragma unroll
  for (int e = 0; e < N; ++e) {
    if (cut >> e & 1) pack.v[e] = store_value<T>(Compute<T>(0));
  }
  return pack;
}

// The pack at `at` of the first channel of a sample, all of its channels.
template <int N, int kColors, typename T>
__device__ __forceinline__ void transform(const ColorArgs<T>& a,
                                          const Numbers<Compute<T>, kColors>& numbers,
                                          int64_t sample, int64_t at, unsigned cut) {
  using C = Compute<T>;
  using P = Pack<T, N>;
  const T* const from = a.x + sample * a.channels * a.plane + at;
  T* const to = a.y + sample * a.channels * a.plane + at;
  const bool identity = numbers.identity;
  if (!identity) {
    const bool noisy = numbers.sigma != 0;
    const int64_t of_noise = sample * kColors * a.plane + at;
    P x[kColors], noise[kColors];
#pragma unroll
    for (int c = 0; c < kColors; ++c) {
      x[c] = *reinterpret_cast<const P*>(from + c * a.plane);
      if (noisy) noise[c] = *reinterpret_cast<const P*>(a.noise + of_noise + c * a.plane);
    }
#pragma unroll
    for (int c = 0; c < kColors; ++c) {
      P y;
#pragma unroll
      for (int e = 0; e < N; ++e) {
        C sum = numbers.matrix[c][0] * load_value(x[0].v[e]);
#pragma unroll
        for (int d = 1; d < kColors; ++d) sum += numbers.matrix[c][d] * load_value(x[d].v[e]);
        sum += numbers.offset[c];
        if (noisy) sum += numbers.sigma * load_value(noise[c].v[e]);
        y.v[e] = store_value<T>(sum);
      }
      store_pack(to + c * a.plane, without(y, cut));
    }
  }
  for (int64_t c = identity ? 0 : kColors; c < a.channels; ++c) {
    const P x = *reinterpret_cast<const P*>(from + c * a.plane);
    store_pack(to + c * a.plane, without(x, c < kColors ? cut : 0));
  }
}

template <int N, int kColors, typename T>
__global__ void __launch_bounds__(kThreads, 5) color_kernel(const ColorArgs<T> a) {
  __shared__ Numbers<Compute<T>, kColors> numbers;
  const int64_t step = int64_t{blockDim.x} * N;
  const int64_t first = blockIdx.x * kPacks * step + threadIdx.x * N;
  const int64_t end = min(first + kPacks * step, a.plane);
  for (int64_t sample = blockIdx.y; sample < a.samples; sample += gridDim.y) {
    if (threadIdx.x < kWarp) numbers.read(a, sample, threadIdx.x);
    __syncthreads();
    const bool cuts = numbers.x0 < numbers.x1 && numbers.y0 < numbers.y1 && first < end;
    int64_t row = cuts ? first / a.width : 0, column = cuts ? first - row * a.width : 0;
#pragma unroll 1
    for (int64_t at = first; at < end; at += step) {
      const unsigned cut = cuts ? cut_pixels<N>(numbers, row, column, a.width) : 0;
      transform<N, kColors>(a, numbers, sample, at, cut);
      row += a.step_rows;
      column += a.step_columns;
      if (column >= a.width) {
        column -= a.width;
        ++row;
      }
    }
    __syncthreads();  // before the next sample's numbers
  }
}

template <int N, typename T>
void launch(ColorArgs<T>& a, int colors, cudaStream_t stream) {
  const int64_t packs = a.plane / N;
  const int threads = static_cast<int>(
      std::min<int64_t>(ceil_div(ceil_div(packs, kPacks), kWarp) * kWarp, kThreads));
  const int64_t blocks = ceil_div(packs, int64_t{threads} * kPacks);
  if (blocks > kMaxGridX) {
    throw std::runtime_error("CUDA: color_transform: images of " + std::to_string(a.height) +
                             " x " + std::to_string(a.width) + " pixels are too large for a grid.");
  }
  a.step_rows = int64_t{threads} * N / a.width;
  a.step_columns = int64_t{threads} * N % a.width;
  const dim3 grid(static_cast<unsigned>(blocks),
                  static_cast<unsigned>(std::min(a.samples, kMaxGridYZ)));
  const auto kernel = colors == 1 ? color_kernel<N, 1, T> : color_kernel<N, 3, T>;
  kernel<<<grid, threads, 0, stream>>>(a);
  check_launch("color_transform");
}

template <typename T>
void run(const ColorCudaCall& call, cudaStream_t stream) {
  constexpr int kVector = 16 / sizeof(T);
  const ColorParams& p = call.params;
  ColorArgs<T> a = {};
  a.y = static_cast<T*>(call.out);
  a.x = static_cast<const T*>(call.in);
  a.noise = call.pass == ColorPass::full ? static_cast<const T*>(call.noise) : nullptr;
  a.rows = call.rows;
  a.samples = p.samples;
  a.channels = p.channels;
  a.height = p.height;
  a.width = p.width;
  a.plane = p.height * p.width;
  a.pass = call.pass;
  const bool vectors = a.plane % kVector == 0 && is_aligned<T>(a.y, kVector) &&
                       is_aligned<T>(a.x, kVector) && is_aligned<T>(a.noise, kVector);
  vectors ? launch<kVector>(a, p.colors, stream) : launch<1>(a, p.colors, stream);
}

}  // namespace

void color_cuda(const ColorCudaCall& call, const CudaContext& context) {
  if (call.params.size() == 0) return;
  dispatch_storage(call.storage, [&](auto zero) { run<decltype(zero)>(call, stream_of(context)); });
}

}  // namespace pygan
