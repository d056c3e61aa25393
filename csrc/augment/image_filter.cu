// image_filter on a GPU: one launch, by tiles (image_filter_tile.cuh) where the filter leaves room
// for them in shared memory.
//
// How images are cut into tiles changes no bit of the results.
#include <algorithm>

#include "augment/image_filter_tile.cuh"

namespace pygan {
namespace device {
namespace {

constexpr int kWarp = 32;
constexpr int kWidestTile = 256;
constexpr int kNarrowestTile = 32;
constexpr int kBatchPixels = 2048;  // that all threads together sum up along the columns
constexpr int kHighestBatch = 64;
constexpr int kMostShared = 80 * 1024;  // so that blocks share a multiprocessor
constexpr int64_t kEnoughBlocks = 128;  // for a large GPU
constexpr int64_t kFewBlocks = 32;
constexpr int64_t kMostBlocks = 16384;     // more take several tiles each
constexpr double kMostReread = 0.3;        // of an image, where rows of tiles meet
constexpr int64_t kLargestSide = 1 << 28;  // so that int holds positions

// Where the parts of a block's shared memory begin, in bytes.
struct Layout {
  int64_t sums, taps, places, orders, results, end;
};
template <typename T>
__host__ __device__ Layout layout_of(const FilterTiles& a, bool transposed) {
  const auto room = [](int64_t count, size_t size) {
    return ceil_div(count * static_cast<int64_t>(size), 16) * 16;
  };
  constexpr size_t kSum = sizeof(Compute<T>);
  Layout l;
  l.sums = room(int64_t{a.ring_rows} * a.ring_pitch, sizeof(T));
  l.taps = l.sums + room(int64_t{a.batch} * a.sums_pitch, kSum);
  l.places = l.taps + room((transposed ? 2 : 1) * int64_t{a.taps_pitch}, kSum);
  l.orders = l.places + room(a.places, sizeof(int));
  l.results = l.orders + (transposed ? room(a.sums_pitch, 1) : 0);
  l.end = l.results + (a.whole_runs ? 0 : room(int64_t{a.batch} * a.columns, sizeof(T)));
  return l;
}

// Reads a plane's taps. Returns 0 if they change nothing, else the number of filters that the plane
// goes through: the transposed operator takes two, one for each order, if they are not symmetric.
template <bool kTransposed, typename T>
__device__ __forceinline__ int read_taps(const FilterTiles& a, const FilterImages<T>& images,
                                         int64_t plane, Compute<T>* taps) {
  const double* const from = images.taps + plane / a.channels * a.k;
  bool changes = false, lopsided = false;
  for (int t = threadIdx.x; t < a.k; t += blockDim.x) {
    const double tap = from[t];
    changes |= tap != (t == a.reach() ? 1.0 : 0.0);
    if (kTransposed) {
      taps[a.k - 1 - t] = static_cast<Compute<T>>(tap);
      taps[a.taps_pitch + t] = static_cast<Compute<T>>(tap);
      lopsided |= tap != from[a.k - 1 - t];
    } else {
      taps[t] = static_cast<Compute<T>>(tap);
    }
  }
  if (!__syncthreads_or(changes)) return 0;
  return kTransposed && __syncthreads_or(lopsided) ? 2 : 1;
}

template <typename T>
__device__ __forceinline__ void copy_tile(const FilterTiles& a, const FilterImages<T>& images,
                                          const FilterTile& tile) {
  constexpr int N = kFilterRun<T>;
  const int warps = blockDim.x / kWarp, lane = threadIdx.x % kWarp;
  for (int row = tile.row0 + threadIdx.x / kWarp; row < tile.row1; row += warps) {
    const int64_t line = (tile.plane * a.height + row) * a.width;
    if (a.whole_runs) {
      for (int j = tile.column0 + lane * N; j < tile.column1; j += kWarp * N) {
        store_pack(images.out + line + j,
                   *reinterpret_cast<const Pack<T, N>*>(images.in + line + j));
      }
    } else {
      for (int j = tile.column0 + lane; j < tile.column1; j += kWarp) {
        images.out[line + j] = images.in[line + j];
      }
    }
  }
}

// One column's pixels of a batch, wherever they continue the image along a row.
template <bool kTransposed, typename C>
__device__ __forceinline__ void put_sums(const FilterTiles& a, const FilterTile& tile, C* sums,
                                         int column, C (&sum)[kFilterRows]) {
  const int first = tile.column0 - a.reach();
  const auto put = [&](int at) {
#pragma unroll
    for (int i = 0; i < kFilterRows; ++i) sums[i * a.sums_pitch + at] = sum[i];
  };
  const int end = a.columns + 2 * a.reach();
  if (a.folds) {
    for (int at = 0; at < end; ++at) {
      if (place_of(first + at, a.width).pixel == column) put(at);
    }
    return;
  }
  put(column - first);
  if (column > 0 && -column >= first) put(-column - first);
  const int mirrored = 2 * (a.width - 1) - column - first;
  if (column < a.width - 1 && mirrored < end) put(mirrored);
}

template <bool kTransposed, typename T>
__device__ __forceinline__ void filter_columns(const FilterTiles& a, const FilterTile& tile,
                                               const T* ring, Compute<T>* sums,
                                               const Compute<T>* taps, const unsigned* places,
                                               int row0, int filters) {
  using C = Compute<T>;
  const int columns = tile.right - tile.left;
  const int warps = (columns + kWarp - 1) / kWarp;
  const int groups = (min(a.batch, tile.row1 - row0) + kFilterRows - 1) / kFilterRows;
  for (int w = threadIdx.x / kWarp; w < warps * groups; w += blockDim.x / kWarp) {
    const int group = w / warps;
    const int column = (w - group * warps) * kWarp + threadIdx.x % kWarp;
    if (column >= columns) continue;
    C sum[kFilterRows] = {};
    for (int f = 0; f < filters; ++f) {
      const unsigned which = filters == 1 ? 0 : f == 0 ? kInOrder : kMirrored;
      ColumnSource<T, kTransposed> source = {ring + column, places + group * kFilterRows, which};
      add_filtered(sum, taps + f * a.taps_pitch, a.k, source);
    }
    if (kTransposed) {
      const bool doubled = filters == 1 && is_end(tile.left + column, a.width);
#pragma unroll
      for (int i = 0; i < kFilterRows; ++i) {
        if (is_end(row0 + group * kFilterRows + i, a.height)) sum[i] /= 2;
        if (doubled) sum[i] += sum[i];
      }
    }
    put_sums<kTransposed>(a, tile, sums + group * kFilterRows * a.sums_pitch, tile.left + column,
                          sum);
  }
}

template <bool kTransposed, typename T>
__device__ __forceinline__ void filter_rows(const FilterTiles& a, const FilterTile& tile, T* out,
                                            T* results, const Compute<T>* sums,
                                            const Compute<T>* taps, const uint8_t* orders, int row0,
                                            int filters) {
  using C = Compute<T>;
  constexpr int N = kFilterRun<T>;
  const int rows = min(a.batch, tile.row1 - row0);
  int row = threadIdx.x / a.runs, run = threadIdx.x - row * a.runs;
  while (row < rows) {
    const int column = run * N;
    if (tile.column0 + column < tile.column1) {
      C sum[N] = {};
      for (int f = 0; f < filters; ++f) {
        const unsigned which = filters == 1 ? 0 : f == 0 ? kInOrder : kMirrored;
        RowSource<C, kTransposed> source = {sums + row * a.sums_pitch + column, orders + column,
                                            which};
        add_filtered(sum, taps + f * a.taps_pitch, a.k, source);
      }
      const int j = tile.column0 + column;
      Pack<T, N> packed;
#pragma unroll
      for (int e = 0; e < N; ++e) {
        if (kTransposed && is_end(j + e, a.width)) sum[e] /= 2;
        packed.v[e] = store_value<T>(sum[e]);
      }
      if (a.whole_runs) {
        store_pack(out + (tile.plane * a.height + row0 + row) * a.width + j, packed);
      } else {
        store_shared(results + row * a.columns + column, packed);
      }
    }
    row += a.run_rows;
    run += a.run_step;
    if (run >= a.runs) {
      run -= a.runs;
      ++row;
    }
  }
}

// Results of a batch whose rows are not of whole runs: neighbouring pixels by neighbouring threads.
template <typename T>
__device__ __forceinline__ void write_results(const FilterTiles& a, const FilterTile& tile, T* out,
                                              const T* results, int row0) {
  const int rows = min(a.batch, tile.row1 - row0);
  for (int row = threadIdx.x / kWarp; row < rows; row += blockDim.x / kWarp) {
    T* const line = out + (tile.plane * a.height + row0 + row) * a.width + tile.column0;
    for (int j = threadIdx.x % kWarp; j < tile.column1 - tile.column0; j += kWarp) {
      line[j] = results[row * a.columns + j];
    }
  }
}

template <typename T, bool kTransposed>
__global__ void __launch_bounds__(kFilterThreads, 2)
    filter_tile_kernel(const FilterImages<T> images, const FilterTiles a) {
  using C = Compute<T>;
  extern __shared__ __align__(16) unsigned char shared[];
  const Layout layout = layout_of<T>(a, kTransposed);
  T* const ring = reinterpret_cast<T*>(shared);
  C* const sums = reinterpret_cast<C*>(shared + layout.sums);
  C* const taps = reinterpret_cast<C*>(shared + layout.taps);
  unsigned* const places = reinterpret_cast<unsigned*>(shared + layout.places);
  uint8_t* const orders = shared + layout.orders;
  T* const results = reinterpret_cast<T*>(shared + layout.results);

  // Runs that pass the end of a row read what no column is the sum of.
  for (int i = threadIdx.x; i < a.batch * a.sums_pitch; i += blockDim.x) sums[i] = 0;
  for (int64_t block = blockIdx.x; block < a.blocks; block += gridDim.x) {
    const FilterTile tile(a, block);
    const int filters = read_taps<kTransposed>(a, images, tile.plane, taps);
    if (filters == 0) {
      copy_tile(a, images, tile);
      continue;
    }
    RingRows<T> rows(a, images.in, ring, tile);
    const auto locate = [&](int row0) {
      for (int n = threadIdx.x; n < a.places; n += blockDim.x) {
        // Beyond the reach of the batch's last row, where there may be nothing, that again.
        const int last = min(row0 + a.batch, tile.row1) - 1;
        const int q = min(row0 + n, last + 2 * a.reach()) - a.reach();
        const Place<int> at = place_of(q, a.height);
        const auto place = static_cast<unsigned>(rows.place(at.pixel) * sizeof(T));
        places[n] = kTransposed ? place + at.order * kOrderUnit : place;
      }
    };
    if (filters == 2) {
      for (int i = threadIdx.x; i < a.sums_pitch; i += blockDim.x) {
        orders[i] = place_of(tile.column0 - a.reach() + i, a.width).order;
      }
    }
    int there = max(tile.row0 - a.reach(), 0);
    int next = tile.seen(a, tile.row0 + a.batch);
    rows.fetch(there, next);
    rows.put(there, next);
    locate(tile.row0);
    __syncthreads();
    for (int row0 = tile.row0; row0 < tile.row1; row0 += a.batch) {
      there = next;
      next = tile.seen(a, row0 + 2 * a.batch);
      rows.fetch(there, next);
      filter_columns<kTransposed>(a, tile, ring, sums, taps, places, row0, filters);
      __syncthreads();
      rows.put(there, next);
      locate(row0 + a.batch);
      filter_rows<kTransposed>(a, tile, images.out, results, sums, taps, orders, row0, filters);
      __syncthreads();
      if (!a.whole_runs) write_results(a, tile, images.out, results, row0);
    }
  }
}

int round_up(int64_t n, int to) { return static_cast<int>(ceil_div(n, to) * to); }

// Tiles of so many columns and batches of so many rows; returns whether they fit in shared memory.
template <typename T>
bool try_tiles(FilterTiles* a, int columns, int batch, bool aligned, bool transposed) {
  constexpr int V = kFilterVector<T>;
  const int reach = a->reach();
  a->columns = columns;
  a->column_tiles = static_cast<int>(ceil_div(a->width, columns));
  const int seen = std::min(a->width, columns + 2 * reach);
  a->ring_pitch = aligned && a->column_tiles == 1 ? a->width : round_up(seen + V - 1, V);
  a->vectors = a->ring_pitch / V;
  a->sums_pitch = round_up(int64_t{columns} + 2 * reach + 4, 4);
  a->batch = batch;
  a->ring_rows = std::min(a->height, batch + 2 * reach);
  a->places = round_up(int64_t{batch} + 2 * reach + 4, 4);
  return layout_of<T>(*a, transposed).end <= std::min(device_limits().shared_optin, kMostShared);
}

template <typename T>
bool choose_tiles(FilterTiles* a, bool aligned, bool transposed) {
  const int parts = static_cast<int>(ceil_div(a->width, kWidestTile));
  int columns =
      parts == 1 ? round_up(a->width, kFilterRun<T>) : round_up(ceil_div(a->width, parts), kWarp);
  for (;;) {
    const int whole = round_up(a->height, kFilterRows);
    const int most = kBatchPixels / round_up(columns, kWarp) / kFilterRows * kFilterRows;
    int batch = std::min({most, kHighestBatch, whole});
    for (; batch >= kFilterRows; batch -= kFilterRows) {
      if (try_tiles<T>(a, columns, batch, aligned, transposed)) return true;
    }
    if (columns <= kNarrowestTile) return false;
    columns = round_up(columns / 2, kWarp);
  }
}

// Cuts planes into tiles of fewer rows: as long as little is read again, and where most of a GPU
// would be idle.
void choose_rows(FilterTiles* a) {
  const int64_t blocks = a->planes * a->column_tiles;
  const int64_t cheap = 1 + static_cast<int64_t>(kMostReread * a->height / std::max(a->k - 1, 1));
  int64_t parts = std::min(ceil_div(kEnoughBlocks, blocks), cheap);
  parts = std::max(parts, std::min(ceil_div(kFewBlocks, blocks), ceil_div(a->height, kFilterRows)));
  a->rows = round_up(ceil_div(a->height, parts), kFilterRows);
  a->row_tiles = static_cast<int>(ceil_div(a->height, a->rows));
  a->batch = std::min(a->batch, a->rows);
  a->blocks = blocks * a->row_tiles;
}

template <typename T>
bool try_run(const ImageFilterCudaCall& call, cudaStream_t stream) {
  const ImageFilterParams& p = call.params;
  constexpr int N = kFilterRun<T>;
  if (std::max({p.height, p.width, p.taps}) > kLargestSide) return false;
  FilterTiles a = {};
  a.planes = p.samples * p.channels;
  a.channels = p.channels;
  a.elements = p.size();
  a.height = static_cast<int>(p.height);
  a.width = static_cast<int>(p.width);
  a.k = static_cast<int>(p.taps);
  a.taps_pitch = round_up(a.k, 4);
  const bool aligned = a.width % kFilterVector<T> == 0 && is_aligned<T>(call.in, kFilterVector<T>);
  a.folds = a.reach() >= a.width;
  a.whole_runs = a.width % N == 0 && is_aligned<T>(call.in, N) && is_aligned<T>(call.out, N);
  if (!choose_tiles<T>(&a, aligned, call.transpose)) return false;
  choose_rows(&a);
  a.runs = round_up(ceil_div(a.columns, N), 8);

  const int64_t column_warps =
      ceil_div(std::min(a.width, a.columns + 2 * a.reach()), kWarp) * (a.batch / kFilterRows);
  const int64_t run_warps = ceil_div(int64_t{a.runs} * a.batch, kWarp);
  const int threads = static_cast<int>(
      std::min<int64_t>(std::max(column_warps, run_warps) * kWarp, kFilterThreads));
  a.vector_rows = threads / a.vectors;
  a.vector_step = threads % a.vectors;
  a.run_rows = threads / a.runs;
  a.run_step = threads % a.runs;
  const FilterImages<T> images = {static_cast<T*>(call.out), static_cast<const T*>(call.in),
                                  call.taps};
  const int bytes = static_cast<int>(layout_of<T>(a, call.transpose).end);
  const auto kernel = call.transpose ? filter_tile_kernel<T, true> : filter_tile_kernel<T, false>;
  allow_shared_memory(kernel, bytes, "image_filter");
  const auto blocks = static_cast<unsigned>(std::min(a.blocks, kMostBlocks));
  kernel<<<blocks, threads, bytes, stream>>>(images, a);
  check_launch("image_filter");
  return true;
}

}  // namespace
}  // namespace device

void image_filter_cuda(const ImageFilterCudaCall& call, const CudaContext& context) {
  if (call.params.size() == 0) return;
  bool done = false;
  dispatch_storage(call.storage, [&](auto zero) {
    done = device::try_run<decltype(zero)>(call, stream_of(context));
  });
  if (!done) image_filter_long_cuda(call, context);
}

}  // namespace pygan
