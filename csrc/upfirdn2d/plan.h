// What the launcher works out once per call, and the kernels then read for every plane.
//
// All indices below are those of a correlation with the taps `k` (the filter, already flipped, with
// the gain in it). Along one axis, with position u = out * down + t - pad0 of tap t in the
// upsampled image, only the taps with u divisible by `up` meet a pixel, number u / up.
#pragma once

#include <cstdint>

namespace pygan {

// Vertical: output row i is a sum of the source rows [first, last), with every up-th tap from
// `tap`.
struct OutputRow {
  int64_t first, last;
  int tap;
};

template <typename C>
struct VerticalPlan {
  int up;
  int stride;             // largest number of taps met by one output row
  const OutputRow* rows;  // of all output rows
  const C* taps;          // sorted: taps[t % up * stride + t / up] = k[t]; separable filters only
};

// Horizontal: with P = up / gcd(up, down) and D = down / gcd(up, down), the outputs of one residue
// mod P read pixels that are D apart. So the source row is kept as D phases (pixel j of the row in
// phase j mod D), and every one of the P output phases is a sum of contiguous rows:
//
//   y[q * P + p] = sum over n < count of taps[n] * s[offset + n + q * D],
//   s[m] = phase[m mod D][m / D]
struct OutputPhase {
  int count;       // taps of this phase
  int64_t offset;  // first element of the padded row that output q = 0 reads
};

template <typename C>
struct HorizontalPlan {
  int output_phases;  // P
  int source_phases;  // D
  const OutputPhase* phases;
  int stride;  // largest count
  // taps[(row * P + p) * stride + n]; row is 0 for a separable filter, and otherwise the row of the
  // 2-D filter.
  const C* taps;
  // The padded row holds the pixels [first, first + length) of the source row, zeros where there
  // are none; phase d starts at element d * phase_length of its buffer.
  int64_t first, length, phase_length;
  int64_t shift;  // elements in front of the padded row, which align the source row's first pixel
};

enum class PassOrder {
  vertical_first,    // rows are combined, then filtered
  horizontal_first,  // rows are filtered into a ring, then combined
  both               // a 2-D filter that is not separable: a ring of padded rows, one pass
};

template <typename C>
struct Upfirdn2dPlan {
  int64_t in_h, in_w, out_h, out_w;
  PassOrder order;
  VerticalPlan<C> vertical;
  HorizontalPlan<C> horizontal;
  bool stream;    // write y around the cache, row by row
  bool stage;     // write y around the cache, in lines that do not end with the rows
  bool prefetch;  // x comes from memory
  // Elements of a tile's buffers, and their bytes in all (Tile in tile.cpp).
  int64_t term_capacity, row_term_capacity, phase_row_capacity, out_row_capacity, in_row_capacity,
      padded_capacity;
  int64_t ring_slots, ring_slot_capacity;  // the number of slots is a power of two
  int64_t workspace_bytes;
};

}  // namespace pygan
