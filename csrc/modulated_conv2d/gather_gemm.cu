// The gather's plan (gather_gemm.h): tile, split of long sums, and the launch that adds the parts.
#include <algorithm>

#include "modulated_conv2d/gather_gemm.h"
#include "modulated_conv2d/gather_launch.cuh"

namespace pygan {
namespace {

constexpr int kThreads = 256;

// y = epilogue(sum of the parts), in the order of the parts. C: the type of the parts.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    reduce_kernel(T* y, const Compute<T>* parts, int splits, int64_t size, int64_t channels,
                  int64_t plane, bool identity, const EpilogueMath<T> math) {
  using C = Compute<T>;
  const int64_t at = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= size) return;
  C u = parts[at];
  for (int s = 1; s < splits; ++s) u += parts[s * size + at];
  if (!identity) {
    const int64_t in_batch = at / plane, pixel = at - in_batch * plane;
    const int64_t sample = in_batch / channels, channel = in_batch - sample * channels;
    const C noise =
        math.noise != nullptr ? math.strength() * math.noise_of(sample, pixel, plane) : C(0);
    u = math(u, math.scale_of(sample, channel, channels), noise + math.bias_of(channel));
  }
  y[at] = store_value<T>(u);
}

void reduce(const GatherCall& call, const void* parts, int splits, const GatherGeometry& g,
            const CudaContext& context) {
  dispatch_storage(call.storage, [&](auto element) {
    using T = decltype(element);
    reduce_kernel<T>
        <<<static_cast<unsigned>(ceil_div(g.part, kThreads)), kThreads, 0, stream_of(context)>>>(
            static_cast<T*>(call.y), static_cast<const Compute<T>*>(parts), splits, g.part,
            g.channels, g.plane, call.epilogue.is_identity(), EpilogueMath<T>(call.epilogue));
    check_launch("gather_gemm's sum of parts");
  });
}

struct GatherPlan {
  int tile = 0;
  int64_t blocks = 0;
  int splits = 1, chunks_per_split = 0;
};

int64_t pixel_tiles(const GatherCall& call, int pixels) {
  int64_t tiles = 0;
  for (int p = 0; p < call.phase_count; ++p) {
    const GatherPhase& phase = call.phases[p];
    tiles += ceil_div(call.images->n * phase.height * phase.width, pixels);
  }
  return tiles;
}

// The tile and the number of splits that would finish first if every processor did its share of
// the blocks at full rate: nothing but shapes and the number of processors, so results do not
// depend on anything else.
GatherPlan plan_gather(const GatherCall& call, int chunks, int processors) {
  const StagedWeights& weights = *call.weights;
  const TileShape* shapes = call.product != Product::exact     ? kTensorTile
                            : call.storage == Storage::float64 ? kDoubleTile
                                                               : kFloatTile;
  const int count = call.product != Product::exact ? kTensorTiles : kExactTiles;
  constexpr double kStart = 1500;         // cycles of a block besides its chunks
  constexpr double kReduceLaunch = 4000;  // cycles of another launch
  constexpr double kBytesPerCycle = 12;   // of DRAM, per processor
  constexpr int kLeastChunks = 8;         // that are worth a block
  const double result_bytes =
      4.0 * call.images->n * weights.groups * weights.rows * call.height * call.width;
  GatherPlan best;
  double best_cycles = -1;
  for (int tile = 0; tile < count; ++tile) {
    const TileShape& shape = shapes[tile];
    const int64_t blocks =
        pixel_tiles(call, shape.pixels) * ceil_div(weights.rows, shape.rows) * weights.groups;
    for (int splits = 1; splits <= 32; splits *= 2) {
      const int per_split = static_cast<int>(ceil_div(chunks, splits));
      if (splits > 1 && per_split < kLeastChunks) break;
      double cycles = ceil_div(blocks * splits, processors) * (per_split * shape.cycles + kStart);
      if (splits > 1) {
        cycles += kReduceLaunch + 2 * splits * result_bytes / (processors * kBytesPerCycle);
      }
      if (best_cycles >= 0 && cycles >= best_cycles) continue;
      best_cycles = cycles;
      best = {tile, blocks, splits, per_split};
    }
  }
  return best;
}

GatherGeometry geometry_of(const GatherCall& call, const GatherPlan& plan, int tile_pixels,
                           int tile_rows, int chunks_per_tap) {
  const StagedImages& x = *call.images;
  const StagedWeights& w = *call.weights;
  const int64_t element = staged_bytes(call.product, call.storage);
  const int64_t pixel = x.pixel_stride() * element;
  GatherGeometry g{};
  g.x_sample = x.hp * x.wp * pixel;
  g.x_row = call.step_y * x.wp * pixel;
  g.x_column = call.step_x * pixel;
  g.group_bytes = x.cp * element;
  g.w_row = w.cp * element;
  g.w_group = w.rp * g.w_row;
  g.chunks = chunks_per_tap;
  g.chunks_per_split = plan.chunks_per_split;
  g.samples = x.n;
  g.rows = static_cast<uint32_t>(w.rows);
  g.staged_rows = static_cast<uint32_t>(w.rp);
  g.row_tiles = static_cast<uint32_t>(ceil_div(w.rows, tile_rows));
  g.groups = static_cast<uint32_t>(w.groups);
  g.channels = w.groups * w.rows;
  g.plane = call.height * call.width;
  g.width = call.width;
  g.out_stride_y = call.out_stride_y;
  g.out_stride_x = call.out_stride_x;
  g.part = x.n * g.channels * g.plane;
  uint32_t tiles = 0;
  for (int p = 0; p < call.phase_count; ++p) {
    const GatherPhase& phase = call.phases[p];
    const int64_t area = int64_t{phase.height} * phase.width;
    if (area == 0) continue;
    g.phases[g.phase_count++] = {static_cast<uint32_t>(area),
                                 static_cast<uint32_t>(phase.width),
                                 phase.y0,
                                 phase.x0,
                                 tiles,
                                 phase.tap_begin,
                                 phase.tap_end};
    tiles += static_cast<uint32_t>(ceil_div(x.n * area, tile_pixels));
    for (int t = phase.tap_begin; t < phase.tap_end; ++t) {
      const GatherTap& tap = call.taps[t];
      g.x_tap[t] = (tap.row * x.wp + tap.column) * pixel;
      g.w_tap[t] = tap.weight * w.groups * g.w_group;
      if (t == phase.tap_begin) continue;
      const int64_t back = int64_t{chunks_per_tap - 1} * kChunkBytes;
      g.x_jump[t - 1] = g.x_tap[t] - g.x_tap[t - 1] - back;
      g.w_jump[t - 1] = g.w_tap[t] - g.w_tap[t - 1] - back;
    }
  }
  return g;
}

}  // namespace

void gather_gemm(const GatherCall& call, const CudaContext& context) {
  const int64_t size =
      call.images->n * call.weights->groups * call.weights->rows * call.height * call.width;
  if (size == 0) return;
  const int processors = std::max(device_limits().processors, 1);
  const int chunks_per_tap =
      static_cast<int>(call.images->cp * staged_bytes(call.product, call.storage) / kChunkBytes);
  int most_taps = 0;
  for (int p = 0; p < call.phase_count; ++p) {
    most_taps = std::max(most_taps, call.phases[p].tap_end - call.phases[p].tap_begin);
  }
  const GatherPlan plan = plan_gather(call, most_taps * chunks_per_tap, processors);
  if (plan.blocks > kMaxGridX) {
    throw std::runtime_error("conv2d: the result has too many elements for one launch.");
  }
  const bool exact = call.product == Product::exact;
  const bool is_double = call.storage == Storage::float64;
  const TileShape& shape = (exact ? is_double ? kDoubleTile : kFloatTile : kTensorTile)[plan.tile];

  GatherLaunch launch;
  launch.geometry = geometry_of(call, plan, shape.pixels, shape.rows, chunks_per_tap);
  launch.storage = call.storage;
  launch.product = call.product;
  launch.tile = plan.tile;
  launch.blocks = static_cast<unsigned>(plan.blocks);
  launch.splits = static_cast<unsigned>(plan.splits);
  launch.y = call.y;
  launch.x = call.images->data;
  launch.w = call.weights->data;
  launch.epilogue = call.epilogue;
  if (plan.splits > 1) {
    launch.storage = is_double ? Storage::float64 : Storage::float32;
    launch.y = context.get<char>(plan.splits * size * size_of(launch.storage));
    launch.epilogue = DeviceEpilogue{};
  }
  GatherGeometry& g = launch.geometry;
  const int vector = static_cast<int>(16 / size_of(launch.storage));
  g.vector = g.phase_count == 1 && g.out_stride_x == 1 && g.out_stride_y == 1 &&
             g.plane % vector == 0 && reinterpret_cast<uintptr_t>(launch.y) % 16 == 0;
  g.identity = launch.epilogue.is_identity();
  if (exact) {
    launch_gather_exact(launch, context);
  } else {
    launch_gather_tensor(launch, context);
  }
  if (plan.splits > 1) reduce(call, launch.y, plan.splits, g, context);
}

}  // namespace pygan
