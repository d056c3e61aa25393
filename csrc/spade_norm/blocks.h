// How the planes of x are cut into blocks, what is shared among threads, and where operands that
// must be converted or enlarged are kept meanwhile.
#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include "common/parallel.h"
#include "spade_norm/run.h"
#include "spade_norm/spade_norm.h"

namespace pygan {

constexpr int64_t kNormBlock = 4096;            // elements of x in a block, and in one partial sum
constexpr int64_t kNormStage = 512;             // elements converted at a time, after enlarging
constexpr int64_t kNormStreamBytes = 16 << 20;  // larger results bypass the cache

// Blocks of every plane of x: the partition of all sums. Of enlarged images, whole rows.
struct NormBlocks {
  int64_t width, plane, step, count;

  explicit NormBlocks(const NormShape& shape)
      : width(shape.width),
        plane(shape.plane()),
        step(shape.upsample == 1
                 ? kNormBlock
                 : std::max<int64_t>(1, kNormBlock / 4 / shape.width) * shape.width),
        count((plane + step - 1) / step) {}
  int64_t begin(int64_t block) const { return block * step; }
  int64_t end(int64_t block) const { return std::min((block + 1) * step, plane); }
};

// The planes of a unit: of one statistic.
inline int64_t unit_plane(const NormShape& shape, int64_t unit, int64_t index) {
  return shape.per_sample ? unit : index * shape.channels + unit;
}

// Whether threads take whole units, which then stay in their caches from one pass to the next.
inline bool share_units(const NormShape& shape) {
  const int threads = max_threads();
  return threads == 1 || shape.units() % threads == 0 || shape.units() >= 4 * threads;
}

// Calls body(unit, plane, block) for each block of each plane, on all threads.
template <typename Body>
void each_block(const NormShape& shape, const NormBlocks& blocks, Body&& body) {
  const bool parallel = shape.size() >= kSerialBelow;
  const int64_t count = shape.planes() * blocks.count;
#pragma omp parallel for schedule(static) if (parallel)
  for (int64_t i = 0; i < count; ++i) body(i / blocks.count, i % blocks.count);
}

// The same for the blocks of one unit, on this thread.
template <typename Body>
void each_block_of(const NormShape& shape, const NormBlocks& blocks, int64_t unit, Body&& body) {
  for (int64_t index = 0; index < shape.unit_planes(); ++index) {
    const int64_t plane = unit_plane(shape, unit, index);
    for (int64_t block = 0; block < blocks.count; ++block) body(plane, block);
  }
}

// Runs stages, each of which is a pass over the blocks of a unit, then what needs its sums. Where
// possible, one unit after the other goes through all stages while it is in a cache.
template <typename... Stages>
void each_unit(const NormShape& shape, const NormBlocks& blocks, Stages&&... stages) {
  if (share_units(shape)) {
    const bool parallel = shape.size() >= kSerialBelow;
#pragma omp parallel for schedule(static) if (parallel)
    for (int64_t unit = 0; unit < shape.units(); ++unit) {
      const auto run = [&](auto& stage) {
        each_block_of(shape, blocks, unit, stage.block);
        stage.finish(unit);
      };
      (run(stages), ...);
    }
    return;
  }
  const auto run = [&](auto& stage) {
    each_block(shape, blocks, stage.block);
    for (int64_t unit = 0; unit < shape.units(); ++unit) stage.finish(unit);
  };
  (run(stages), ...);
}

template <typename Block, typename Finish>
struct NormStage {
  Block block;
  Finish finish;
};
template <typename Block, typename Finish>
NormStage<Block, Finish> norm_stage(Block block, Finish finish) {
  return {block, finish};
}

template <typename T>
void norm_skip(T** p, int64_t n) {
  if (*p != nullptr) *p += n;
}

}  // namespace pygan
