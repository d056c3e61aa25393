// image_filter by tiles: what a block works with, and how it reads its part of an image.
//
// A block takes a tile of one plane, up to 256 columns wide, and walks down it, a batch of rows
// after the other. In shared memory it has
//
//   ring    the image's rows that the batch is a sum of, as they come from global memory. A batch
//           needs few rows that the last did not: they replace those that are not needed again.
//   sums    the batch's rows, filtered along the columns and continued beyond the image's borders
//   taps    in the type of the sums; in the transposed operator also in reverse, which comes first
//   places  where the ring has the rows that are seen from the batch, by position: in bytes, and in
//           the transposed operator in what order pixels stand there (image_filter.cuh)
//   orders  in what order they stand in the columns of `sums`, for filters that are not symmetric
//
// A warp filters 32 neighbouring columns, each thread kRows pixels of one column; and along the
// rows each thread 16 bytes of sums. So neighbouring threads read and write neighbouring words.
#pragma once

#include <cstring>

#include "augment/image_filter.cuh"
#include "common/store_pack.cuh"

namespace pygan {
namespace device {

constexpr int kFilterThreads = 256;
constexpr int kFilterRows = 8;            // of a column, that a thread sums up at a time
constexpr unsigned kOrderUnit = 1 << 24;  // in a place, which is less
constexpr int kFilterFetched = 4;         // vectors that a thread holds while others are filtered

template <typename T>
constexpr int kFilterVector = 16 / sizeof(T);  // elements that are read at once
template <typename T>
constexpr int kFilterRun = 16 / sizeof(Compute<T>);  // pixels of a row that a thread sums up

// Vectors from and to shared memory in so many words, because the compiler takes them apart: where
// it needs not all of their elements, or not always.
__device__ __forceinline__ void load_shared(const float* p, float (&v)[4]) {
  asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(v[0]), "=f"(v[1]), "=f"(v[2]), "=f"(v[3])
               : "l"(__cvta_generic_to_shared(p))
               : "memory");
}
__device__ __forceinline__ void load_shared(const double* p, double (&v)[4]) {
#pragma unroll
  for (int e = 0; e < 4; e += 2) {
    asm volatile("ld.shared.v2.f64 {%0, %1}, [%2];"
                 : "=d"(v[e]), "=d"(v[e + 1])
                 : "l"(__cvta_generic_to_shared(p + e))
                 : "memory");
  }
}

// 8 or 16 bytes.
template <typename Vector>
__device__ __forceinline__ void store_shared(void* p, const Vector& vector) {
  constexpr int kWords = sizeof(vector) / sizeof(uint32_t);
  static_assert(kWords == 2 || kWords == 4, "8 or 16 bytes");
  uint32_t w[kWords];
  memcpy(w, &vector, sizeof(vector));
  if constexpr (kWords == 4) {
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_shared(p)),
                 "r"(w[0]), "r"(w[1]), "r"(w[2]), "r"(w[3])
                 : "memory");
  } else {
    asm volatile("st.shared.v2.b32 [%0], {%1, %2};" ::"l"(__cvta_generic_to_shared(p)), "r"(w[0]),
                 "r"(w[1])
                 : "memory");
  }
}

// What the launcher works out once per call.
struct FilterTiles {
  int64_t planes, channels, blocks;
  int64_t elements;  // of all images
  int height, width, k;
  int columns, column_tiles;     // of a tile, and tiles in a row
  int rows, row_tiles;           // the same along the columns
  int batch;                     // rows
  int ring_rows, ring_pitch;     // in elements from one row to the next
  int sums_pitch, taps_pitch;    // the same; from the first copy of the taps to the second
  int places;                    // how many
  int vectors;                   // of a row of the ring
  int vector_rows, vector_step;  // from a thread's vector to its next: whole rows, and the rest
  int runs;                      // of a row of sums, with idle ones that fill eight threads
  int run_rows, run_step;        // from a thread's run to its next
  bool folds;                    // an image is reflected more than once
  bool whole_runs;               // rows are made of them, and aligned

  __host__ __device__ int reach() const { return k / 2; }
};

template <typename T>
struct FilterImages {
  T* out;
  const T* in;
  const double* taps;
};

// A block's tile and what of the image is seen from there.
struct FilterTile {
  int64_t plane;
  int row0, row1;        // of the result
  int column0, column1;  // of the result
  int left, right;       // columns of the image that are seen
  int seen_end;          // row of the image behind the last that is seen

  __device__ __forceinline__ FilterTile(const FilterTiles& a, int64_t block) {
    plane = block / (a.column_tiles * a.row_tiles);
    const int tile = static_cast<int>(block - plane * (a.column_tiles * a.row_tiles));
    const int down = tile / a.column_tiles, across = tile - down * a.column_tiles;
    row0 = down * a.rows;
    row1 = min(row0 + a.rows, a.height);
    column0 = across * a.columns;
    column1 = min(column0 + a.columns, a.width);
    left = max(column0 - a.reach(), 0);
    right = min(column0 + a.columns + a.reach(), a.width);
    seen_end = seen(a, row1);
  }
  // Row of the image behind the last that is seen from rows of the result before `end`.
  __device__ __forceinline__ int seen(const FilterTiles& a, int end) const {
    return min(min(end, row1) + a.reach(), a.height);
  }
};

// Rows of the image on their way from global memory to the ring.
template <typename T>
class RingRows {
 public:
  static constexpr int V = kFilterVector<T>;

  __device__ __forceinline__ RingRows(const FilterTiles& a, const T* in, T* ring,
                                      const FilterTile& tile)
      : a_(a), in_(in), ring_(ring), columns_(tile.right - tile.left) {
    misaligned_ = static_cast<int>(reinterpret_cast<uintptr_t>(in) / sizeof(T) % V);
    first_ = tile.plane * (int64_t{a.height} * a.width) + tile.left;
    row_ = threadIdx.x / a.vectors;
    vector_ = threadIdx.x - row_ * a.vectors;
  }

  // Element of the ring where the tile's first column of a row lies. Rows lie as they are aligned
  // in global memory, so that whole vectors are copied whatever the width.
  __device__ __forceinline__ int place(int row) const {
    return row % a_.ring_rows * a_.ring_pitch + shift(row);
  }

  // Starts to fetch the rows from begin to end - 1, as many as a thread can hold.
  __device__ __forceinline__ void fetch(int begin, int end) {
    int row = begin + row_, vector = vector_;
#pragma unroll
    for (int n = 0; n < kFilterFetched; ++n) {
      if (row < end) held_[n] = load(row, vector);
      advance(&row, &vector);
    }
  }
  // Puts them into the ring, and the rest of the rows as well.
  __device__ __forceinline__ void put(int begin, int end) {
    int row = begin + row_, vector = vector_;
#pragma unroll
    for (int n = 0; n < kFilterFetched; ++n) {
      if (row < end) store(row, vector, held_[n]);
      advance(&row, &vector);
    }
    while (row < end) {
      store(row, vector, load(row, vector));
      advance(&row, &vector);
    }
  }

 private:
  __device__ __forceinline__ int64_t element(int row) const {
    return first_ + int64_t{row} * a_.width;
  }
  __device__ __forceinline__ int shift(int row) const {
    return static_cast<int>((element(row) + misaligned_) & (V - 1));
  }
  __device__ __forceinline__ void advance(int* row, int* vector) const {
    *row += a_.vector_rows;
    *vector += a_.vector_step;
    if (*vector >= a_.vectors) {
      *vector -= a_.vectors;
      ++*row;
    }
  }
  __device__ __forceinline__ uint4 load(int row, int vector) const {
    uint4 words = {};
    const int skipped = shift(row);
    if (vector * V >= skipped + columns_) return words;
    const int64_t at = element(row) - skipped + vector * V;
    if (at >= 0 && at + V <= a_.elements) return *reinterpret_cast<const uint4*>(in_ + at);
    alignas(16) T few[V];
#pragma unroll
    for (int e = 0; e < V; ++e) {
      few[e] = at + e >= 0 && at + e < a_.elements ? in_[at + e] : store_value<T>(Compute<T>(0));
    }
    memcpy(&words, few, sizeof(words));
    return words;
  }
  __device__ __forceinline__ void store(int row, int vector, const uint4& words) const {
    store_shared(ring_ + row % a_.ring_rows * a_.ring_pitch + vector * V, words);
  }

  const FilterTiles& a_;
  const T* const in_;
  T* const ring_;
  const int columns_;
  int misaligned_, row_, vector_;
  int64_t first_;
  uint4 held_[kFilterFetched];
};

// An element as the transposed operator sees it. which == 0: in both orders alike, for filters that
// are symmetric; otherwise in that order only.
template <typename C>
__device__ __forceinline__ C in_order(C v, unsigned order, unsigned which) {
  if (which == 0) return order == kEnd ? v + v : v;
  return order & which ? v : C(0);
}

// Elements of one column, for add_filtered().
template <typename T, bool kTransposed>
struct ColumnSource {
  const T* column;  // of the ring's first row
  const unsigned* places;
  unsigned which;

  __device__ __forceinline__ void load(Compute<T> (&v)[4]) {
    const uint4 next = *reinterpret_cast<const uint4*>(places);
    places += 4;
    const unsigned place[4] = {next.x, next.y, next.z, next.w};
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const unsigned bytes = kTransposed ? place[e] & (kOrderUnit - 1) : place[e];
      v[e] = load_value(
          *reinterpret_cast<const T*>(reinterpret_cast<const unsigned char*>(column) + bytes));
      if (kTransposed) v[e] = in_order(v[e], place[e] / kOrderUnit, which);
    }
  }
};

// Elements of a row of sums. In the transposed operator, they are multiplied by two at the ends
// before, if filters are symmetric.
template <typename C, bool kTransposed>
struct RowSource {
  const C* sums;
  const uint8_t* orders;
  unsigned which;

  __device__ __forceinline__ void load(C (&v)[4]) {
    load_shared(sums, v);
    sums += 4;
    if (kTransposed && which != 0) {
#pragma unroll
      for (int e = 0; e < 4; ++e) v[e] = in_order(v[e], unsigned{orders[e]}, which);
      orders += 4;
    }
  }
};

}  // namespace device
}  // namespace pygan
