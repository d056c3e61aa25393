// upfirdn2d on a GPU: one launch, of a strip kernel where there is one for the filter
// (aligned_strip.cuh where rows are of whole vectors, else strip.cuh), of the direct one
// (direct.cuh) elsewhere.
//
// All choices depend on shapes, types and addresses alone, so that results are the same on every
// GPU and in every run.
#include <algorithm>
#include <type_traits>

#include "upfirdn2d/direct.cuh"
#include "upfirdn2d/strip.cuh"

namespace pygan {
namespace device {
namespace {

constexpr int kNarrowest = 8;           // threads side by side
constexpr int64_t kEnoughBlocks = 512;  // for a large GPU
constexpr int64_t kFewBlocks = 128;
constexpr int64_t kEnoughAlignedBlocks = 1024;  // which have fewer threads
constexpr int kMostShared = 48 * 1024 - 256;    // without asking for more, beside the taps
constexpr int kMostBatchRows = 8;

int next_power_of_two(int64_t n) {
  int power = 1;
  while (power < n) power *= 2;
  return power;
}
int log2_of(int power) {
  int log2 = 0;
  while ((1 << log2) < power) ++log2;
  return log2;
}

StripAxis strip_axis(int64_t in, int64_t out, int up, int64_t pad) {
  StripAxis axis = {};
  axis.in = static_cast<int>(in);
  axis.out = static_cast<int>(out);
  axis.units = static_cast<int>(ceil_div(out, up));
  // Output i meets the taps a for which i + a - pad is a multiple of `up`.
  axis.swap = up == 2 && pad % 2 != 0;
  axis.delay = up == 2 && pad % 2 == 0;
  axis.start = static_cast<int>(up == 1 ? -pad : axis.swap ? (1 - pad) / 2 : -pad / 2);
  return axis;
}

// How the threads of a block fetch a batch of rows: as many rows as they can hold.
template <typename T>
bool plan_batches(StripArgs<T>* a, int width, int height, int inputs, int down, int* shared_bytes) {
  constexpr int V = kStripVector<T>;
  a->row_vectors = static_cast<int>(ceil_div(inputs + kSector<T> - 1, V));
  a->pitch = a->row_vectors * V;
  for (int rows = kMostBatchRows; rows >= down; rows /= 2) {
    a->group = width / rows;
    a->batch_rows_log2 = log2_of(rows);
    // Planes side by side in a warp shall not meet in the banks.
    a->plane_pitch = rows * a->pitch;
    while (width < 32 && a->plane_pitch % 32 != width) a->plane_pitch += V;
    *shared_bytes = 2 * height * a->plane_pitch * static_cast<int>(sizeof(Compute<T>));
    if (a->group * kStripPacks >= a->row_vectors && *shared_bytes <= kMostShared) return true;
  }
  return false;
}

template <typename T>
StripArgs<T> strip_args(const Upfirdn2dCudaCall& call, const Taps& taps) {
  const Upfirdn2dParams& p = call.params;
  return {
      static_cast<T*>(call.y),
      static_cast<const T*>(call.x),
      taps,
      p.gain,
      strip_axis(p.in_h, p.out_h, p.up_x, p.pad_y0),
      strip_axis(p.in_w, p.out_w, p.up_x, p.pad_x0),
      p.planes,
      call.channels,
      EpilogueMath<T>(call.epilogue != nullptr ? *call.epilogue : DeviceEpilogue()),
  };
}

// The threads of a block: `width` side by side, on `height` planes; with blocks side by side for as
// many of them as a row takes. A power of two below a warp, else whole warps.
struct StripBlock {
  int64_t tiles;
  int width, height;
};
StripBlock strip_block(int64_t across, int threads, int narrowest, int64_t planes) {
  StripBlock block = {ceil_div(across, threads), 0, 0};
  const int64_t each = ceil_div(across, block.tiles);
  block.width = each <= 16 ? std::max(narrowest, next_power_of_two(each))
                           : static_cast<int>(ceil_div(each, 32) * 32);
  block.height = threads / block.width;
  if (block.width < 32) {
    block.height = std::min<int>(block.height, next_power_of_two(planes));
    block.height = std::max(block.height, 32 / block.width);
  }
  return block;
}

// Rows of a strip: the more the fewer are read twice, as long as there are enough blocks. Two
// strips share `shared_rows`; `fewest` times these a strip is high, unless there would be few
// blocks.
template <typename T>
void plan_grid(const StripBlock& block, int64_t shared_rows, int fewest, int64_t enough_blocks,
               StripArgs<T>* a, StripLaunch* launch) {
  const int64_t plane_blocks = ceil_div(a->planes, block.height);
  const int64_t side_by_side = block.tiles * plane_blocks;
  const auto rows_for = [&](int64_t blocks, int64_t least) {
    return std::max(ceil_div(a->rows.units, ceil_div(blocks, side_by_side)), least);
  };
  int64_t rows = rows_for(enough_blocks, fewest * shared_rows);
  if (side_by_side * ceil_div(a->rows.units, rows) < kFewBlocks) {
    rows = rows_for(kFewBlocks, 2 * shared_rows);
  }
  const int64_t strips = ceil_div(a->rows.units, rows);
  a->strip_units = static_cast<int>(ceil_div(a->rows.units, strips));
  a->column_tiles = static_cast<int>(block.tiles);
  const int64_t grid_y = std::min(plane_blocks, kMaxGridYZ);
  launch->block = dim3(block.width, block.height);
  launch->grid = dim3(static_cast<unsigned>(block.tiles * strips), static_cast<unsigned>(grid_y),
                      static_cast<unsigned>(ceil_div(plane_blocks, grid_y)));
}

// Whether rows are of whole vectors, and the columns' padding is one of those of aligned_strip.cuh.
// Calls with an epilogue filter the result of a transposed convolution, whose width is odd.
template <typename T>
bool aligned_strip_supports(const Upfirdn2dCudaCall& call) {
  const Upfirdn2dParams& p = call.params;
  const int inputs = aligned_inputs<T>(p.up_x), outputs = inputs * p.up_x / p.down_x;
  const bool padding = p.up_x == 2     ? p.pad_x0 == 2 && p.pad_y0 % 2 == 0
                       : p.down_x == 2 ? p.pad_x0 == 1
                                       : p.pad_x0 == 1 || p.pad_x0 == 2;
  return p.taps_w == 4 && call.epilogue == nullptr && padding && p.in_w % inputs == 0 &&
         p.out_w * p.down_x == p.in_w * p.up_x && is_aligned<T>(call.x, inputs) &&
         is_aligned<T>(call.y, outputs);
}

template <typename T>
bool try_aligned_strip(const Upfirdn2dCudaCall& call, const Taps& taps, cudaStream_t stream) {
  if constexpr (std::is_same_v<T, double>) {
    return false;
  } else {
    if (!aligned_strip_supports<T>(call)) return false;
    const Upfirdn2dParams& p = call.params;
    StripArgs<T> a = strip_args<T>(call, taps);
    StripLaunch launch = {};
    launch.stream = stream;
    const StripBlock block =
        strip_block(p.in_w / aligned_inputs<T>(p.up_x), kAlignedThreads, 1, p.planes);
    plan_grid(block, p.taps_h / (p.up_x * p.down_x), 4, kEnoughAlignedBlocks, &a, &launch);
    launch_aligned_strip<T>(launch, a, p.up_x, p.down_x);
    return true;
  }
}

// False where there is no plan, which no filter of the table comes to.
template <typename T>
bool try_strip(const Upfirdn2dCudaCall& call, const Taps& taps, cudaStream_t stream) {
  const Upfirdn2dParams& p = call.params;
  const int up = p.up_x, down = p.down_x;
  StripArgs<T> a = strip_args<T>(call, taps);
  if (reinterpret_cast<uintptr_t>(call.x) % sizeof(T) != 0) return false;
  a.misaligned = static_cast<int>(reinterpret_cast<uintptr_t>(call.x) % 32 / sizeof(T));
  a.pairs = up == 2 && p.out_w % 2 == 0 && is_aligned<T>(call.y, 2);

  StripLaunch launch = {};
  launch.stream = stream;
  StripBlock block = strip_block(a.columns.units, kStripThreads<T>, kNarrowest, p.planes);
  const int inputs = block.width * down + p.taps_w / up;
  while (!plan_batches(&a, block.width, block.height, inputs, down, &launch.shared_bytes)) {
    if (block.height * block.width <= 32 || block.height == 1) return false;
    block.height /= 2;
  }
  plan_grid(block, p.taps_h / (up * down), 8, kEnoughBlocks, &a, &launch);
  launch_strip<T>(launch, a, up, down, p.taps_w, call.epilogue != nullptr);
  return true;
}

}  // namespace

bool strip_supports(const Upfirdn2dCudaCall& call) {
  const Upfirdn2dParams& p = call.params;
  constexpr int64_t kLargest = int64_t{1} << 28;  // sizes and padding, so that int holds positions
  const bool small = std::max({p.in_h, p.in_w, p.out_h, p.out_w, std::abs(p.pad_y0),
                               std::abs(p.pad_x0)}) < kLargest;
  const bool factors = p.up_x == p.up_y && p.down_x == p.down_y && p.up_x <= 2 && p.down_x <= 2 &&
                       p.up_x * p.down_x <= 2;
  const bool long_filter = p.separable && (p.taps_w == 8 || p.taps_w == 12);
  const bool filter =
      p.taps_h == p.taps_w && (p.taps_w == 4 || (long_filter && call.epilogue == nullptr));
  return small && factors && filter;
}

}  // namespace device

void upfirdn2d_cuda(const Upfirdn2dCudaCall& call, const CudaContext& context) {
  const Upfirdn2dParams& p = call.params;
  if (p.out_size() == 0) return;
  const cudaStream_t stream = stream_of(context);
  const device::Taps taps = {call.taps, call.double_taps, p.separable, p.flip, p.taps_h, p.taps_w};
  bool done = false;
  if (device::strip_supports(call)) {
    dispatch_storage(call.storage, [&](auto zero) {
      using T = decltype(zero);
      done = device::try_aligned_strip<T>(call, taps, stream) ||
             device::try_strip<T>(call, taps, stream);
    });
  }
  if (!done) device::launch_direct(call, taps, stream);
}

}  // namespace pygan
