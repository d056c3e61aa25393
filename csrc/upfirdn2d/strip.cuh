// upfirdn2d by strips, for the filters and factors that models use.
//
// A block takes a strip of one or several planes: some 8 to 256 columns wide, as many rows high as
// leaves enough blocks. It walks down the strip, one batch of input rows after the other: while a
// batch is filtered from shared memory, the next is on its way from global memory to registers. No
// row is read twice but those where two strips meet.
//
// A unit is the `kUp` neighbouring outputs (per axis) that see the same inputs, or nearly so; a
// thread has one column of units. Along the columns it keeps the sums of the outputs under way in
// registers, each input row adding its term to all of them:
//
//   sums[k] = sums[k + 1] + (row's term with tap count - 2 - k),  finished = sums[0] + (last term)
//
// Along the rows it reads its window from shared memory. There, rows lie as they are aligned in
// global memory, so that vectors are copied whatever the width; where every second input is a
// unit's first, the even and the odd elements of a row are kept apart, so that the threads of a
// warp read neighbouring words.
#pragma once

#include <climits>
#include <cstring>

#include "common/cuda_launch.cuh"
#include "common/device_epilogue.cuh"
#include "upfirdn2d/taps.cuh"
#include "upfirdn2d/upfirdn2d.h"

namespace pygan {
namespace device {

constexpr int kStripPacks = 4;  // vectors of a batch that a thread may fetch

template <typename T>
constexpr int kStripThreads = sizeof(T) == 8 ? 128 : 256;
// Elements of a vector: 16 bytes of shared memory. Rows are fetched from the 32-byte sector of
// global memory on in which they start, so that no sector is asked for twice.
template <typename T>
constexpr int kStripVector = 16 / static_cast<int>(sizeof(Compute<T>));
template <typename T>
constexpr int kSector = 32 / static_cast<int>(sizeof(T));

// One axis: which taps an upsampled output meets depends on its parity and on that of the padding.
struct StripAxis {
  int in, out;
  int units;   // of the output
  int start;   // the first input of unit 0; unit u starts at u * down + start
  bool delay;  // a unit's second output starts an input later than its first
  bool swap;   // a unit's first output has the odd taps
};

template <typename T>
struct StripArgs {
  T* y;
  const T* x;
  Taps taps;
  double gain;
  StripAxis rows, columns;
  int64_t planes, channels;
  EpilogueMath<T> epilogue;

  int strip_units = 0;   // rows of units of a strip
  int column_tiles = 0;  // strips side by side
  int misaligned = 0;    // elements by which x misses the start of a sector
  bool pairs = false;    // y's units can be stored at once (kUp == 2)
  // Shared memory: [2 batches][blockDim.y planes][rows of a batch][pitch].
  int batch_rows_log2 = 0;
  int pitch = 0, plane_pitch = 0;
  // The threads that fetch a row together, and the vectors of a row.
  int group = 0, row_vectors = 0;
};

__device__ __forceinline__ void store_shared(float* p, const float (&v)[4]) {
  asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_shared(p)),
               "f"(v[0]), "f"(v[1]), "f"(v[2]), "f"(v[3])
               : "memory");
}
__device__ __forceinline__ void store_shared(float* p, const float (&v)[2]) {
  asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"l"(__cvta_generic_to_shared(p)), "f"(v[0]),
               "f"(v[1])
               : "memory");
}
__device__ __forceinline__ void store_shared(double* p, const double (&v)[2]) {
  asm volatile("st.shared.v2.f64 [%0], {%1, %2};" ::"l"(__cvta_generic_to_shared(p)), "d"(v[0]),
               "d"(v[1])
               : "memory");
}
__device__ __forceinline__ void store_shared(double* p, const double (&v)[1]) { *p = v[0]; }

__device__ __forceinline__ void store_pair(float* p, float a, float b) {
  *reinterpret_cast<float2*>(p) = make_float2(a, b);
}
__device__ __forceinline__ void store_pair(double* p, double a, double b) {
  *reinterpret_cast<double2*>(p) = make_double2(a, b);
}
__device__ __forceinline__ void store_pair(__half* p, float a, float b) {
  *reinterpret_cast<__half2*>(p) = __floats2half2_rn(a, b);
}
__device__ __forceinline__ void store_pair(__nv_bfloat16* p, float a, float b) {
  const __nv_bfloat16 both[2] = {__float2bfloat16_rn(a), __float2bfloat16_rn(b)};
  uint32_t bits;
  memcpy(&bits, both, sizeof(bits));
  *reinterpret_cast<uint32_t*>(p) = bits;
}

// The vectors of a batch of input rows, between global and shared memory. The threads that compute
// on a plane fetch its rows, `group` of them each.
template <typename T, int kDown>
class StripBatch {
 public:
  using C = Compute<T>;
  static constexpr int V = kStripVector<T>;

  // Rows first, ..., end - 1, from `column` on.
  __device__ __forceinline__ StripBatch(const StripArgs<T>& a, int64_t plane, int first, int end,
                                        int column)
      : a_(a),
        plane_(a.x + plane * a.rows.in * a.columns.in + column),
        end_(plane < a.planes ? min(end, a.rows.in) : INT_MIN),
        column_(column) {
    const uint32_t p = static_cast<uint32_t>(plane), h = a.rows.in, w = a.columns.in;
    offset_ = a.misaligned + p * h * w + column;
    const int row = threadIdx.x / a.group;
    lane_ = threadIdx.x - row * a.group;
    row_ = first + row;
    shared_ = threadIdx.y * a.plane_pitch + row * a.pitch;
  }

  // Where in its row in shared memory the first input of a row lies.
  __device__ __forceinline__ int offset(int row) const {
    return static_cast<int>((offset_ + row * static_cast<uint32_t>(a_.columns.in)) &
                            (kSector<T> - 1));
  }

  __device__ __forceinline__ void fetch(int batch) {
    const int row = row_ + (batch << a_.batch_rows_log2);
    const bool inside = row >= 0 && row < end_;
    const int width = inside ? a_.columns.in : 0;
    const int shift = offset(row);
    const T* const from = plane_ + int64_t{row} * a_.columns.in - shift;
    for_each([&](int k, int v) {
      const int first = column_ - shift + v * V;
      packs_[k] = Pack<T, V>{};
      if (first >= 0 && first + V <= width) {
        packs_[k] = *reinterpret_cast<const Pack<T, V>*>(from + v * V);
      } else if (first + V > 0 && first < width) {
#pragma unroll
        for (int j = 0; j < V; ++j) {
          if (first + j >= 0 && first + j < width) packs_[k].v[j] = from[v * V + j];
        }
      }
    });
  }

  __device__ __forceinline__ void put(C* shared) const {
    C* const to = shared + shared_;
    for_each([&](int k, int v) {
      if constexpr (kDown == 1) {
        C values[V];
#pragma unroll
        for (int j = 0; j < V; ++j) values[j] = load_value(packs_[k].v[j]);
        store_shared(to + v * V, values);
      } else {
        C even[V / 2], odd[V / 2];
#pragma unroll
        for (int j = 0; j < V / 2; ++j) {
          even[j] = load_value(packs_[k].v[2 * j]);
          odd[j] = load_value(packs_[k].v[2 * j + 1]);
        }
        store_shared(to + v * (V / 2), even);
        store_shared(to + a_.pitch / 2 + v * (V / 2), odd);
      }
    });
  }

 private:
  // body(slot, vector of the row)
  template <typename Body>
  __device__ __forceinline__ void for_each(Body&& body) const {
#pragma unroll
    for (int k = 0; k < kStripPacks; ++k) {
      const int v = lane_ + k * a_.group;
      if (v >= a_.row_vectors) break;
      body(k, v);
    }
  }

  const StripArgs<T>& a_;
  const T* const plane_;
  const int end_, column_;
  uint32_t offset_;
  int lane_, row_, shared_;
  Pack<T, V> packs_[kStripPacks];
};

// The taps, gain included, in the order in which units use them: that of index n * kUp + phase is
// the phase's n-th. Separable: those of the rows, then those of the columns.
template <int kTaps, bool kSeparable>
constexpr int kStripTaps = kSeparable ? 2 * kTaps : kTaps * kTaps;

// The i-th of them, from the filter as it is stored.
template <int kTaps, int kUp, bool kSeparable, typename T>
__device__ __forceinline__ Compute<T> strip_tap(const StripArgs<T>& a, int i) {
  using C = Compute<T>;
  const int swap_y = kUp == 2 && a.rows.swap ? 1 : 0;
  const int swap_x = kUp == 2 && a.columns.swap ? 1 : 0;
  const C gain = static_cast<C>(a.gain);
  if (kSeparable) {
    return i < kTaps ? gain * a.taps.template at<C>(0, i ^ swap_y)
                     : a.taps.template at<C>(0, (i - kTaps) ^ swap_x);
  }
  const int y = i / kTaps ^ swap_y, x = i % kTaps ^ swap_x;
  const C tap = a.taps.separable ? a.taps.template at<C>(0, y) * a.taps.template at<C>(0, x)
                                 : a.taps.template at<C>(y, x);
  return gain * tap;
}

// Blocks that a multiprocessor must be able to hold: what limits the registers of a thread.
template <typename T>
__host__ __device__ constexpr int strip_blocks(int up, int taps) {
  return sizeof(T) == 8 ? 3 : up == 2 || taps > 4 ? 2 : 3;
}

template <typename T, int kUp, int kDown, int kTaps, bool kSeparable, bool kEpilogue>
__global__ void __launch_bounds__(kStripThreads<T>, strip_blocks<T>(kUp, kTaps))
    strip_kernel(const StripArgs<T> a) {
  using C = Compute<T>;
  constexpr int kRowTerms = kTaps / (kUp * kDown);  // steps that an output takes
  constexpr int kWindow = kTaps / kUp + (kUp - 1);  // inputs of a row that a unit sees
  constexpr int kColumnTerms = kTaps / kUp;         // those of them that an output sees
  extern __shared__ __align__(16) unsigned char shared_bytes[];
  C* const shared = reinterpret_cast<C*>(shared_bytes);

  const int x = threadIdx.x;
  const int strip = blockIdx.x / a.column_tiles;
  const int unit0 = (blockIdx.x - strip * a.column_tiles) * blockDim.x;
  const int unit = unit0 + x;
  const int first = strip * a.strip_units;
  const int last = min(first + a.strip_units, a.rows.units);
  const int64_t plane0 = (blockIdx.y + int64_t{blockIdx.z} * gridDim.y) * blockDim.y;
  const int64_t plane = plane0 + threadIdx.y;
  if (plane0 >= a.planes) return;

  constexpr int kCount = kStripTaps<kTaps, kSeparable>;
  __shared__ C shared_taps[kCount];
  for (int i = threadIdx.y * blockDim.x + x; i < kCount; i += blockDim.x * blockDim.y) {
    shared_taps[i] = strip_tap<kTaps, kUp, kSeparable>(a, i);
  }
  const bool delay_x = kUp == 2 && a.columns.delay;
  const int delay_y = kUp == 2 && a.rows.delay ? 1 : 0;

  C scale = 1, bias = 0, strength = 0;
  int64_t sample = 0;
  if (kEpilogue && plane < a.planes) {
    sample = plane / a.channels;
    const int64_t channel = plane - sample * a.channels;
    scale = a.epilogue.scale_of(sample, channel, a.channels);
    bias = a.epilogue.bias_of(channel);
    strength = a.epilogue.strength();
  }

  const int64_t area = int64_t{a.rows.out} * a.columns.out;
  const bool active = plane < a.planes && unit * kUp < a.columns.out;
  T* const y_unit = a.y + plane * area + unit * kUp;
  const auto emit = [&](int row, C(&v)[kUp]) {
    const int64_t at = int64_t{row} * a.columns.out;
    if constexpr (kEpilogue) {
#pragma unroll
      for (int i = 0; i < kUp; ++i) {
        const int column = unit * kUp + i;
        C noise = 0;
        if (active && column < a.columns.out) {
          noise = a.epilogue.noise_of(sample, at + column, area);
        }
        v[i] = a.epilogue(v[i], scale, strength * noise + bias);
      }
    }
    if constexpr (kUp == 1) {
      if (active) y_unit[at] = store_value<T>(v[0]);
    } else if (a.pairs) {
      if (active) store_pair(y_unit + at, v[0], v[1]);
    } else {
      // Neighbouring outputs to neighbouring threads.
      const int width = min(static_cast<int>(blockDim.x), 32);
      const int lane = x & (width - 1);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int from = (i * width + lane) / 2;
        const C even = __shfl_sync(0xffffffffu, v[0], from, width);
        const C odd = __shfl_sync(0xffffffffu, v[1], from, width);
        const int ahead = (i * width + lane) - 2 * lane;  // of the thread's own unit
        if (plane < a.planes && unit * 2 + ahead < a.columns.out) {
          y_unit[at + ahead] = store_value<T>(lane & 1 ? odd : even);
        }
      }
    }
  };

  const int input_row = first * kDown + a.rows.start;
  const int steps = last - first + kRowTerms - 1 + delay_y;
  StripBatch<T, kDown> batch(a, plane, input_row, input_row + steps * kDown,
                             unit0 * kDown + a.columns.start);
  const int batch_steps = (1 << a.batch_rows_log2) / kDown;
  const int batches = (steps + batch_steps - 1) / batch_steps;
  const int buffer = blockDim.y * a.plane_pitch;
  int offset = batch.offset(input_row);
  C sums[kUp][kUp][kRowTerms];  // [row of the unit][column]; the last is always zero
#pragma unroll
  for (int i = 0; i < kUp * kUp * kRowTerms; ++i) {
    sums[i / (kUp * kRowTerms)][i / kRowTerms % kUp][i % kRowTerms] = 0;
  }

  batch.fetch(0);
  batch.put(shared);
  __syncthreads();
  C taps[kCount];
#pragma unroll
  for (int i = 0; i < kCount; ++i) taps[i] = shared_taps[i];

  for (int b = 0; b < batches; ++b) {
    if (b + 1 < batches) batch.fetch(b + 1);
    const C* row = shared + (b & 1) * buffer + threadIdx.y * a.plane_pitch;
    const int here = min(batch_steps, steps - b * batch_steps);
    for (int s = 0; s < here; ++s) {
      // The terms of the step's rows: sums over the columns, or the windows to take them of.
      C window[kDown][kUp][kColumnTerms], row_sum[kDown][kUp];
#pragma unroll
      for (int d = 0; d < kDown; ++d) {
        C seen[kWindow];
        if constexpr (kDown == 1) {
#pragma unroll
          for (int n = 0; n < kWindow; ++n) seen[n] = row[offset + x + n];
        } else {
          const int half = a.pitch / 2;
          const C* const even = row + (offset & 1 ? half : 0) + (offset >> 1) + x;
          const C* const odd = row + (offset & 1 ? 0 : half) + ((offset + 1) >> 1) + x;
#pragma unroll
          for (int n = 0; n < kWindow; ++n) seen[n] = n % 2 == 0 ? even[n / 2] : odd[n / 2];
        }
#pragma unroll
        for (int i = 0; i < kUp; ++i) {
          row_sum[d][i] = 0;
#pragma unroll
          for (int n = 0; n < kColumnTerms; ++n) {
            window[d][i][n] = i == 1 && delay_x ? seen[(n + 1) % kWindow] : seen[n];
            if (kSeparable) row_sum[d][i] += window[d][i][n] * taps[kTaps + n * kUp + i];
          }
        }
        row += a.pitch;
        offset = (offset + a.columns.in) & (kSector<T> - 1);
      }
      // Adds the rows' terms with their m-th tap to an output in row i, column j of the unit.
      const auto add = [&](C sum, int i, int j, int m) {
#pragma unroll
        for (int d = 0; d < kDown; ++d) {
          const int tap = (m * kDown + d) * kUp + i;
          if constexpr (kSeparable) {
            sum += row_sum[d][j] * taps[tap];
          } else {
#pragma unroll
            for (int n = 0; n < kColumnTerms; ++n) {
              sum += window[d][j][n] * taps[tap * kTaps + n * kUp + j];
            }
          }
        }
        return sum;
      };
      const int done = first + b * batch_steps + s - (kRowTerms - 1);
#pragma unroll
      for (int i = 0; i < kUp; ++i) {
        C finished[kUp];
#pragma unroll
        for (int j = 0; j < kUp; ++j) {
          finished[j] = add(sums[i][j][0], i, j, kRowTerms - 1);
#pragma unroll
          for (int k = 0; k < kRowTerms - 1; ++k) {
            sums[i][j][k] = add(sums[i][j][k + 1], i, j, kRowTerms - 2 - k);
          }
        }
        const int row_unit = done - (i == 1 ? delay_y : 0);
        const int out_row = row_unit * kUp + i;
        if (row_unit >= first && row_unit < last && out_row < a.rows.out) emit(out_row, finished);
      }
    }
    if (b + 1 < batches) batch.put(shared + ((b + 1) & 1) * buffer);
    __syncthreads();
  }
}

struct StripLaunch {
  dim3 grid, block;
  int shared_bytes;
  cudaStream_t stream;
};

// Whether there is a strip kernel for these factors and this filter.
bool strip_supports(const Upfirdn2dCudaCall& call);

// strip_float.cu and so on. up, down: 1 or 2, not both 2.
template <typename T>
void launch_strip(const StripLaunch& launch, const StripArgs<T>& args, int up, int down, int taps,
                  bool epilogue);

// Four taps are combined to a two-dimensional filter, whether it was one or not: it is short.
template <typename T, int kTaps, bool kEpilogue>
void launch_strip_factors(const StripLaunch& l, const StripArgs<T>& args, int up, int down) {
  constexpr bool kSeparable = kTaps > 4;
  const auto launch = [&](auto kernel) {
    kernel<<<l.grid, l.block, l.shared_bytes, l.stream>>>(args);
  };
  if (up == 2) {
    launch(strip_kernel<T, 2, 1, kTaps, kSeparable, kEpilogue>);
  } else if (down == 2) {
    launch(strip_kernel<T, 1, 2, kTaps, kSeparable, kEpilogue>);
  } else {
    launch(strip_kernel<T, 1, 1, kTaps, kSeparable, kEpilogue>);
  }
}

// The table of filters; strip_supports() knows it too.
#define PYGAN_DEFINE_LAUNCH_STRIP(T)                                                            \
  template <>                                                                                   \
  void launch_strip(const StripLaunch& l, const StripArgs<T>& args, int up, int down, int taps, \
                    bool epilogue) {                                                            \
    if (epilogue) {                                                                             \
      launch_strip_factors<T, 4, true>(l, args, up, down);                                      \
    } else if (taps == 4) {                                                                     \
      launch_strip_factors<T, 4, false>(l, args, up, down);                                     \
    } else if (taps == 8) {                                                                     \
      launch_strip_factors<T, 8, false>(l, args, up, down);                                     \
    } else {                                                                                    \
      launch_strip_factors<T, 12, false>(l, args, up, down);                                    \
    }                                                                                           \
    check_launch("upfirdn2d");                                                                  \
  }

}  // namespace device
}  // namespace pygan
