// Shares a label map's convolution, and its gradient, among the threads.
//
// Labels become slots first: rows of a table that holds the columns of those labels only that
// occur, channels innermost. A pixel's sum then reads contiguous memory, and pixels that see what
// their left neighbour sees, which most pixels of a label map do, are not summed again.
#include "labels/label_conv.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/parallel.h"
#include "common/scratch.h"
#include "labels/label_conv_run.h"

namespace pygan {
namespace {

constexpr int64_t kTaskChannels = 64;              // of a gradient's task
constexpr int64_t kPartPixels = int64_t{1} << 14;  // and at least as many pixels
constexpr int64_t kMaxParts = 8;
constexpr int64_t kMaxPartBytes = int64_t{1} << 26;  // of all parts of a gradient

int64_t round_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

int threads_for(int64_t work) { return work < kSerialBelow ? 1 : max_threads(); }

// The label map as the kernels read it.
struct Slots {
  std::vector<int64_t> label_of;  // of each slot; slot 0 is no label
  int32_t* padded = nullptr;      // [samples, padded_height, padded_width]
  uint8_t* same = nullptr;        // [samples, plane], of LabelRun
  int64_t rows() const { return static_cast<int64_t>(label_of.size()); }
};

template <typename I>
[[noreturn]] void refuse(const I* labels, const LabelConv& conv) {
  int64_t at = 0;
  while (labels[at] >= -1 && labels[at] < conv.labels) ++at;
  const int64_t pixels = conv.height * conv.width;
  throw std::invalid_argument("`labels` has " + std::to_string(labels[at]) + " at row " +
                              std::to_string(at % pixels / conv.width) + ", column " +
                              std::to_string(at % conv.width) + " of sample " +
                              std::to_string(at / pixels) + "; ids must be from 0 to " +
                              std::to_string(conv.labels - 1) + ", or -1 for no label.");
}

// Whether every pixel of a row meets what its left neighbour met.
void compare_row(uint8_t* same, const int32_t* slots, const LabelConv& conv) {
  const int64_t count = conv.out_width(), step = conv.stride_x, width = conv.padded_width();
  std::fill(same, same + count, uint8_t{1});
  same[0] = 0;
  for (int64_t u = 0; u < conv.kernel_y; ++u) {
    for (int64_t v = 0; v < conv.kernel_x; ++v) {
      const int32_t* const row = slots + u * width + v;
      if (step == 1) {
        for (int64_t j = 1; j < count; ++j) same[j] &= row[j] == row[j - 1];
      } else {
        for (int64_t j = 1; j < count; ++j) same[j] &= row[j * step] == row[(j - 1) * step];
      }
    }
  }
}

template <typename I>
Slots slots_of(Scratch& scratch, const I* labels, const LabelConv& conv) {
  const int64_t count = conv.samples * conv.height * conv.width;
  Slots slots;
  // Of label l at l + 1.
  std::vector<int32_t> slot_of(static_cast<size_t>(conv.labels) + 1, 0);
  for (int64_t i = 0; i < count; ++i) {
    if (labels[i] < -1 || labels[i] >= conv.labels) refuse(labels, conv);
    slot_of[static_cast<size_t>(labels[i]) + 1] = 1;
  }
  slot_of[0] = 0;
  slots.label_of.push_back(-1);
  for (int64_t label = 0; label < conv.labels; ++label) {
    if (slot_of[label + 1] == 0) continue;
    slot_of[label + 1] = static_cast<int32_t>(slots.rows());
    slots.label_of.push_back(label);
  }

  const int64_t height = conv.padded_height(), width = conv.padded_width();
  slots.padded = scratch.get<int32_t>(conv.samples * height * width);
  slots.same = scratch.get<uint8_t>(conv.samples * conv.plane());
  const int threads = threads_for(count * conv.taps());
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t row = 0; row < conv.samples * height; ++row) {
    const int64_t y = row % height - conv.pad_y;
    int32_t* const to = slots.padded + row * width;
    std::fill(to, to + width, 0);
    if (y < 0 || y >= conv.height) continue;
    const I* const from = labels + (row / height * conv.height + y) * conv.width;
    for (int64_t x = 0; x < conv.width; ++x) {
      to[conv.pad_x + x] = slot_of[static_cast<size_t>(from[x]) + 1];
    }
  }
  const int64_t out_height = conv.out_height();
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t row = 0; row < conv.samples * out_height; ++row) {
    const int64_t top = row / out_height * height + row % out_height * conv.stride_y;
    compare_row(slots.same + row * conv.out_width(), slots.padded + top * width, conv);
  }
  return slots;
}

Slots slots_of(Scratch& scratch, const void* labels, const LabelConv& conv) {
  return conv.wide_labels ? slots_of(scratch, static_cast<const int64_t*>(labels), conv)
                          : slots_of(scratch, static_cast<const int32_t*>(labels), conv);
}

// The columns of the labels that occur, at [slot][tap][channel].
template <typename T, typename C>
void fill_table(C* table, int64_t columns, const T* w, const Slots& slots, const LabelConv& conv) {
  const int64_t taps = conv.taps(), row = conv.labels * taps;
  const int threads = threads_for(slots.rows() * taps * columns);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t first = 0; first < columns; first += kColumnUnit) {
    const int64_t end = std::min(kColumnUnit, std::max<int64_t>(0, conv.channels - first));
    for (int64_t slot = 0; slot < slots.rows(); ++slot) {
      C* to = table + slot * taps * columns + first;
      const T* const from = w + first * row + slots.label_of[slot] * taps;
      for (int64_t t = 0; t < taps; ++t, to += columns) {
        std::fill(to, to + kColumnUnit, C(0));
        if (slot == 0) continue;
        for (int64_t c = 0; c < end; ++c) to[c] = to_float(from[c * row + t]);
      }
    }
  }
}

// Tiles of the planes of all samples, in order.
template <typename T>
class Tiles {
 public:
  Tiles(const LabelConv& conv, const Slots& slots, int64_t taps, int64_t columns)
      : conv_(conv), slots_(slots), per_plane_((conv.plane() + kLabelTile - 1) / kLabelTile) {
    run_.taps = taps;
    run_.columns = columns;
    run_.plane = conv.plane();
    for (int64_t t = 0; t < taps; ++t) {
      tap_.push_back(t / conv.kernel_x * conv.padded_width() + t % conv.kernel_x);
    }
    run_.tap = tap_.data();
  }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;

  int64_t count() const { return conv_.samples * per_plane_; }
  // Where a tile begins in a tensor of the result's shape.
  int64_t offset(int64_t tile) const {
    return tile / per_plane_ * conv_.channels * conv_.plane() + tile % per_plane_ * kLabelTile;
  }
  // Its pixels; `place` has room for kLabelTile.
  LabelRun<T> run(int64_t tile, int64_t* place) const {
    const int64_t sample = tile / per_plane_, begin = tile % per_plane_ * kLabelTile;
    const int64_t width = conv_.padded_width(), out_width = conv_.out_width();
    LabelRun<T> run = run_;
    run.slots = slots_.padded + sample * conv_.padded_height() * width;
    run.same = slots_.same + sample * conv_.plane() + begin;
    run.count = std::min(kLabelTile, conv_.plane() - begin);
    run.place = place;
    int64_t i = begin / out_width, j = begin % out_width;
    for (int64_t p = 0; p < run.count; ++p) {
      place[p] = i * conv_.stride_y * width + j * conv_.stride_x;
      if (++j == out_width) {
        j = 0;
        ++i;
      }
    }
    return run;
  }

 private:
  const LabelConv& conv_;
  const Slots& slots_;
  int64_t per_plane_;
  std::vector<int64_t> tap_;
  LabelRun<T> run_ = {};
};

template <typename T, typename C>
void gather(const LabelRun<T>& run, T* y, const C* table, const C* bias, int64_t channels) {
  PYGAN_DISPATCH(gather_run(run, y, table, bias, channels));
}
template <typename T, typename C>
void scatter(const LabelRun<T>& run, const T* dy, C* table, C* bias, int64_t channels) {
  PYGAN_DISPATCH(scatter_run(run, dy, table, bias, channels));
}

// How many parts of the pixels are summed apart: of the shape alone.
int64_t parts_of(int64_t tiles, int64_t table_bytes) {
  int64_t parts = std::min(kMaxParts, tiles * kLabelTile / kPartPixels);
  while (parts > 1 && parts * table_bytes > kMaxPartBytes) --parts;
  return std::max<int64_t>(parts, 1);
}

}  // namespace

template <typename T>
void label_conv(T* y, const void* labels, const T* w, const T* bias, const LabelConv& conv) {
  typedef typename Compute<T>::type C;
  Scratch scratch;
  const Slots slots = slots_of(scratch, labels, conv);
  if (conv.samples * conv.channels * conv.plane() == 0) return;
  const int64_t columns = round_up(conv.channels, kColumnUnit);
  const int64_t taps = w == nullptr ? 0 : conv.taps();
  C* const table = scratch.get<C>(slots.rows() * taps * columns);
  if (w != nullptr) fill_table(table, columns, w, slots, conv);
  C* const start = scratch.get<C>(columns);
  std::fill(start, start + columns, C(0));
  for (int64_t c = 0; bias != nullptr && c < conv.channels; ++c) start[c] = to_float(bias[c]);
  const Tiles<T> tiles(conv, slots, taps, columns);
  const int threads = threads_for(conv.samples * conv.channels * conv.plane());
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t tile = 0; tile < tiles.count(); ++tile) {
    int64_t place[kLabelTile];
    gather(tiles.run(tile, place), y + tiles.offset(tile), table, start, conv.channels);
  }
}

template <typename T>
void label_conv_gradient(T* dw, T* dbias, const void* labels, const T* dy, const LabelConv& conv) {
  typedef typename Compute<T>::type C;
  Scratch scratch;
  const Slots slots = slots_of(scratch, labels, conv);
  const int64_t columns = round_up(conv.channels, kColumnUnit);
  const int64_t taps = dw == nullptr ? 0 : conv.taps();
  const int64_t size = slots.rows() * taps * columns;
  const Tiles<T> tiles(conv, slots, taps, columns);
  const int64_t most = (conv.labels + 1) * conv.taps() * columns;
  const int64_t parts = parts_of(tiles.count(), most * static_cast<int64_t>(sizeof(C)));
  const int64_t blocks = (conv.channels + kTaskChannels - 1) / kTaskChannels;
  C* const tables = scratch.get<C>(parts * size);
  C* const biases = scratch.get<C>(parts * columns);
  const int threads = threads_for(conv.samples * conv.channels * conv.plane());
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t task = 0; task < parts * blocks; ++task) {
    const int64_t part = task / blocks, first = task % blocks * kTaskChannels;
    const int64_t width = std::min(kTaskChannels, columns - first);
    C* const table = tables + part * size + first;
    C* const total = biases + part * columns + first;
    for (int64_t row = 0; row < slots.rows() * taps; ++row) {
      std::fill(table + row * columns, table + row * columns + width, C(0));
    }
    std::fill(total, total + width, C(0));
    int64_t place[kLabelTile];
    for (int64_t t = part * tiles.count() / parts; t < (part + 1) * tiles.count() / parts; ++t) {
      scatter(tiles.run(t, place), dy + tiles.offset(t) + first * conv.plane(), table, total,
              std::min(kTaskChannels, conv.channels - first));
    }
  }
  for (int64_t c = 0; dbias != nullptr && c < conv.channels; ++c) {
    C sum = biases[c];
    for (int64_t part = 1; part < parts; ++part) sum += biases[part * columns + c];
    from_float(sum, dbias + c);
  }
  if (dw == nullptr) return;
  const int64_t row = conv.labels * taps;
  const int adders = threads_for(conv.weight_size() + parts * size);
#pragma omp parallel for schedule(static) num_threads(adders) if (adders > 1)
  for (int64_t first = 0; first < conv.channels; first += kColumnUnit) {
    const int64_t end = std::min(kColumnUnit, conv.channels - first);
    std::fill(dw + first * row, dw + (first + end) * row, T{});
    for (int64_t slot = 1; slot < slots.rows(); ++slot) {
      T* const to = dw + first * row + slots.label_of[slot] * taps;
      for (int64_t t = 0; t < taps; ++t) {
        const C* const from = tables + (slot * taps + t) * columns + first;
        for (int64_t c = 0; c < end; ++c) {
          C sum = from[c];
          for (int64_t part = 1; part < parts; ++part) sum += from[part * size + c];
          from_float(sum, to + c * row + t);
        }
      }
    }
  }
}

#define PYGAN_INSTANTIATE(T)                                                       \
  template void label_conv(T*, const void*, const T*, const T*, const LabelConv&); \
  template void label_conv_gradient(T*, T*, const void*, const T*, const LabelConv&);
PYGAN_INSTANTIATE(float)
PYGAN_INSTANTIATE(double)
PYGAN_INSTANTIATE(float16)
PYGAN_INSTANTIATE(bfloat16)
#undef PYGAN_INSTANTIATE

}  // namespace pygan
