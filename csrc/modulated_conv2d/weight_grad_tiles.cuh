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
template <Product kProduct, typename TileType>
class HalfMultiplier {
 public:
  using Tile = TileType;
  static constexpr int kMinArch = kProduct == Product::float16 ? 750 : 800;
  using Sum = float;

  __device__ __forceinline__ explicit HalfMultiplier(const char* shared) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    row_ = warp / 4 * 64;
    column_ = warp % 4 * 16;
    const uint32_t base = shared_address(shared);
    rows_at_ = base + (lane % 8 + lane / 16 * 8) * Tile::kRowPitch + (row_ + lane / 8 % 2 * 8) * 2;
    columns_at_ =
        base + Tile::kRowBytes + (lane % 16) * Tile::kColumnPitch + (column_ + lane / 16 * 8) * 2;
  }

  __device__ __forceinline__ void multiply(int stage) {
    const uint32_t a_at = rows_at_ + stage, b_at = columns_at_ + stage;
#pragma unroll
    for (int k = 0; k < Tile::kPixels; k += 16) {
      uint32_t a[4][4];
#pragma unroll
      for (int m = 0; m < 4; ++m) {
        ldmatrix_x4_transposed(a[m], a_at + k * Tile::kRowPitch + m * 32);
      }
#pragma unroll
      for (int u = 0; u < Tile::kUnits; ++u) {
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
  float sum_[Tile::kUnits][4][2][4] = {};
  int row_, column_;
  uint32_t rows_at_, columns_at_;
};

// There is no ldmatrix that transposes floats, and none is needed: which channel is which row of
// the instruction's matrices is free. The two rows that a thread holds of each matrix, eight apart,
// are neighbouring channels, which it reads at once and into neighbouring registers.
template <typename TileType>
class Tf32Multiplier {
 public:
  using Tile = TileType;
  using Sum = float;
  static constexpr int kMinArch = 800;

  __device__ __forceinline__ explicit Tf32Multiplier(const char* shared) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    row_ = warp / 4 * 64;
    column_ = warp % 4 * 16;
    rows_at_ = shared + lane % 4 * Tile::kRowPitch + (row_ + lane / 4 * 2) * 4;
    columns_at_ =
        shared + Tile::kRowBytes + lane % 4 * Tile::kColumnPitch + (column_ + lane / 4) * 4;
  }

  __device__ __forceinline__ void multiply(int stage) {
    const char* rows = rows_at_ + stage;
    const char* columns = columns_at_ + stage;
#pragma unroll
    for (int k = 0; k < Tile::kPixels; k += 8) {
      uint32_t a[4][4];
#pragma unroll
      for (int m = 0; m < 4; ++m) {
#pragma unroll
        for (int later = 0; later < 2; ++later) {  // four pixels
          const uint2 v = *reinterpret_cast<const uint2*>(rows + (k + later * 4) * Tile::kRowPitch +
                                                          m * 16 * 4);
          a[m][later * 2] = v.x;
          a[m][later * 2 + 1] = v.y;
        }
      }
#pragma unroll
      for (int u = 0; u < Tile::kUnits; ++u) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const char* at = columns + k * Tile::kColumnPitch + u * Tile::kUnitStride + e * 8 * 4;
          const uint32_t b0 = *reinterpret_cast<const uint32_t*>(at);
          const uint32_t b1 = *reinterpret_cast<const uint32_t*>(at + 4 * Tile::kColumnPitch);
#pragma unroll
          for (int m = 0; m < 4; ++m) mma_step<Product::tf32>(sum_[u][m][e], a[m], b0, b1);
        }
      }
    }
  }

  __device__ __forceinline__ void store(float* to, int64_t pitch, int unit) const {
    const int lane = threadIdx.x % 32;
    to += (row_ + lane / 4 * 2) * pitch + column_ + lane % 4 * 2;
#pragma unroll
    for (int m = 0; m < 4; ++m) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        float* line = to + (m * 16 + h) * pitch;
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const float* v = sum_[unit][m][e] + 2 * h;
          *reinterpret_cast<float2*>(line + e * 8) = make_float2(v[0], v[1]);
        }
      }
    }
  }

 private:
  float sum_[Tile::kUnits][4][2][4] = {};
  int row_, column_;
  const char* rows_at_;
  const char* columns_at_;
};

// Outer products: a thread owns 8 rows and, in every unit, 4 columns, as vectors of 16 bytes.
template <typename TileType>
class ExactMultiplier {
 public:
  using Tile = TileType;
  using Sum = typename Tile::Element;
  static constexpr int kMinArch = 0;

  __device__ __forceinline__ explicit ExactMultiplier(const char* shared)
      : row_(threadIdx.x / 16 * kVector),
        column_(threadIdx.x % 16 * kVector),
        rows_at_(shared + row_ * sizeof(C)),
        columns_at_(shared + Tile::kRowBytes + column_ * sizeof(C)) {}

  __device__ __forceinline__ void multiply(int stage) {
    const char* rows = rows_at_ + stage;
    const char* columns = columns_at_ + stage;
#pragma unroll 4
    for (int k = 0; k < Tile::kPixels; ++k) {
      Vector a[8 / kVector];
#pragma unroll
      for (int v = 0; v < 8 / kVector; ++v) {
        a[v] =
            *reinterpret_cast<const Vector*>(rows + k * Tile::kRowPitch + v * kRowStep * sizeof(C));
      }
#pragma unroll
      for (int u = 0; u < Tile::kUnits; ++u) {
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

  __device__ __forceinline__ void store(Sum* to, int64_t pitch, int unit) const {
    to += row_ * pitch + column_;
#pragma unroll
    for (int row = 0; row < 8; ++row) {
      Sum* line = to + (row / kVector * kRowStep + row % kVector) * pitch;
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
  using C = Sum;
  static constexpr int kVector = 16 / sizeof(C);
  using Vector = Pack<C, kVector>;
  static constexpr int kRowStep = Tile::kRows / 8 * kVector;  // between a thread's vectors
  static constexpr int kColumnStep = 16 * kVector;
  C sum_[Tile::kUnits][8][4] = {};
  int row_, column_;
  const char* rows_at_;
  const char* columns_at_;
};

}  // namespace pygan
