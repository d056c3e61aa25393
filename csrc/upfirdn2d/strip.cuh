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

#include "upfirdn2d/strip_batch.cuh"

namespace pygan {
namespace device {

template <typename T>
constexpr int kStripThreads = sizeof(T) == 8 ? 128 : 256;

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
