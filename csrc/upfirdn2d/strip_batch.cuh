// The input rows of strip.cuh's kernels on their way from global to shared memory, whatever the
// width of the image and wherever its rows start.
#pragma once

#include <climits>

#include "upfirdn2d/strip_args.cuh"

namespace pygan {
namespace device {

constexpr int kStripPacks = 4;  // vectors of a batch that a thread may fetch

// Elements of a vector: 16 bytes of shared memory. Rows are fetched from the 32-byte sector of
// global memory on in which they start, so that no sector is asked for twice.
template <typename T>
constexpr int kStripVector = 16 / static_cast<int>(sizeof(Compute<T>));
template <typename T>
constexpr int kSector = 32 / static_cast<int>(sizeof(T));

__device__ __forceinline__ void store_shared(float* p, const float (&v)[4]) {
  asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_shared(p)),
               "f"(v[0]), "f"(v[1]), "f"(v[2]), "f"(v[3])
               : "memory");
}
__device__ __forceinline__ void store_shared(float* p, const float (&v)[2]) {
  asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"l"(__cvta_generic_to_shared(p)), "f"(v[0]),
               "f"(v[1])
               : "memory");
}
__device__ __forceinline__ void store_shared(double* p, const double (&v)[2]) {
  asm volatile("st.shared.v2.f64 [%0], {%1, %2};" ::"l"(__cvta_generic_to_shared(p)), "d"(v[0]),
               "d"(v[1])
               : "memory");
}
__device__ __forceinline__ void store_shared(double* p, const double (&v)[1]) { *p = v[0]; }

// The vectors of a batch of input rows, between global and shared memory. The threads that compute
// on a plane fetch its rows, `group` of them each.
template <typename T, int kDown>
class StripBatch {
 public:
  using C = Compute<T>;
  static constexpr int V = kStripVector<T>;

  // Rows first, ..., end - 1, from `column` on.
  __device__ __forceinline__ StripBatch(const StripArgs<T>& a, int64_t plane, int first, int end,
                                        int column)
      : a_(a),
        plane_(a.x + plane * a.rows.in * a.columns.in + column),
        end_(plane < a.planes ? min(end, a.rows.in) : INT_MIN),
        column_(column) {
    const uint32_t p = static_cast<uint32_t>(plane), h = a.rows.in, w = a.columns.in;
    offset_ = a.misaligned + p * h * w + column;
    const int row = threadIdx.x / a.group;
    lane_ = threadIdx.x - row * a.group;
    row_ = first + row;
    shared_ = threadIdx.y * a.plane_pitch + row * a.pitch;
  }

  // Where in its row in shared memory the first input of a row lies.
  __device__ __forceinline__ int offset(int row) const {
    return static_cast<int>((offset_ + row * static_cast<uint32_t>(a_.columns.in)) &
                            (kSector<T> - 1));
  }

  __device__ __forceinline__ void fetch(int batch) {
    const int row = row_ + (batch << a_.batch_rows_log2);
    const bool inside = row >= 0 && row < end_;
    const int width = inside ? a_.columns.in : 0;
    const int shift = offset(row);
    const T* const from = plane_ + int64_t{row} * a_.columns.in - shift;
    for_each([&](int k, int v) {
      const int first = column_ - shift + v * V;
      packs_[k] = Pack<T, V>{};
      if (first >= 0 && first + V <= width) {
        packs_[k] = *reinterpret_cast<const Pack<T, V>*>(from + v * V);
      } else if (first + V > 0 && first < width) {
#pragma unroll
        for (int j = 0; j < V; ++j) {
          if (first + j >= 0 && first + j < width) packs_[k].v[j] = from[v * V + j];
        }
      }
    });
  }

  __device__ __forceinline__ void put(C* shared) const {
    C* const to = shared + shared_;
    for_each([&](int k, int v) {
      if constexpr (kDown == 1) {
        C values[V];
#pragma unroll
        for (int j = 0; j < V; ++j) values[j] = load_value(packs_[k].v[j]);
        store_shared(to + v * V, values);
      } else {
        C even[V / 2], odd[V / 2];
#pragma unroll
        for (int j = 0; j < V / 2; ++j) {
          even[j] = load_value(packs_[k].v[2 * j]);
          odd[j] = load_value(packs_[k].v[2 * j + 1]);
        }
        store_shared(to + v * (V / 2), even);
        store_shared(to + a_.pitch / 2 + v * (V / 2), odd);
      }
    });
  }

 private:
  // body(slot, vector of the row)
  template <typename Body>
  __device__ __forceinline__ void for_each(Body&& body) const {
#pragma unroll
    for (int k = 0; k < kStripPacks; ++k) {
      const int v = lane_ + k * a_.group;
      if (v >= a_.row_vectors) break;
      body(k, v);
    }
  }

  const StripArgs<T>& a_;
  const T* const plane_;
  const int end_, column_;
  uint32_t offset_;
  int lane_, row_, shared_;
  Pack<T, V> packs_[kStripPacks];
};

}  // namespace device
}  // namespace pygan
