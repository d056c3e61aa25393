#include <algorithm>

#include "upfirdn2d/direct.cuh"

namespace pygan {
namespace device {
namespace {

constexpr int kWidth = 32, kHeight = 8;

struct DirectAxis {
  int64_t in, out, pad;
  int up, down, taps;
};

template <typename T>
struct DirectArgs {
  T* y;
  const T* x;
  Taps taps;
  double gain;
  DirectAxis rows, columns;
  int64_t planes, channels;
  EpilogueMath<T> epilogue;
};

// The taps first, first + up, ... below `end` that meet the inputs from, from + 1, ... within the
// plane.
struct Meeting {
  int first, end;
  int64_t from;

  __device__ __forceinline__ Meeting(const DirectAxis& axis, int64_t out) {
    const int64_t position = out * axis.down - axis.pad;  // of tap 0, among the upsampled inputs
    const int64_t size = axis.in * axis.up;
    // The first tap at or after it that meets an input, and the first behind the last input.
    const int64_t skipped = position >= 0 ? (axis.up - position % axis.up) % axis.up : -position;
    first = static_cast<int>(min(skipped, int64_t{axis.taps}));
    end = static_cast<int>(max(int64_t{0}, min(size - position, int64_t{axis.taps})));
    from = (position + first) / axis.up;
  }
};

template <typename T, bool kEpilogue>
__global__ void __launch_bounds__(kWidth* kHeight, 4) direct_kernel(const DirectArgs<T> a) {
  using C = Compute<T>;
  const int64_t column = int64_t{blockIdx.x} * kWidth + threadIdx.x;
  if (column >= a.columns.out) return;
  const Meeting across(a.columns, column);
  const int64_t area = a.rows.out * a.columns.out;
  const C strength = kEpilogue ? a.epilogue.strength() : C(0);
  for (int64_t plane = blockIdx.z; plane < a.planes; plane += gridDim.z) {
    const int64_t sample = kEpilogue ? plane / a.channels : 0;
    const int64_t channel = plane - sample * a.channels;
    const T* const x = a.x + plane * a.rows.in * a.columns.in;
    for (int64_t row = int64_t{blockIdx.y} * kHeight + threadIdx.y; row < a.rows.out;
         row += int64_t{gridDim.y} * kHeight) {
      const Meeting down(a.rows, row);
      C sum = 0;
      const T* line = x + down.from * a.columns.in + across.from;
      for (int i = down.first; i < down.end; i += a.rows.up) {
        C line_sum = 0;
        const T* from = line;
        for (int j = across.first; j < across.end; j += a.columns.up) {
          line_sum += load_value(*from++) * a.taps.template at<C>(i, j);
        }
        sum += a.taps.separable ? line_sum * a.taps.template at<C>(0, i) : line_sum;
        line += a.columns.in;
      }
      sum *= static_cast<C>(a.gain);
      const int64_t at = row * a.columns.out + column;
      if constexpr (kEpilogue) {
        const C noise = a.epilogue.noise_of(sample, at, area);
        sum = a.epilogue(sum, a.epilogue.scale_of(sample, channel, a.channels),
                         strength * noise + a.epilogue.bias_of(channel));
      }
      a.y[plane * area + at] = store_value<T>(sum);
    }
  }
}

template <typename T>
void launch(const Upfirdn2dCudaCall& call, const Taps& taps, cudaStream_t stream) {
  const Upfirdn2dParams& p = call.params;
  const DirectArgs<T> args = {
      static_cast<T*>(call.y),
      static_cast<const T*>(call.x),
      taps,
      p.gain,
      {p.in_h, p.out_h, p.pad_y0, p.up_y, p.down_y, p.taps_h},
      {p.in_w, p.out_w, p.pad_x0, p.up_x, p.down_x, p.taps_w},
      p.planes,
      call.channels,
      EpilogueMath<T>(call.epilogue != nullptr ? *call.epilogue : DeviceEpilogue()),
  };
  const dim3 grid(static_cast<unsigned>(ceil_div(p.out_w, kWidth)),
                  static_cast<unsigned>(std::min(ceil_div(p.out_h, kHeight), kMaxGridYZ)),
                  static_cast<unsigned>(std::min(p.planes, kMaxGridYZ)));
  const dim3 block(kWidth, kHeight);
  if (call.epilogue != nullptr) {
    direct_kernel<T, true><<<grid, block, 0, stream>>>(args);
  } else {
    direct_kernel<T, false><<<grid, block, 0, stream>>>(args);
  }
  check_launch("upfirdn2d");
}

}  // namespace

void launch_direct(const Upfirdn2dCudaCall& call, const Taps& taps, cudaStream_t stream) {
  dispatch_storage(call.storage, [&](auto zero) { launch<decltype(zero)>(call, taps, stream); });
}

}  // namespace device
}  // namespace pygan
