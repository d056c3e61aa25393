// upfirdn2d by strips, where vectors of the input and of the output lie alike: four taps, rows of
// whole vectors, and the padding with which an image keeps its size or changes it by the factor.
//
// Much like strip.cuh, with the same sums in the same order, but without shared memory. A thread
// has a vector of every row of its strip, and makes of it as many outputs as there are for it: the
// inputs that they see beside the vector come from the neighbouring threads of the warp, or, at its
// ends, from memory once more. Along the columns the sums of the outputs under way are in
// registers. So no place in memory has to be worked out but where the next row is, and each value
// that is loaded serves all outputs that see it. Rows are fetched `kAlignedRows` ahead of their
// use; the loop over them is unrolled, so that they stay in the registers that they were loaded to.
#pragma once

#include "common/store_pack.cuh"
#include "upfirdn2d/strip_args.cuh"

namespace pygan {
namespace device {

constexpr int kAlignedRows = 4;  // on their way from memory; a multiple of the factor

// Two elements of the thread `ahead` (1 or -1) from this one, of `width` side by side; of them only
// those are asked for that are needed.
template <bool kFirst, bool kSecond>
__device__ __forceinline__ Pack<float, 2> neighbour(const Pack<float, 2>& own, int ahead,
                                                    int width) {
  const int lane = threadIdx.x & (width - 1);
  Pack<float, 2> pair = own;
  if constexpr (kFirst) pair.v[0] = __shfl_sync(0xffffffffu, own.v[0], lane + ahead, width);
  if constexpr (kSecond) pair.v[1] = __shfl_sync(0xffffffffu, own.v[1], lane + ahead, width);
  return pair;
}
template <bool kFirst, bool kSecond, typename T>
__device__ __forceinline__ Pack<T, 2> neighbour(const Pack<T, 2>& own, int ahead, int width) {
  static_assert(sizeof(own) == sizeof(uint32_t), "a pair is one word");
  const int lane = threadIdx.x & (width - 1);
  uint32_t word;
  memcpy(&word, &own, sizeof(word));
  word = __shfl_sync(0xffffffffu, word, lane + ahead, width);
  Pack<T, 2> pair;
  memcpy(&pair, &word, sizeof(word));
  return pair;
}

// A row's inputs of a thread; at the ends of a warp, also the two beside them.
template <typename T, int V>
struct AlignedRow {
  Pack<T, V> own;
  Pack<T, 2> beside;
};

// The rows of a strip, in their order, from memory.
template <typename T, int V>
class AlignedRows {
 public:
  // Rows first, ..., end - 1, of which those outside of the image are zero.
  __device__ __forceinline__ AlignedRows(const StripArgs<T>& a, int64_t plane, int first, int end,
                                         int column)
      : width_(min(static_cast<int>(blockDim.x), 32)), stride_(a.columns.in), row_(first) {
    const int lane = threadIdx.x & (width_ - 1);
    const bool inside = plane < a.planes && column < a.columns.in;
    first_ = lane == 0;
    last_ = lane == width_ - 1;
    beside_ = first_ ? -2 : V;
    const bool more = first_ ? column > 0 : last_ && column + V < a.columns.in;
    end_ = inside ? static_cast<uint32_t>(max(min(end, a.rows.in), 0)) : 0;
    end_beside_ = more ? end_ : 0;
    from_ = a.x + (plane * a.rows.in + first) * a.columns.in + column;
  }

  __device__ __forceinline__ void fetch(AlignedRow<T, V>& row) {
    // As unsigned numbers, rows above the image lie below it.
    row = AlignedRow<T, V>();
    if (static_cast<uint32_t>(row_) < end_) {
      row.own = *reinterpret_cast<const Pack<T, V>*>(from_);
    }
    if (static_cast<uint32_t>(row_) < end_beside_) {
      row.beside = *reinterpret_cast<const Pack<T, 2>*>(from_ + beside_);
    }
    ++row_;
    from_ += stride_;
  }

  // kBefore inputs before the thread's own, these, and those after them.
  template <int kBefore, int kSpan>
  __device__ __forceinline__ void spread(const AlignedRow<T, V>& row,
                                         Compute<T> (&seen)[kSpan]) const {
    constexpr int kAfter = kSpan - V - kBefore;
    static_assert(kBefore >= 1 && kBefore <= 2 && kAfter >= 1 && kAfter <= 2, "one pair each");
    const Pack<T, 2> head = {row.own.v[0], row.own.v[1]};
    const Pack<T, 2> tail = {row.own.v[V - 2], row.own.v[V - 1]};
    Pack<T, 2> before = neighbour<kBefore == 2, true>(tail, -1, width_);
    Pack<T, 2> after = neighbour<true, kAfter == 2>(head, 1, width_);
    if (first_) before = row.beside;
    if (last_) after = row.beside;
#pragma unroll
    for (int i = 0; i < kBefore; ++i) seen[i] = load_value(before.v[2 - kBefore + i]);
#pragma unroll
    for (int i = 0; i < V; ++i) seen[kBefore + i] = load_value(row.own.v[i]);
#pragma unroll
    for (int i = 0; i < kAfter; ++i) seen[kBefore + V + i] = load_value(after.v[i]);
  }

 private:
  const int width_, stride_;  // threads that a row's neighbours are among; elements of a row
  int row_, beside_;
  uint32_t end_, end_beside_;
  const T* from_;
  bool first_, last_;
};

// kBefore: the inputs that a thread's outputs see before its own.
template <typename T, int kUp, int kDown, int kBefore>
__global__ void __launch_bounds__(kAlignedThreads, 8) aligned_strip_kernel(const StripArgs<T> a) {
  using C = Compute<T>;
  constexpr int kTaps = 4;
  constexpr int kRowTerms = kTaps / (kUp * kDown);  // steps that an output takes
  constexpr int kColumnTerms = kTaps / kUp;         // inputs of a row that an output sees
  constexpr int V = aligned_inputs<T>(kUp), kOut = V * kUp / kDown;
  constexpr int kSpan = V - kDown + kColumnTerms + kUp - 1;  // those that a thread's outputs see
  constexpr int kDelay = kUp - 1;  // a unit's second output starts an input later than its first

  const int strip = blockIdx.x / a.column_tiles;
  const int tile = blockIdx.x - strip * a.column_tiles;
  const int vector = tile * blockDim.x + threadIdx.x;
  const int first = strip * a.strip_units;
  const int last = min(first + a.strip_units, a.rows.units);
  const int64_t plane0 = (blockIdx.y + int64_t{blockIdx.z} * gridDim.y) * blockDim.y;
  const int64_t plane = plane0 + threadIdx.y;
  if (plane0 >= a.planes) return;

  constexpr int kCount = kStripTaps<kTaps, false>;
  __shared__ C shared_taps[kCount];
  for (int i = threadIdx.y * blockDim.x + threadIdx.x; i < kCount; i += blockDim.x * blockDim.y) {
    shared_taps[i] = strip_tap<kTaps, kUp, false>(a, i);
  }

  const int input_row = first * kDown + a.rows.start;
  const int steps = last - first + kRowTerms - 1 + kDelay;
  AlignedRows<T, V> rows(a, plane, input_row, input_row + steps * kDown, vector * V);
  AlignedRow<T, V> ahead[kAlignedRows];
#pragma unroll
  for (int i = 0; i < kAlignedRows; ++i) rows.fetch(ahead[i]);

  __syncthreads();
  C taps[kCount];
#pragma unroll
  for (int i = 0; i < kCount; ++i) taps[i] = shared_taps[i];

  const bool active = plane < a.planes && vector * V < a.columns.in;
  // Output rows count from the strip's first; `row` is that of a step's unit.
  const uint32_t output_rows = active ? min(last * kUp, a.rows.out) - first * kUp : 0;
  int row = -(kRowTerms - 1) * kUp;
  T* y = a.y + (plane * a.rows.out + first * kUp + row) * a.columns.out + vector * kOut;
  C sums[kUp][kOut][kRowTerms];  // [row of the unit][column]; the last is always zero
#pragma unroll
  for (int i = 0; i < kUp * kOut * kRowTerms; ++i) {
    sums[i / (kOut * kRowTerms)][i / kRowTerms % kOut][i % kRowTerms] = 0;
  }

  constexpr int kSteps = kAlignedRows / kDown;
  for (int batch = 0; batch < steps; batch += kSteps) {
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      C seen[kDown][kSpan];
#pragma unroll
      for (int d = 0; d < kDown; ++d) {
        rows.template spread<kBefore>(ahead[s * kDown + d], seen[d]);
        rows.fetch(ahead[s * kDown + d]);
      }
      // Adds the rows' terms with their m-th tap to an output in row i of the unit.
      const auto add = [&](C sum, int i, int column, int m) {
        const int phase = column % kUp, start = column / kUp * kDown + phase;
#pragma unroll
        for (int d = 0; d < kDown; ++d) {
          const int tap = (m * kDown + d) * kUp + i;
#pragma unroll
          for (int n = 0; n < kColumnTerms; ++n) {
            sum += seen[d][start + n] * taps[tap * kTaps + n * kUp + phase];
          }
        }
        return sum;
      };
#pragma unroll
      for (int i = 0; i < kUp; ++i) {
        C finished[kOut];
#pragma unroll
        for (int j = 0; j < kOut; ++j) {
          finished[j] = add(sums[i][j][0], i, j, kRowTerms - 1);
#pragma unroll
          for (int k = 0; k < kRowTerms - 1; ++k) {
            sums[i][j][k] = add(sums[i][j][k + 1], i, j, kRowTerms - 2 - k);
          }
        }
        // The second row of a unit is that of the unit of the step before.
        if (static_cast<uint32_t>(row - i) >= output_rows) continue;
        Pack<T, kOut> packed;
#pragma unroll
        for (int j = 0; j < kOut; j += 2) store_pair(&packed.v[j], finished[j], finished[j + 1]);
        store_pack(y - i * a.columns.out, packed);
      }
      row += kUp;
      y += kUp * a.columns.out;
    }
  }
}

#define PYGAN_DEFINE_LAUNCH_ALIGNED_STRIP(T)                                                    \
  template <>                                                                                   \
  void launch_aligned_strip(const StripLaunch& l, const StripArgs<T>& args, int up, int down) { \
    const auto launch = [&](auto kernel) { kernel<<<l.grid, l.block, 0, l.stream>>>(args); };   \
    if (up == 2) {                                                                              \
      launch(aligned_strip_kernel<T, 2, 1, 1>);                                                 \
    } else if (down == 2) {                                                                     \
      launch(aligned_strip_kernel<T, 1, 2, 1>);                                                 \
    } else if (args.columns.start == -1) {                                                      \
      launch(aligned_strip_kernel<T, 1, 1, 1>);                                                 \
    } else {                                                                                    \
      launch(aligned_strip_kernel<T, 1, 1, 2>);                                                 \
    }                                                                                           \
    check_launch("upfirdn2d");                                                                  \
  }

}  // namespace device
}  // namespace pygan
