// One warp's share of a product tile: operands from shared memory, sums in registers.
//
// In shared memory both operands are rows (output channels, or pixels) of 64 bytes of channels: one
// chunk. The 16-byte piece q of row r lies at 64 * r + 16 * (q ^ (r / 2 % 4)): eight rows at one q,
// which is what ldmatrix reads, and two whole rows, which is what eight threads copy, each touch
// all 32 banks once.
#pragma once

#include "common/cuda_launch.cuh"
#include "modulated_conv2d/mma.cuh"

namespace pygan {

constexpr int kChunkBytes = 64;

__device__ __forceinline__ int swizzled(int row, int piece) {
  return row * kChunkBytes + ((piece ^ ((row >> 1) & 3)) << 4);
}

// Sums on their way out, 16 rows of kPixels at a time: where 16-byte piece `piece` of row r lies,
// in bytes, so that neither the fragments' writes nor the reads along rows conflict.
template <typename C, int kPixels>
__device__ __forceinline__ int result_slot(int row, int pixel) {
  constexpr int kPerPiece = 16 / sizeof(C);
  const int piece = pixel / kPerPiece;
  const int swizzle =
      sizeof(C) == 8 ? (row & 1) << 2 : (((row & 3) << 1) ^ (row & 1) ^ ((piece >> 3) & 1));
  return (row * (kPixels / kPerPiece) + (piece ^ swizzle)) * 16 +
         pixel % kPerPiece * static_cast<int>(sizeof(C));
}

// Tensor cores. A warp's tile is kTileRows x kTilePixels.
template <Product kProduct, int kTileRows, int kTilePixels>
struct TensorMultiplier {
  using Sum = float;
  static constexpr int kRows = kTileRows, kPixels = kTilePixels;
  static constexpr int kSteps = 2;  // of 32 bytes per chunk
  static constexpr bool kFragments = true;
  static constexpr int kMinArch = kProduct == Product::float16 ? 750 : 800;

  struct Fragments {
    uint32_t a[kRows / 16][4];
    uint32_t b[kPixels / 16][4];
  };

  float sums[kRows / 16][kPixels / 8][4];
  uint32_t a_at[kSteps], b_at[kSteps];  // shared addresses for slot 0

  __device__ TensorMultiplier(uint32_t a_base, uint32_t b_base, int lane) {
#pragma unroll
    for (auto& block : sums) {
#pragma unroll
      for (auto& tile : block) {
#pragma unroll
        for (float& v : tile) v = 0.f;
      }
    }
    // The row whose address this lane gives to ldmatrix; see mma.cuh for the order of matrices.
    const int matrix = lane / 8, r = lane % 8;
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      a_at[step] = a_base + swizzled((matrix & 1) * 8 + r, step * 2 + (matrix >> 1));
      b_at[step] = b_base + swizzled((matrix >> 1) * 8 + r, step * 2 + (matrix & 1));
    }
  }

  // From the slot that lies kSlot + `slot` bytes on.
  template <int kSlot>
  __device__ __forceinline__ void load(Fragments& f, uint32_t slot, int step) const {
    const uint32_t a = a_at[step] + slot, b = b_at[step] + slot;
    unrolled<kRows / 16>([&](auto index) {
      constexpr int i = decltype(index)::value;
      ldmatrix_x4<kSlot + i * 16 * kChunkBytes>(f.a[i], a);
    });
    unrolled<kPixels / 16>([&](auto index) {
      constexpr int j = decltype(index)::value;
      ldmatrix_x4<kSlot + j * 16 * kChunkBytes>(f.b[j], b);
    });
  }

  __device__ __forceinline__ void multiply(const Fragments& f) {
#pragma unroll
    for (int i = 0; i < kRows / 16; ++i) {
#pragma unroll
      for (int j = 0; j < kPixels / 8; ++j) {
        mma_step<kProduct>(sums[i][j], f.a[i], f.b[j / 2][j % 2 * 2], f.b[j / 2][j % 2 * 2 + 1]);
      }
    }
  }

  // Writes rows [16 * pass, + 16) to shared memory.
  __device__ __forceinline__ void write(char* out, int pass, int lane) const {
#pragma unroll
    for (int j = 0; j < kPixels / 8; ++j) {
      const int pixel = j * 8 + lane % 4 * 2;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        *reinterpret_cast<float2*>(out + result_slot<float, kPixels>(lane / 4 + 8 * half, pixel)) =
            make_float2(sums[pass][j][2 * half], sums[pass][j][2 * half + 1]);
      }
    }
  }
};

__device__ __forceinline__ void load_piece(float (&v)[4], const char* at) {
  const float4 p = *reinterpret_cast<const float4*>(at);
  v[0] = p.x, v[1] = p.y, v[2] = p.z, v[3] = p.w;
}
__device__ __forceinline__ void load_piece(double (&v)[2], const char* at) {
  const double2 p = *reinterpret_cast<const double2*>(at);
  v[0] = p.x, v[1] = p.y;
}

// Fused multiply-adds in the compute type. The warp's lanes form 4 rows x 8 pixels and each sums
// kThreadRows x kThreadPixels results, 4 and 8 apart.
template <typename C, int kThreadRows, int kThreadPixels>
struct ScalarMultiplier {
  using Sum = C;
  static constexpr int kRows = 4 * kThreadRows, kPixels = 8 * kThreadPixels;
  static constexpr bool kFragments = false;
  static constexpr int kMinArch = 0;
  static constexpr int kPerPiece = 16 / sizeof(C);

  C sums[kThreadRows][kThreadPixels];
  const char* a_at;
  const char* b_at;

  __device__ ScalarMultiplier(const char* a_base, const char* b_base, int lane)
      : a_at(a_base + swizzled(lane / 8, 0)), b_at(b_base + swizzled(lane % 8, 0)) {
#pragma unroll
    for (auto& row : sums) {
#pragma unroll
      for (C& v : row) v = C(0);
    }
  }

  __device__ __forceinline__ void multiply_chunk(uint32_t slot, int lane) {
    // Bits 4 and 5 of an address hold the piece, exchanged by the row: swizzled().
    const int a_swizzle = ((lane / 8) >> 1) & 3, b_swizzle = ((lane % 8) >> 1) & 3;
    // Not unrolled: the compiler would load several pieces ahead and run out of registers.
#pragma unroll 1
    for (int piece = 0; piece < 4; ++piece) {
      const char* a = a_at + slot + (((piece ^ a_swizzle) - a_swizzle) << 4);
      // Rows 4, 12, ... further on are exchanged by another two pieces.
      const char* a_odd = a_at + slot + (((piece ^ 2 ^ a_swizzle) - a_swizzle) << 4);
      const char* b = b_at + slot + (((piece ^ b_swizzle) - b_swizzle) << 4);
      C rows[kThreadRows][kPerPiece];
#pragma unroll
      for (int i = 0; i < kThreadRows; ++i) {
        load_piece(rows[i], (i % 2 ? a_odd : a) + i * 4 * kChunkBytes);
      }
#pragma unroll
      for (int j = 0; j < kThreadPixels; ++j) {
        C pixel[kPerPiece];
        load_piece(pixel, b + j * 8 * kChunkBytes);
#pragma unroll
        for (int k = 0; k < kPerPiece; ++k) {
#pragma unroll
          for (int i = 0; i < kThreadRows; ++i) sums[i][j] += rows[i][k] * pixel[k];
        }
      }
    }
  }

  __device__ __forceinline__ void write(char* out, int pass, int lane) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int j = 0; j < kThreadPixels; ++j) {
        *reinterpret_cast<C*>(out + result_slot<C, kPixels>(lane / 8 + 4 * i, lane % 8 + 8 * j)) =
            sums[pass * 4 + i][j];
      }
    }
  }
};

}  // namespace pygan
