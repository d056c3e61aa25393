// The kernel of bias_act: one pass that reads every operand once, writes every result once, and
// leaves partial sums of the parameters' gradients to sums.cuh. The formulas are sweep.h's.
//
// The tensor is seen as [samples, lines, length], in one of two ways:
//
//   planes  [outer, channels, inner]  b and scale belong to a line, the noise to a column
//   rows    [1, outer, channels]      for inner size 1: b belongs to a column, the noise to a line,
//                                     and the scale to each element
//
// blockDim.x threads share a line, blockDim.y lines are taken at once; no index is divided. A
// thread holds the same columns of several lines one after the other, so that what belongs to a
// column (noise or b) is read once for all of them and its gradient is summed in registers.
#pragma once

#include <type_traits>

#include "bias_act/activations.cuh"
#include "bias_act/bias_act.h"
#include "bias_act/sweep_pieces.cuh"

namespace pygan {
namespace device {

template <typename T>
constexpr int kVector = 16 / static_cast<int>(sizeof(T));

// How the elements of a line are dealt to the threads.
enum class Access : int {
  vectors,  // 16 bytes at once; every line starts at a multiple of them
  shifted,  // the same from each line's first aligned element on, its ends one by one
  single,   // one by one
};

// Vectors (or elements) of a line that a thread takes at once. Enough to keep memory busy where the
// arithmetic is short, few where it needs the registers.
template <typename T>
__host__ __device__ constexpr int slots(int order, bool smooth, bool single) {
  if (single) return 4;
  const bool few = order > 0 || smooth;
  return sizeof(T) == 2 ? (few ? 1 : 2) : (few ? 2 : 4);
}

template <typename T>
struct SweepArgs {
  using C = Compute<T>;
  // Where absent or not wanted: null.
  BiasActTensors<const T*> in;
  const T* dy;
  BiasActTensors<const T*> dd;
  T* out;     // y, or the gradient of dy
  T* gx;      // gradient of x
  T* gscale;  // rows: the gradient of scale

  // Partial sums, where wanted.
  C* line_b;       // planes: [lines, samples, warps of a line]
  C* line_scale;   // planes: [samples, lines, warps of a line]
  C* line_noise;   // rows: [lines, warps of a line]
  C* column;       // of the noise (planes) or b (rows): [samples, line_blocks, length]
  C* strength_at;  // one for each warp

  int64_t samples, lines, length;
  int64_t line_blocks;  // blocks that the lines of a sample are dealt to
  int lines_each;       // lines that a thread takes, line_blocks * blockDim.y apart
  Access access;
  int misaligned;  // shifted: elements by which the tensors miss an aligned address
  bool shared_noise;
  Activation act;
  C slope, gain, clamp;  // slope: of the negative side; clamp: infinite without a limit
};

// What a line, a row of channels or a plane, has to itself.
template <typename C>
struct LineValues {
  C scale = 1, b = 0, noise = 0;
  C ddscale = 0, ddb = 0, ddnoise = 0;
};

// What a thread adds up.
template <typename C>
struct ThreadSums {
  C b, scale, noise;  // of the line
  C strength;
};

template <typename T>
struct Constants {
  Compute<T> strength, ddstrength;
};

// N elements, loaded.
template <typename T, int N>
struct Elements {
  Pack<T, N> x, dy, ddx;
  Pack<T, N> scale, ddscale;  // rows
};

template <typename T, int kOrder, bool kRows, int N>
__device__ __forceinline__ void load_elements(const SweepArgs<T>& a, int64_t at,
                                              Elements<T, N>* e) {
  e->x = load_pack<T, N>(a.in.x + at);
  if (kOrder > 0) e->dy = load_pack<T, N>(a.dy + at);
  if (kOrder == 2 && a.dd.x != nullptr) e->ddx = load_pack<T, N>(a.dd.x + at);
  if (kRows && a.in.scale != nullptr) e->scale = load_pack<T, N>(a.in.scale + at);
  if (kRows && kOrder == 2 && a.dd.scale != nullptr) {
    e->ddscale = load_pack<T, N>(a.dd.scale + at);
  }
}

// Computes and stores N elements, and adds their terms to the sums.
template <typename T, int kOrder, bool kRows, typename Act, int N>
__device__ __forceinline__ void sweep_elements(
    const SweepArgs<T>& a, int64_t at, const Elements<T, N>& e, const Pack<T, N>& of_column,
    const Pack<T, N>& of_ddcolumn, const Constants<T>& constants,
    const LineValues<Compute<T>>& line, Compute<T> (&column)[N], ThreadSums<Compute<T>>* sums) {
  using C = Compute<T>;
  const C strength = constants.strength;
  Pack<T, N> out, gx, gscale;
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const C x = load_value(e.x.v[j]);
    const C noise = kRows ? line.noise : load_value(of_column.v[j]);
    const C b = kRows ? load_value(of_column.v[j]) : line.b;
    const C scale = kRows && a.in.scale != nullptr ? load_value(e.scale.v[j]) : line.scale;
    const Jet<C> jet = Act::eval(a.act, a.slope, scale * x + (strength * noise + b));
    const C y = jet.f * a.gain;
    if constexpr (kOrder == 0) {
      const C low = y < -a.clamp ? -a.clamp : y;
      out.v[j] = store_value<T>(low > a.clamp ? a.clamp : low);
    } else {
      const bool cut = fabs(y) > a.clamp;
      const C dy = load_value(e.dy.v[j]);
      const C du = cut ? C(0) : dy * (jet.f1 * a.gain);
      C gx_j = scale * du, gb = du, gscale_j = du * x, gstrength = du * noise;
      C gnoise = strength * du;
      if constexpr (kOrder == 2) {
        const C ddx = a.dd.x != nullptr ? load_value(e.ddx.v[j]) : C(0);
        const C ddnoise = kRows ? line.ddnoise : load_value(of_ddcolumn.v[j]);
        const C ddb = kRows ? load_value(of_ddcolumn.v[j]) : line.ddb;
        const C ddscale =
            kRows && a.dd.scale != nullptr ? load_value(e.ddscale.v[j]) : line.ddscale;
        const C t =
            scale * ddx + ddscale * x + ddb + strength * ddnoise + constants.ddstrength * noise;
        C curved = 0;
        if (Act::kCurved) curved = cut ? C(0) : dy * t * (jet.f2 * a.gain);
        out.v[j] = store_value<T>(cut ? C(0) : t * (jet.f1 * a.gain));
        gx_j = scale * curved + ddscale * du;
        gb = curved;
        gscale_j = curved * x + du * ddx;
        gstrength = curved * noise + du * ddnoise;
        gnoise = strength * curved + constants.ddstrength * du;
      }
      gx.v[j] = store_value<T>(gx_j);
      gscale.v[j] = store_value<T>(gscale_j);
      sums->strength += gstrength;
      sums->b += gb;
      sums->scale += gscale_j;
      sums->noise += gnoise;
      column[j] += kRows ? gb : gnoise;
    }
  }
  if (kOrder != 1 && a.out != nullptr) store_pack(a.out + at, out);
  if (kOrder > 0 && a.gx != nullptr) store_pack(a.gx + at, gx);
  if (kOrder > 0 && kRows && a.gscale != nullptr) store_pack(a.gscale + at, gscale);
}

// Blocks that a multiprocessor must be able to hold: what limits the registers of a thread.
template <typename T>
__host__ __device__ constexpr int resident_blocks(int order) {
  return sizeof(T) == 8 ? (order == 2 ? 3 : 4) : (order == 0 ? 6 : 4);
}

// N: elements of a slot, a vector or 1.
template <typename T, int kOrder, bool kRows, typename Act, int N>
__global__ void __launch_bounds__(kSweepThreads, resident_blocks<T>(kOrder))
    sweep_kernel(const SweepArgs<T> a) {
  using C = Compute<T>;
  constexpr int U = slots<T>(kOrder, Act::kCurved, N == 1);
  const int width = blockDim.x;
  const int64_t chunk = int64_t{blockIdx.x} * (width * N * U);
  const int mine = threadIdx.x * N;  // the thread's slots start here and at each `stride`
  const int stride = width * N;
  const Constants<T> constants = {value_or(a.in.strength, 0, C(1)),
                                  kOrder == 2 ? value_or(a.dd.strength, 0, C(0)) : C(0)};
  // What belongs to the columns, and its tangent.
  const T* const column_p = kRows ? a.in.b : a.in.noise;
  const T* const ddcolumn_p = kRows ? a.dd.b : a.dd.noise;

  for (int64_t sample = blockIdx.z; sample < a.samples; sample += gridDim.z) {
    for (int64_t block = blockIdx.y; block < a.line_blocks; block += gridDim.y) {
      const int columns = static_cast<int>(min(int64_t{stride} * U, a.length - chunk));
      Pack<T, N> of_column[U] = {}, of_ddcolumn[U] = {};
      if (column_p != nullptr) {
        const int64_t at = (kRows || a.shared_noise ? 0 : sample * a.length) + chunk + mine;
#pragma unroll
        for (int u = 0; u < U; ++u) {
          if (mine + u * stride >= columns) break;
          of_column[u] = load_pack<T, N>(column_p + at + u * stride);
          if (kOrder == 2 && ddcolumn_p != nullptr) {
            of_ddcolumn[u] = load_pack<T, N>(ddcolumn_p + at + u * stride);
          }
        }
      }
      C column[U][N] = {};
      ThreadSums<C> sums = {};

      for (int step = 0; step < a.lines_each; ++step) {
        const int64_t line = (int64_t{step} * a.line_blocks + block) * blockDim.y + threadIdx.y;
        const bool live = line < a.lines;
        const int64_t index = sample * a.lines + line;
        sums.b = sums.scale = sums.noise = 0;
        if (live) {
          int64_t at = index * a.length;
          // Vectors that are shifted leave out `head` elements of the line, and some of its tail.
          int head = 0;
          int64_t body = a.length;
          if (N > 1 && a.access == Access::shifted) {
            head = static_cast<int>(-(a.misaligned + at) & (N - 1));
            body = (a.length - head) & -int64_t{N};
          }
          const int end = static_cast<int>(min(int64_t{stride} * U, body - chunk));

          Elements<T, N> e[U];
#pragma unroll
          for (int u = 0; u < U; ++u) {
            if (mine + u * stride >= end) break;
            load_elements<T, kOrder, kRows>(a, at + head + chunk + mine + u * stride, &e[u]);
          }
          LineValues<C> values;
          if constexpr (kRows) {
            const int64_t i = a.shared_noise ? 0 : line;
            values.noise = value_or(a.in.noise, i, C(0));
            if (kOrder == 2) values.ddnoise = value_or(a.dd.noise, i, C(0));
          } else {
            values.scale = value_or(a.in.scale, index, C(1));
            values.b = value_or(a.in.b, line, C(0));
            if (kOrder == 2) {
              values.ddscale = value_or(a.dd.scale, index, C(0));
              values.ddb = value_or(a.dd.b, line, C(0));
            }
          }
#pragma unroll
          for (int u = 0; u < U; ++u) {
            if (mine + u * stride >= end) break;
            sweep_elements<T, kOrder, kRows, Act>(a, at + head + chunk + mine + u * stride, e[u],
                                                  of_column[u], of_ddcolumn[u], constants, values,
                                                  column[u], &sums);
          }

          const int ends = static_cast<int>(a.length - body);
          if (N > 1 && !kRows && blockIdx.x == 0 && threadIdx.x < ends) {
            at += static_cast<int>(threadIdx.x) < head ? threadIdx.x : body + threadIdx.x;
            Elements<T, 1> one;
            C unused[1];
            load_elements<T, kOrder, kRows>(a, at, &one);
            sweep_elements<T, kOrder, kRows, Act>(a, at, one, Pack<T, 1>{}, Pack<T, 1>{}, constants,
                                                  values, unused, &sums);
          }
        }

        if constexpr (kOrder > 0) {
          const int lanes = min(width, kWarp);
          const int warps = max(width / kWarp, 1);
          const int64_t warps_of_line = int64_t{gridDim.x} * warps;
          const int64_t warp = int64_t{blockIdx.x} * warps + threadIdx.x / kWarp;
          const bool first = live && threadIdx.x % lanes == 0;
          if (kRows && a.line_noise != nullptr) {
            const C sum = sum_lanes(sums.noise, lanes);
            if (first) a.line_noise[line * warps_of_line + warp] = sum;
          }
          if (!kRows && a.line_b != nullptr) {
            const C sum = sum_lanes(sums.b, lanes);
            if (first) a.line_b[(line * a.samples + sample) * warps_of_line + warp] = sum;
          }
          if (!kRows && a.line_scale != nullptr) {
            const C sum = sum_lanes(sums.scale, lanes);
            if (first) a.line_scale[index * warps_of_line + warp] = sum;
          }
        }
      }

      if constexpr (kOrder > 0) {
        const int64_t here = sample * a.line_blocks + block;
        if (a.strength_at != nullptr) {
          const C sum = sum_lanes(sums.strength, kWarp);
          const int thread = threadIdx.y * width + threadIdx.x;
          const int warps = width * blockDim.y / kWarp;
          if (thread % kWarp == 0) {
            a.strength_at[(here * gridDim.x + blockIdx.x) * warps + thread / kWarp] = sum;
          }
        }
        if (a.column != nullptr) {
          store_columns<C, N, U>(column, a.column + here * a.length + chunk, columns);
        }
      }
    }
  }
}

struct SweepLaunch {
  dim3 grid, block;
  bool rows;
  cudaStream_t stream;
};

// One for each order and type: forward.cu, backward.cu, second_order.cu.
template <typename T, int kOrder>
void launch_sweep(const SweepLaunch& launch, const SweepArgs<T>& args);

#define PYGAN_DEFINE_LAUNCH_SWEEP(kOrder)                                                          \
  template <typename T, int>                                                                       \
  void launch_sweep(const SweepLaunch& l, const SweepArgs<T>& args) {                              \
    const auto launch = [&](auto act, auto rows, auto elements) {                                  \
      sweep_kernel<T, kOrder, decltype(rows)::value, decltype(act), decltype(elements)::value>     \
          <<<l.grid, l.block, 0, l.stream>>>(args);                                                \
    };                                                                                             \
    const auto choose_layout = [&](auto act, auto elements) {                                      \
      l.rows ? launch(act, std::true_type(), elements) : launch(act, std::false_type(), elements); \
    };                                                                                             \
    if (args.access == Access::single) {                                                           \
      choose_layout(AnyActivation(), std::integral_constant<int, 1>());                            \
    } else {                                                                                       \
      const std::integral_constant<int, kVector<T>> vector;                                        \
      is_smooth(args.act) ? choose_layout(Smooth(), vector)                                        \
                          : choose_layout(PiecewiseLinear(), vector);                              \
    }                                                                                              \
    check_launch("bias_act");                                                                      \
  }                                                                                                \
  template void launch_sweep<float, kOrder>(const SweepLaunch&, const SweepArgs<float>&);          \
  template void launch_sweep<double, kOrder>(const SweepLaunch&, const SweepArgs<double>&);        \
  template void launch_sweep<__half, kOrder>(const SweepLaunch&, const SweepArgs<__half>&);        \
  template void launch_sweep<__nv_bfloat16, kOrder>(const SweepLaunch&,                            \
                                                    const SweepArgs<__nv_bfloat16>&);

}  // namespace device
}  // namespace pygan
