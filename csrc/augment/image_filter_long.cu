// image_filter with filters that are too long for the tiles of image_filter.cu: one axis after the
// other, in global memory, a thread for each pixel.
#include <algorithm>

#include "augment/image_filter.cuh"

namespace pygan {
namespace {

using device::kEnd;
using device::kInOrder;
using device::kMirrored;
using device::Place;
using device::place_of;

constexpr int kThreads = 256;

template <typename C>
struct LongArgs {
  const double* taps;
  int64_t planes, channels, height, width, k;
};

// Position i of the result, of an axis whose pixels lie `stride` apart.
template <bool kTransposed, typename In, typename C>
__device__ __forceinline__ C filtered(const In* line, int64_t stride, int64_t i, int64_t size,
                                      const double* taps, int64_t k) {
  C sum = 0;
  Place<int64_t> place = place_of(i - k / 2, size);
  int64_t step = place.order & kInOrder ? 1 : -1;
  for (int64_t a = 0; a < k; ++a) {
    C tap = static_cast<C>(taps[a]);
    if constexpr (kTransposed) {
      const C other = static_cast<C>(taps[k - 1 - a]);
      const bool end = device::is_end(place.pixel, size);
      tap = end ? tap + other : step > 0 ? other : tap;
    }
    sum += tap * static_cast<C>(load_value(line[place.pixel * stride]));
    if (size > 1) {
      if (place.pixel + step < 0 || place.pixel + step == size) step = -step;
      place.pixel += step;
    }
  }
  return kTransposed && device::is_end(i, size) ? sum / 2 : sum;
}

// One axis: columns from `in` to the sums `middle`, then rows from there to `out`, where samples
// that nothing changes are copied from `in`.
template <typename T, bool kTransposed, bool kRows>
__global__ void __launch_bounds__(kThreads)
    filter_long_kernel(T* out, Compute<T>* middle, const T* in, const LongArgs<Compute<T>> a) {
  using C = Compute<T>;
  const int64_t area = a.height * a.width;
  for (int64_t plane = blockIdx.y; plane < a.planes; plane += gridDim.y) {
    const double* const taps = a.taps + plane / a.channels * a.k;
    bool changes = false;
    for (int64_t t = threadIdx.x; t < a.k; t += kThreads) {
      changes |= taps[t] != (t == a.k / 2 ? 1.0 : 0.0);
    }
    changes = __syncthreads_or(changes);
    for (int64_t at = blockIdx.x * int64_t{kThreads} + threadIdx.x; at < area;
         at += gridDim.x * int64_t{kThreads}) {
      const int64_t i = at / a.width, j = at - i * a.width, place = plane * area + at;
      if (!kRows) {
        if (!changes) continue;
        middle[place] =
            filtered<kTransposed, T, C>(in + plane * area + j, a.width, i, a.height, taps, a.k);
      } else if (!changes) {
        out[place] = in[place];
      } else {
        out[place] = store_value<T>(filtered<kTransposed, C, C>(middle + plane * area + i * a.width,
                                                                1, j, a.width, taps, a.k));
      }
    }
  }
}

template <typename T, bool kTransposed>
void run(const ImageFilterCudaCall& call, const CudaContext& context) {
  const ImageFilterParams& p = call.params;
  const LongArgs<Compute<T>> a = {call.taps, p.samples * p.channels, p.channels, p.height, p.width,
                                  p.taps};
  Compute<T>* const middle = context.get<Compute<T>>(p.size());
  const dim3 grid(
      static_cast<unsigned>(std::min(ceil_div(p.height * p.width, kThreads), kMaxGridX)),
      static_cast<unsigned>(std::min(a.planes, kMaxGridYZ)));
  const auto launch = [&](auto kernel) {
    kernel<<<grid, kThreads, 0, stream_of(context)>>>(static_cast<T*>(call.out), middle,
                                                      static_cast<const T*>(call.in), a);
    check_launch("image_filter");
  };
  launch(filter_long_kernel<T, kTransposed, false>);
  launch(filter_long_kernel<T, kTransposed, true>);
}

}  // namespace

void image_filter_long_cuda(const ImageFilterCudaCall& call, const CudaContext& context) {
  dispatch_storage(call.storage, [&](auto zero) {
    using T = decltype(zero);
    call.transpose ? run<T, true>(call, context) : run<T, false>(call, context);
  });
}

}  // namespace pygan
