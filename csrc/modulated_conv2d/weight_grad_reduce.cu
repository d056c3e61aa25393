// One thread per weight adds the splits; shared memory turns the partial results' order (taps
// outermost, read along columns) into that of dw (taps innermost, written along taps).
#include <algorithm>

#include "common/cuda_launch.cuh"
#include "modulated_conv2d/weight_grad_reduce.h"
#include "modulated_conv2d/weight_index.cuh"

namespace pygan {
namespace {

constexpr int kThreads = 256;
constexpr int kColumns = 32;  // of a block's tile

// Elements of shared memory per row of a tile. Written along columns, whose distance is odd, and
// read back either along the row or, if rows and columns are exchanged, from row to row: these
// start `taps` banks apart, so that neighbours of the result lie in neighbouring banks (four apart
// for one tap, with four columns between them).
__host__ __device__ constexpr int row_pitch(int taps) {
  return kColumns * (taps | 1) + (taps == 1 ? 4 : taps);
}

struct ReduceArgs {
  int64_t splits, split_size, rows, columns;  // of the partial result
  int groups, row_tiles, column_tiles, tile_rows;
  WeightIndex weights;
};

template <typename T>
__global__ void __launch_bounds__(kThreads)
    reduce_weights_kernel(T* dw, const Compute<T>* partial, const ReduceArgs a) {
  using C = Compute<T>;
  extern __shared__ __align__(16) char shared[];
  C* tile = reinterpret_cast<C*>(shared);  // [tile_rows][kColumns][taps]
  const int taps = static_cast<int>(a.weights.taps), pitch = taps | 1;
  unsigned block = blockIdx.x;
  const int column0 = block % a.column_tiles * kColumns;
  block /= a.column_tiles;
  const int row0 = block % a.row_tiles * a.tile_rows;
  const int group = block / a.row_tiles;

  const int per_tap = a.tile_rows * kColumns;
  for (int item = threadIdx.x; item < taps * per_tap; item += kThreads) {
    const int tap = item / per_tap, place = item % per_tap;
    const int row = row0 + place / kColumns, column = column0 + place % kColumns;
    if (row >= a.weights.rows || column >= a.weights.columns) continue;
    const C* from =
        partial + ((int64_t{tap} * a.groups + group) * a.rows + row) * a.columns + column;
    C sum = 0;
#pragma unroll 4
    for (int64_t split = 0; split < a.splits; ++split) sum += from[split * a.split_size];
    tile[place / kColumns * row_pitch(taps) + place % kColumns * pitch +
         (a.weights.mirrored ? taps - 1 - tap : tap)] = sum;
  }
  __syncthreads();

  // In the order of memory.
  for (int item = threadIdx.x; item < taps * per_tap; item += kThreads) {
    const int tap = item % taps, kernel = item / taps;
    const int i = a.weights.exchanged ? kernel % a.tile_rows : kernel / kColumns;
    const int j = a.weights.exchanged ? kernel / a.tile_rows : kernel % kColumns;
    const int64_t row = row0 + i, column = column0 + j;
    if (row >= a.weights.rows || column >= a.weights.columns) continue;
    const int64_t at = a.weights.exchanged
                           ? (group * a.weights.columns + column) * a.weights.rows + row
                           : (group * a.weights.rows + row) * a.weights.columns + column;
    dw[at * taps + tap] = store_value<T>(tile[i * row_pitch(taps) + j * pitch + tap]);
  }
}

}  // namespace

void reduce_weights(void* dw, const PartialWeights& partial, const CudaConv& conv,
                    const CudaContext& context) {
  const ConvShape& s = conv.shape;
  ReduceArgs a{0, 0, 0, 0, 0, 0, 0, 0, WeightIndex(s, conv.layout)};
  a.splits = partial.splits;
  a.rows = partial.rows;
  a.columns = partial.columns;
  a.split_size = s.taps() * s.groups * partial.rows * partial.columns;
  a.groups = static_cast<int>(s.groups);
  const int64_t row_bytes =
      row_pitch(static_cast<int>(s.taps())) * (conv.storage == Storage::float64 ? 8 : 4);
  a.tile_rows = static_cast<int>(std::clamp<int64_t>(48 * 1024 / row_bytes, 1, 8));
  a.row_tiles = static_cast<int>(ceil_div(s.co_per_group(), a.tile_rows));
  a.column_tiles = static_cast<int>(ceil_div(s.ci_per_group(), kColumns));
  const int64_t blocks = s.groups * a.row_tiles * a.column_tiles;
  if (blocks > kMaxGridX) {
    throw std::runtime_error("conv2d: the weights have too many channels for one launch.");
  }
  dispatch_storage(conv.storage, [&](auto type) {
    using T = decltype(type);
    reduce_weights_kernel<T><<<static_cast<unsigned>(blocks), kThreads,
                               static_cast<size_t>(a.tile_rows * row_bytes), stream_of(context)>>>(
        static_cast<T*>(dw), static_cast<const Compute<T>*>(partial.data), a);
  });
  check_launch("reduce_weights_kernel");
}

}  // namespace pygan
