// Shares rows of an instance map, or planes of an image, among the threads.
#include "labels/instances.h"

#include <algorithm>
#include <vector>

#include "common/parallel.h"
#include "common/scratch.h"
#include "labels/instances_run.h"

namespace pygan {
namespace {

template <typename I>
void row_of_edges(float* edges, const I* above, const I* row, const I* below, int64_t width) {
  PYGAN_DISPATCH(edges_row(edges, above, row, below, width));
}
template <typename T>
void means_to_pixels(T* y, const int32_t* slot, const double* means, int64_t count) {
  PYGAN_DISPATCH(spread_means(y, slot, means, count));
}

template <typename I>
void edges_of(float* edges, const I* ids, const InstanceMap& map) {
  const int threads = map.samples * map.plane() < kSerialBelow ? 1 : max_threads();
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t r = 0; r < map.samples * map.height; ++r) {
    const int64_t i = r % map.height;
    const I* const row = ids + r * map.width;
    row_of_edges(edges + r * map.width, i > 0 ? row - map.width : row, row,
                 i + 1 < map.height ? row + map.width : row, map.width);
  }
}

// Numbers the instances of a sample in the order of their first pixels; returns how many there are.
// `table` has `room` places, a power of two of at least twice the pixels.
template <typename I>
int32_t number_instances(int32_t* slot, std::vector<int64_t>* counts, I* keys, int32_t* table,
                         int64_t room, const I* ids, int64_t pixels) {
  std::fill(table, table + room, -1);
  counts->clear();
  int32_t last = -1;
  for (int64_t p = 0; p < pixels; ++p) {
    if (p > 0 && ids[p] == ids[p - 1]) {
      slot[p] = last;
      ++(*counts)[last];
      continue;
    }
    // Fibonacci hashing: the upper bits of the product depend on all bits of the id.
    uint64_t place = (static_cast<uint64_t>(ids[p]) * 0x9e3779b97f4a7c15u) >> 32 & (room - 1);
    while (table[place] >= 0 && keys[table[place]] != ids[p]) place = (place + 1) & (room - 1);
    if (table[place] < 0) {
      table[place] = static_cast<int32_t>(counts->size());
      keys[counts->size()] = ids[p];
      counts->push_back(0);
    }
    last = slot[p] = table[place];
    ++(*counts)[last];
  }
  return static_cast<int32_t>(counts->size());
}

template <typename I, typename T>
void mean_of(T* y, const T* x, const I* ids, const InstanceMap& map) {
  const int64_t pixels = map.plane();
  int64_t room = 2;
  while (room < 2 * pixels) room *= 2;
  const int threads = map.size() < kSerialBelow ? 1 : max_threads();
  Scratch scratch;
  int32_t* const slot = scratch.get<int32_t>(pixels);
  int32_t* const table = scratch.get<int32_t>(room);
  I* const keys = scratch.get<I>(pixels);
  std::vector<int64_t> counts;
  for (int64_t n = 0; n < map.samples; ++n) {
    const int64_t found =
        number_instances(slot, &counts, keys, table, room, ids + n * pixels, pixels);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int64_t c = 0; c < map.channels; ++c) {
      Scratch own;
      double* const means = own.get<double>(found);
      std::fill(means, means + found, 0.0);
      const int64_t at = (n * map.channels + c) * pixels;
      for (int64_t p = 0; p < pixels; ++p) means[slot[p]] += to_float(x[at + p]);
      for (int64_t k = 0; k < found; ++k) means[k] /= static_cast<double>(counts[k]);
      means_to_pixels(y + at, slot, means, pixels);
    }
  }
}

}  // namespace

void instance_edges(float* edges, const void* ids, const InstanceMap& map) {
  if (map.samples * map.plane() == 0) return;
  if (map.wide_ids) return edges_of(edges, static_cast<const int64_t*>(ids), map);
  edges_of(edges, static_cast<const int32_t*>(ids), map);
}

template <typename T>
void instance_mean(T* y, const T* x, const void* ids, const InstanceMap& map) {
  if (map.size() == 0) return;
  if (map.wide_ids) return mean_of(y, x, static_cast<const int64_t*>(ids), map);
  mean_of(y, x, static_cast<const int32_t*>(ids), map);
}

#define PYGAN_INSTANTIATE(T) \
  template void instance_mean(T*, const T*, const void*, const InstanceMap&);
PYGAN_INSTANTIATE(float)
PYGAN_INSTANTIATE(double)
PYGAN_INSTANTIATE(float16)
PYGAN_INSTANTIATE(bfloat16)
#undef PYGAN_INSTANTIATE

}  // namespace pygan
