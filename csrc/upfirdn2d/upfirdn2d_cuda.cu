// upfirdn2d on a GPU: one launch, of a strip kernel (strip.cuh) where there is one for the filter,
// of the direct one (direct.cuh) elsewhere.
//
// All choices depend on shapes, types and addresses alone, so that results are the same on every
// GPU and in every run.
#include <algorithm>

#include "upfirdn2d/direct.cuh"
#include "upfirdn2d/strip.cuh"

namespace pygan {
namespace device {
namespace {

constexpr int kNarrowest = 8;           // threads side by side
constexpr int64_t kEnoughBlocks = 512;  // for a large GPU
constexpr int64_t kFewBlocks = 128;
constexpr int kMostShared = 48 * 1024;
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

// False where there is no plan, which no filter of the table comes to.
template <typename T>
bool try_strip(const Upfirdn2dCudaCall& call, const Taps& taps, cudaStream_t stream) {
  const Upfirdn2dParams& p = call.params;
  const int up = p.up_x, down = p.down_x;
  StripArgs<T> a = {
      static_cast<T*>(call.y),
      static_cast<const T*>(call.x),
      taps,
      p.gain,
      strip_axis(p.in_h, p.out_h, up, p.pad_y0),
      strip_axis(p.in_w, p.out_w, up, p.pad_x0),
      p.planes,
      call.channels,
      EpilogueMath<T>(call.epilogue != nullptr ? *call.epilogue : DeviceEpilogue()),
  };
  constexpr int kThreads = kStripThreads<T>;
  if (reinterpret_cast<uintptr_t>(call.x) % sizeof(T) != 0) return false;
  a.misaligned = static_cast<int>(reinterpret_cast<uintptr_t>(call.x) % 32 / sizeof(T));
  a.pairs = up == 2 && p.out_w % 2 == 0 && is_aligned<T>(call.y, 2);

  // Threads side by side: a power of two below a warp, else whole warps.
  const int64_t tiles = ceil_div(a.columns.units, kThreads);
  const int64_t each = ceil_div(a.columns.units, tiles);
  const int width = each <= 16 ? std::max(kNarrowest, next_power_of_two(each))
                               : static_cast<int>(ceil_div(each, 32) * 32);
  const int inputs = width * down + p.taps_w / up;
  StripLaunch launch = {};
  int height = kThreads / width;
  if (width < 32) {
    height = std::min<int>(height, next_power_of_two(p.planes));
    height = std::max(height, 32 / width);
  }
  while (!plan_batches(&a, width, height, inputs, down, &launch.shared_bytes)) {
    if (height * width <= 32 || height == 1) return false;
    height /= 2;
  }

  // Rows of a strip: the more the fewer are read twice, as long as there are enough blocks.
  const int64_t plane_blocks = ceil_div(p.planes, height);
  const int64_t side_by_side = tiles * plane_blocks;
  const int64_t shared_rows = p.taps_h / (up * down);  // with the strip below
  const auto rows_for = [&](int64_t blocks, int64_t fewest) {
    return std::max(ceil_div(a.rows.units, ceil_div(blocks, side_by_side)), fewest);
  };
  int64_t rows = rows_for(kEnoughBlocks, 8 * shared_rows);
  if (side_by_side * ceil_div(a.rows.units, rows) < kFewBlocks) {
    rows = rows_for(kFewBlocks, 2 * shared_rows);
  }
  const int64_t strips = ceil_div(a.rows.units, rows);
  a.strip_units = static_cast<int>(ceil_div(a.rows.units, strips));
  a.column_tiles = static_cast<int>(tiles);

  const int64_t grid_y = std::min(plane_blocks, kMaxGridYZ);
  launch.block = dim3(width, height);
  launch.grid = dim3(static_cast<unsigned>(tiles * strips), static_cast<unsigned>(grid_y),
                     static_cast<unsigned>(ceil_div(plane_blocks, grid_y)));
  launch.stream = stream;
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
      done = device::try_strip<decltype(zero)>(call, taps, stream);
    });
  }
  if (!done) device::launch_direct(call, taps, stream);
}

}  // namespace pygan
