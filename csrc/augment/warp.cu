// See warp.h. One launch in either direction; a block takes a tile of one plane of the result.
#include <algorithm>

#include "augment/warp.h"
#include "augment/warp_forward.cuh"
#include "augment/warp_transposed.cuh"
#include "common/cuda_launch.cuh"

namespace pygan {
namespace {

// Kernels count pixels of u, of the continued image and of z with 32 bits.
constexpr int64_t kMostPixels = int64_t{1} << 28;

template <typename T>
void run(const WarpCudaCall& call, cudaStream_t stream) {
  const WarpParams& p = call.params;
  const int64_t tiles_x = ceil_div(p.width, device::kWarpTile);
  const int64_t tiles_y = ceil_div(p.height, device::kWarpTile);
  const int64_t planes = p.samples * p.channels;
  if (std::max(p.height, p.width) > kMostPixels || tiles_x * tiles_y > kMaxGridX / planes) {
    throw std::runtime_error("CUDA: warp: " + std::to_string(planes) + " planes of " +
                             std::to_string(p.height) + " x " + std::to_string(p.width) +
                             " pixels are too many for a grid.");
  }
  device::WarpArgs<T> a = {};
  a.out = static_cast<T*>(call.out);
  a.in = static_cast<const T*>(call.in);
  a.matrices = call.matrices;
  a.channels = p.channels;
  a.plane = p.height * p.width;
  a.height = static_cast<int>(p.height);
  a.width = static_cast<int>(p.width);
  a.tiles = static_cast<unsigned>(tiles_x * tiles_y);
  a.tiles_x = static_cast<unsigned>(tiles_x);
  for (int t = 0; t < kWarpTapCount; ++t) {
    a.down[t] = static_cast<Compute<T>>(kWarpTaps[t]);
    a.up[t] = static_cast<Compute<T>>(2 * kWarpTaps[t]);
  }
  const auto blocks = static_cast<unsigned>(planes * tiles_x * tiles_y);
  const auto kernel = call.transpose ? device::warp_transposed_kernel<T> : device::warp_kernel<T>;
  kernel<<<blocks, device::kWarpThreads, 0, stream>>>(a);
  check_launch("warp");
}

}  // namespace

void warp_cuda(const WarpCudaCall& call, const CudaContext& context) {
  if (call.params.size() == 0) return;
  dispatch_storage(call.storage, [&](auto zero) { run<decltype(zero)>(call, stream_of(context)); });
}

}  // namespace pygan
