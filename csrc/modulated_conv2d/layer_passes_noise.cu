// Gradient of the noise: a sum over channels at each pixel.
//
// A block takes some pixels (columns of threads) and a share of the planes (rows of threads take
// turns); where there are few pixels, the planes are split over blocks as well and a second launch
// adds their sums in order.
#include "modulated_conv2d/layer_passes.cuh"
#include "modulated_conv2d/layer_passes_pieces.cuh"

namespace pygan {
namespace {

constexpr int kPlanesPerRow = 16;  // that a row of threads sums before planes are worth splitting
constexpr int64_t kEnoughBlocks = 2048;  // to fill a GPU: not split further

struct NoiseShares {
  int64_t packs, pixel_blocks;  // per sample of noise
  int64_t planes;               // summed by one sample of noise
  int64_t splits, planes_per_split;
  int column_bits;
};

NoiseShares share(int64_t packs, int64_t samples, int64_t planes) {
  NoiseShares s;
  s.packs = packs;
  s.column_bits = warp_lane_bits(packs);
  s.pixel_blocks = ceil_div(packs, 1 << s.column_bits);
  s.planes = planes;
  const int64_t rows = kPassThreads >> s.column_bits;
  const int64_t wanted = ceil_div(planes, rows * kPlanesPerRow);
  const int64_t allowed = kEnoughBlocks / (s.pixel_blocks * samples);
  s.splits = wanted < allowed ? wanted : allowed;
  if (s.splits < 1) s.splits = 1;
  s.planes_per_split = ceil_div(planes, s.splits);
  return s;
}

// out[split, sample, pixel]: gradients (Out = T) or sums to be added (Out = Compute<T>).
template <typename T, int N, typename Out>
__global__ void __launch_bounds__(kPassThreads)
    noise_grad(Out* out, OutputPlanes planes, SlopeMath<Compute<T>> slope, NoiseShares shares,
               bool second_order) {
  using C = Compute<T>;
  __shared__ C sums[N][kPassThreads];
  const int columns = 1 << shares.column_bits, rows = kPassThreads >> shares.column_bits;
  const int column = threadIdx.x & (columns - 1), row = threadIdx.x >> shares.column_bits;
  const int64_t block = blockIdx.x;
  const int64_t sample_of_split = block / shares.pixel_blocks;  // split * samples + sample
  const int64_t samples = planes.noise_per_sample ? planes.n : 1;
  const int64_t split = sample_of_split / samples;
  const int64_t sample = sample_of_split - split * samples;
  const int64_t pixel = (block - sample_of_split * shares.pixel_blocks) * columns + column;
  const C strength = value_or<T>(planes.strength, 0, C(1));
  const C base = second_order ? value_or<T>(planes.strength_dir, 0, C(0)) : strength;

  C total[N] = {};
  if (pixel < shares.packs) {
    const int64_t begin = split * shares.planes_per_split;
    const int64_t end = begin + shares.planes_per_split < shares.planes
                            ? begin + shares.planes_per_split
                            : shares.planes;
    const T* g = static_cast<const T*>(planes.g);
    const T* y = static_cast<const T*>(planes.y);
#pragma unroll sizeof(C) == 8 ? 2 : 4
    for (int64_t i = begin + row; i < end; i += rows) {
      const int64_t plane = sample * shares.planes + i;
      const Pack<T, N> g_pack = load_pack<T, N>(g, plane * shares.packs + pixel);
      const Pack<T, N> y_pack = load_pack<T, N>(y, plane * shares.packs + pixel);
      C weight = base;
      if (second_order) {
        const C ratio = ratio_of<T>(planes.d_dir, planes.d, plane);
        if (ratio != C(0)) weight -= strength * ratio;
      }
#pragma unroll
      for (int k = 0; k < N; ++k) {
        total[k] += weight * slope(load_value(y_pack.v[k])) * load_value(g_pack.v[k]);
      }
    }
  }
#pragma unroll
  for (int k = 0; k < N; ++k) sums[k][threadIdx.x] = total[k];
  __syncthreads();
  if (row != 0 || pixel >= shares.packs) return;
  Pack<Out, N> result;
#pragma unroll
  for (int k = 0; k < N; ++k) {
    double sum = 0;
    for (int r = 0; r < rows; ++r) sum += sums[k][r * columns + column];
    result.v[k] = store_value<Out>(static_cast<C>(sum));
  }
  store_pack<Out, N>(out, sample_of_split * shares.packs + pixel, result);
}

template <typename T>
__global__ void __launch_bounds__(kPassThreads)
    add_splits(T* out, const Compute<T>* sums, int64_t splits, int64_t count) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kPassThreads + threadIdx.x;
  if (i >= count) return;
  double total = 0;
#pragma unroll 4
  for (int64_t split = 0; split < splits; ++split) total += sums[split * count + i];
  out[i] = store_value<T>(static_cast<Compute<T>>(total));
}

template <typename T>
void run(T* out, const OutputPlanes& planes, bool second_order, const CudaContext& context) {
  using C = Compute<T>;
  const int64_t samples = planes.noise_per_sample ? planes.n : 1;
  const int64_t count = samples * planes.area;
  if (count == 0) return;
  dispatch_pack<T>(planes.area, {planes.g, planes.y, out}, [&](auto, auto pack) {
    constexpr int kPack = decltype(pack)::value;
    const NoiseShares shares = share(planes.area / kPack, samples, planes.planes() / samples);
    const unsigned grid = grid_of(shares.pixel_blocks * samples * shares.splits, "noise_grad");
    const SlopeMath<C> slope(planes);
    if (shares.splits == 1) {
      noise_grad<T, kPack, T>
          <<<grid, kPassThreads, 0, stream_of(context)>>>(out, planes, slope, shares, second_order);
      return check_launch("noise_grad");
    }
    C* sums = context.get<C>(shares.splits * count);
    noise_grad<T, kPack, C>
        <<<grid, kPassThreads, 0, stream_of(context)>>>(sums, planes, slope, shares, second_order);
    check_launch("noise_grad");
    add_splits<T><<<grid_of(ceil_div(count, kPassThreads), "add_splits"), kPassThreads, 0,
                    stream_of(context)>>>(out, sums, shares.splits, count);
    check_launch("add_splits");
  });
}

}  // namespace

void noise_grad_cuda(void* out, const OutputPlanes& planes, bool second_order,
                     const CudaContext& context) {
  dispatch_storage(planes.storage, [&](auto zero) {
    run(static_cast<decltype(zero)*>(out), planes, second_order, context);
  });
}

}  // namespace pygan
