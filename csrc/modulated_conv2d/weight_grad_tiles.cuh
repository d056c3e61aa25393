// What a block of weight_grad.cuh does with a stage of pixels in shared memory: three multipliers,
// for halves and tf32 on tensor cores and for floats and doubles without.
//
// On tensor cores a warp owns 64 rows and, in every unit, 16 columns; a block has kRows / 64 warps
// along the rows and four along the columns.
#pragma once

#include "modulated_conv2d/staging.cuh"
#include "modulated_conv2d/weight_grad.cuh"

namespace pygan {

// Both operands lie transposed (pixels, which are summed over, are the slow axis), which ldmatrix
// turns round on the way.
template <Product kProduct, int kRows, int kUnits, bool kKernelRow>
class HalfMultiplier {
 public:
  using Tile = GradTile<uint16_t, kRows, kUnits, kKernelRow>;
  using Sum = float;

  __device__ __forceinline__ HalfMultiplier() {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    row_ = warp / 4 * 64;
    column_ = warp % 4 * 16;
    rows_at_ = (lane % 8 + lane / 16 * 8) * Tile::kRowPitch + (row_ + lane / 8 % 2 * 8) * 2;
    columns_at_ = (lane % 16) * Tile::kColumnPitch + (column_ + lane / 16 * 8) * 2;
  }

  __device__ __forceinline__ void multiply(const char* rows, const char* columns) {
    const uint32_t a_at = shared_address(rows) + rows_at_;
    const uint32_t b_at = shared_address(columns) + columns_at_;
#pragma unroll
    for (int k = 0; k < Tile::kPixels; k += 16) {
      uint32_t a[4][4];
#pragma unroll
      for (int m = 0; m < 4; ++m) {
        ldmatrix_x4_transposed(a[m], a_at + k * Tile::kRowPitch + m * 32);
      }
#pragma unroll
      for (int u = 0; u < kUnits; ++u) {
        uint32_t b[4];
        ldmatrix_x4_transposed(b, b_at + k * Tile::kColumnPitch + u * Tile::kUnitStride);
#pragma unroll
        for (int m = 0; m < 4; ++m) {
          mma_step<kProduct>(sum_[u][m][0], a[m], b[0], b[1]);
          mma_step<kProduct>(sum_[u][m][1], a[m], b[2], b[3]);
        }
      }
    }
  }

  __device__ __forceinline__ void store(float* to, int64_t pitch, int unit) const {
    const int lane = threadIdx.x % 32;
    to += (row_ + lane / 4) * pitch + column_ + lane % 4 * 2;
#pragma unroll
    for (int m = 0; m < 4; ++m) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        float* line = to + (m * 16 + h * 8) * pitch;
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const float* v = sum_[unit][m][e] + 2 * h;
          *reinterpret_cast<float2*>(line + e * 8) = make_float2(v[0], v[1]);
        }
      }
    }
  }

 private:
  float sum_[kUnits][4][2][4] = {};
  int row_, column_;
  uint32_t rows_at_, columns_at_;
};

// There is no ldmatrix that transposes floats, and none is needed: which channel is which row of
// the instruction's matrices is free. A thread takes four neighbouring channels (of rows; two of
// columns) from a line at once and makes each a row of another matrix.
template <int kRows, int kUnits, bool kKernelRow>
class Tf32Multiplier {
 public:
  using Tile = GradTile<float, kRows, kUnits, kKernelRow>;
  using Sum = float;

  __device__ __forceinline__ Tf32Multiplier() {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    row_ = warp / 4 * 64;
    column_ = warp % 4 * 16;
    rows_at_ = lane % 4 * Tile::kRowPitch + (row_ + lane / 4 * 4) * 4;
    columns_at_ = lane % 4 * Tile::kColumnPitch + (column_ + lane / 4 * 2) * 4;
  }

  __device__ __forceinline__ void multiply(const char* rows, const char* columns) {
    rows += rows_at_;
    columns += columns_at_;
#pragma unroll
    for (int k = 0; k < Tile::kPixels; k += 8) {
      uint32_t a[4][4];
#pragma unroll
      for (int half = 0; half < 2; ++half) {  // of the channels
#pragma unroll
        for (int later = 0; later < 2; ++later) {  // four pixels
          const uint4 v = *reinterpret_cast<const uint4*>(rows + (k + later * 4) * Tile::kRowPitch +
                                                          half * 32 * 4);
          a[half * 2][later * 2] = v.x;
          a[half * 2][later * 2 + 1] = v.y;
          a[half * 2 + 1][later * 2] = v.z;
          a[half * 2 + 1][later * 2 + 1] = v.w;
        }
      }
#pragma unroll
      for (int u = 0; u < kUnits; ++u) {
        const char* at = columns + k * Tile::kColumnPitch + u * Tile::kUnitStride;
        const uint2 b0 = *reinterpret_cast<const uint2*>(at);
        const uint2 b1 = *reinterpret_cast<const uint2*>(at + 4 * Tile::kColumnPitch);
#pragma unroll
        for (int m = 0; m < 4; ++m) {
          mma_step<Product::tf32>(sum_[u][m][0], a[m], b0.x, b1.x);
          mma_step<Product::tf32>(sum_[u][m][1], a[m], b0.y, b1.y);
        }
      }
    }
  }

  __device__ __forceinline__ void store(float* to, int64_t pitch, int unit) const {
    const int lane = threadIdx.x % 32;
    to += (row_ + lane / 4 * 4) * pitch + column_ + lane % 4 * 4;
#pragma unroll
    for (int m = 0; m < 4; ++m) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const float* v0 = sum_[unit][m][0] + 2 * h;
        const float* v1 = sum_[unit][m][1] + 2 * h;
        *reinterpret_cast<float4*>(to + (m / 2 * 32 + m % 2 * 2 + h) * pitch) =
            make_float4(v0[0], v1[0], v0[1], v1[1]);
      }
    }
  }

 private:
  float sum_[kUnits][4][2][4] = {};
  int row_, column_, rows_at_, columns_at_;
};

// Outer products: a thread owns 8 rows and, in every unit, 4 columns, as vectors of 16 bytes.
template <typename C, int kRows, int kUnits, bool kKernelRow>
class ExactMultiplier {
  static constexpr int kVector = 16 / sizeof(C);
  using Vector = Pack<C, kVector>;

 public:
  using Tile = GradTile<C, kRows, kUnits, kKernelRow>;
  using Sum = C;

  __device__ __forceinline__ ExactMultiplier()
      : row_(threadIdx.x / 16 * kVector), column_(threadIdx.x % 16 * kVector) {}

  __device__ __forceinline__ void multiply(const char* rows, const char* columns) {
    rows += row_ * sizeof(C);
    columns += column_ * sizeof(C);
#pragma unroll 4
    for (int k = 0; k < Tile::kPixels; ++k) {
      Vector a[8 / kVector];
#pragma unroll
      for (int v = 0; v < 8 / kVector; ++v) {
        a[v] =
            *reinterpret_cast<const Vector*>(rows + k * Tile::kRowPitch + v * kRowStep * sizeof(C));
      }
#pragma unroll
      for (int u = 0; u < kUnits; ++u) {
#pragma unroll
        for (int w = 0; w < 4 / kVector; ++w) {
          const Vector b =
              *reinterpret_cast<const Vector*>(columns + k * Tile::kColumnPitch +
                                               u * Tile::kUnitStride + w * kColumnStep * sizeof(C));
#pragma unroll
          for (int row = 0; row < 8; ++row) {
#pragma unroll
            for (int e = 0; e < kVector; ++e) {
              sum_[u][row][w * kVector + e] += a[row / kVector].v[row % kVector] * b.v[e];
            }
          }
        }
      }
    }
  }

  __device__ __forceinline__ void store(C* to, int64_t pitch, int unit) const {
    to += row_ * pitch + column_;
#pragma unroll
    for (int row = 0; row < 8; ++row) {
      C* line = to + (row / kVector * kRowStep + row % kVector) * pitch;
#pragma unroll
      for (int w = 0; w < 4 / kVector; ++w) {
        Vector v;
#pragma unroll
        for (int e = 0; e < kVector; ++e) v.v[e] = sum_[unit][row][w * kVector + e];
        *reinterpret_cast<Vector*>(line + w * kColumnStep) = v;
      }
    }
  }

 private:
  static constexpr int kRowStep = kRows / 8 * kVector;  // between a thread's vectors
  static constexpr int kColumnStep = 16 * kVector;
  C sum_[kUnits][8][4] = {};
  int row_, column_;
};

}  // namespace pygan
