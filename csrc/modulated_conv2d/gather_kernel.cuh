// The kernel of gather_gemm.h: a block computes kRows x kPixels results of one phase and group.
#pragma once

#include <cstring>
#include <type_traits>

#include "common/device_epilogue.cuh"
#include "modulated_conv2d/gather_gemm.h"
#include "modulated_conv2d/gather_multiply.cuh"

namespace pygan {

constexpr int kMaxStages = 4;  // the loader runs so many chunks ahead, past the last tap too

struct PhaseGeometry {
  uint32_t area, width;  // pixels per sample, per row
  int32_t y0, x0;
  uint32_t first_tile;
  int32_t tap_begin, tap_end;
};

// All that the kernel knows besides pointers. Distances in staged operands are in bytes.
struct GatherGeometry {
  int64_t x_sample, x_row, x_column;  // from one output pixel to the next
  int64_t group_bytes, w_row, w_group;
  int32_t chunks;            // per tap
  int32_t chunks_per_split;  // of a phase's taps * chunks
  int64_t samples;
  uint32_t rows, staged_rows, row_tiles, groups;
  int64_t channels, plane, width;  // of the result
  int32_t out_stride_y, out_stride_x;
  int64_t part;  // elements from one split's result to the next's
  bool vector;   // pixels are stored 16 bytes at a time
  bool identity;
  int32_t phase_count;
  PhaseGeometry phases[kMaxPhases];
  // Where a tap's first chunk lies, and how far it is from its last chunk to the next tap's first.
  int64_t x_tap[kMaxTaps], w_tap[kMaxTaps];
  int64_t x_jump[kMaxTaps + kMaxStages], w_jump[kMaxTaps + kMaxStages];
};

// kWarpRows x kWarpColumns warps of Multiplier's tiles; kStages chunks under way.
template <typename M, int kWarpRows, int kWarpPixels, int kStageCount>
struct GatherTile {
  static_assert(kStageCount <= kMaxStages, "x_jump has room for no more");
  using Multiplier = M;
  static constexpr int kRows = kWarpRows * M::kRows;
  static constexpr int kPixels = kWarpPixels * M::kPixels;
  static constexpr int kWarpsAlongPixels = kWarpPixels;
  static constexpr int kThreads = 32 * kWarpRows * kWarpPixels;
  static constexpr int kStages = kStageCount;
  static constexpr bool kUnrolls = M::kRows * M::kPixels < 64 * 64;
  static constexpr int kStageBytes = (kRows + kPixels) * kChunkBytes;
  static constexpr int kResultBytes = 16 * M::kPixels * sizeof(typename M::Sum);  // per warp
  static constexpr int kSharedBytes = kStages * kStageBytes > kThreads / 32 * kResultBytes
                                          ? kStages * kStageBytes
                                          : kThreads / 32 * kResultBytes;
};

// Copies chunks of both operands into shared memory, in the order of taps and channels.
template <typename Tile>
struct ChunkLoader {
  static constexpr int kRowsPerRound = Tile::kThreads / 4;  // four threads copy one row
  static constexpr int kWeightCopies = Tile::kRows / kRowsPerRound;
  static constexpr int kPixelCopies = Tile::kPixels / kRowsPerRound;

  const char* w[kWeightCopies];
  const char* x[kPixelCopies];
  uint32_t to;  // shared address in slot 0
  int tap, left;

  __device__ ChunkLoader(const char* x_data, const char* w_data, const GatherGeometry& g,
                         const PhaseGeometry& phase, int64_t first_pixel, uint32_t first_row,
                         uint32_t group, int first_chunk, uint32_t shared)
      : to(shared + swizzled(threadIdx.x / 4, threadIdx.x % 4)),
        tap(phase.tap_begin + first_chunk / g.chunks),
        left(g.chunks - first_chunk % g.chunks) {
    const int offset = first_chunk % g.chunks * kChunkBytes + threadIdx.x % 4 * 16;
    const int row = threadIdx.x / 4;
    // Rows and pixels beyond the end repeat the last; nobody stores what comes of them.
    w_data += g.w_tap[tap] + group * g.w_group + offset;
#pragma unroll
    for (int k = 0; k < kWeightCopies; ++k) {
      w[k] = w_data + min(first_row + row + k * kRowsPerRound, g.staged_rows - 1) * g.w_row;
    }
    const int64_t sample = first_pixel / phase.area;
    const uint32_t pixel = static_cast<uint32_t>(first_pixel - sample * phase.area);
    const int last =
        static_cast<int>(min(int64_t{Tile::kPixels}, g.samples * phase.area - first_pixel) - 1);
    x_data += g.x_tap[tap] + group * g.group_bytes + offset;
#pragma unroll
    for (int k = 0; k < kPixelCopies; ++k) {
      const uint32_t at = pixel + min(row + k * kRowsPerRound, last);
      const uint32_t in_sample = at % phase.area;
      x[k] = x_data + (sample + at / phase.area) * g.x_sample + in_sample / phase.width * g.x_row +
             in_sample % phase.width * g.x_column;
    }
  }

  // Into the slot that lies kSlot + `slot` bytes on.
  template <int kSlot>
  __device__ __forceinline__ void copy(uint32_t slot) const {
    const uint32_t at = to + slot;
    unrolled<kWeightCopies>([&](auto index) {
      constexpr int k = decltype(index)::value;
      cp_async_16<kSlot + k * kRowsPerRound * kChunkBytes>(at, w[k]);
    });
    unrolled<kPixelCopies>([&](auto index) {
      constexpr int k = decltype(index)::value;
      cp_async_16<kSlot + (Tile::kRows + k * kRowsPerRound) * kChunkBytes>(at, x[k]);
    });
  }

  // On to the next chunk. The one after the last is never copied.
  __device__ __forceinline__ void advance(const GatherGeometry& g) {
    int64_t x_step = kChunkBytes, w_step = kChunkBytes;
    if (--left == 0) {
      left = g.chunks;
      x_step = g.x_jump[tap];
      w_step = g.w_jump[tap];
      ++tap;
    }
#pragma unroll
    for (auto& p : w) p += w_step;
#pragma unroll
    for (auto& p : x) p += x_step;
  }
};

// Stores the warp's 16 rows that lie in shared memory; kN pixels per thread at once.
template <typename T, typename C, int kPixels, int kN>
struct ResultStore {
  static constexpr int kLanesPerRow = kPixels / kN < 32 ? kPixels / kN : 32;
  static constexpr int kRowsAtOnce = 32 / kLanesPerRow;
  static constexpr int kColumns = kPixels / (kLanesPerRow * kN);

  // Each for row 0 of the group.
  T* to[kColumns];           // null: no such pixel
  const T* scale[kColumns];  // null: ones
  const T* bias;             // null: zeros
  C noise[kColumns][kN];     // times the strength

  __device__ ResultStore(T* y, const GatherGeometry& g, const PhaseGeometry& phase,
                         const EpilogueMath<T>& math, int64_t first_pixel, uint32_t group,
                         int lane) {
    const C strength = math.noise != nullptr ? math.strength() : C(0);
    const int64_t channel = int64_t{group} * g.rows;
    bias = math.bias != nullptr ? math.bias + channel : nullptr;
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const int64_t pixel = first_pixel + (c * kLanesPerRow + lane % kLanesPerRow) * kN;
      const int64_t sample = pixel / phase.area;
      const uint32_t in_sample = static_cast<uint32_t>(pixel - sample * phase.area);
      const int64_t i = phase.y0 + int64_t{in_sample / phase.width} * g.out_stride_y;
      const int64_t j = phase.x0 + int64_t{in_sample % phase.width} * g.out_stride_x;
      const int64_t in_plane = i * g.width + j;
      const int64_t first_channel = sample * g.channels + channel;
      const bool inside = sample < g.samples;
      to[c] = inside ? y + first_channel * g.plane + in_plane : nullptr;
      scale[c] = math.scale != nullptr ? math.scale + first_channel : nullptr;
#pragma unroll
      for (int k = 0; k < kN; ++k) {
        noise[c][k] = inside ? strength * math.noise_of(sample, in_plane + k, g.plane) : C(0);
      }
    }
  }

  __device__ __forceinline__ void store(const GatherGeometry& g, const EpilogueMath<T>& math,
                                        uint32_t first_row, const char* results, int lane) const {
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      if (to[c] == nullptr) continue;
      const int pixel = (c * kLanesPerRow + lane % kLanesPerRow) * kN;
      // Not unrolled: it is a small share of the time, and most of the code otherwise.
#pragma unroll 1
      for (int k = 0; k < 16; k += kRowsAtOnce) {
        const int r = k + lane / kLanesPerRow;
        const uint32_t row = first_row + r;
        if (row >= g.rows) break;
        C u[kN];
        read(u, results, r, pixel);
        if (!g.identity) {
          const C s = scale[c] != nullptr ? load_value(scale[c][row]) : C(1);
          const C b = bias != nullptr ? load_value(bias[row]) : C(0);
#pragma unroll
          for (int i = 0; i < kN; ++i) u[i] = math(u[i], s, noise[c][i] + b);
        }
        put(to[c] + row * g.plane, u);
      }
    }
  }

  __device__ __forceinline__ static void put(T* at, const C (&u)[kN]) {
    if constexpr (kN == 1) {
      *at = store_value<T>(u[0]);
    } else {
      Pack<T, kN> pack;
#pragma unroll
      for (int k = 0; k < kN; ++k) pack.v[k] = store_value<T>(u[k]);
      uint4 word;
      static_assert(sizeof(word) == sizeof(pack), "16 bytes");
      memcpy(&word, &pack, sizeof(word));
      __stcg(reinterpret_cast<uint4*>(at), word);
    }
  }

  __device__ __forceinline__ static void read(C (&u)[kN], const char* results, int row, int pixel) {
    constexpr int kPerPiece = 16 / sizeof(C);
    if constexpr (kN == 1) {
      u[0] = *reinterpret_cast<const C*>(results + result_slot<C, kPixels>(row, pixel));
    } else {
#pragma unroll
      for (int piece = 0; piece < kN / kPerPiece; ++piece) {
        C part[kPerPiece];
        load_piece(part, results + result_slot<C, kPixels>(row, pixel + piece * kPerPiece));
#pragma unroll
        for (int k = 0; k < kPerPiece; ++k) u[piece * kPerPiece + k] = part[k];
      }
    }
  }
};

template <typename Tile, typename T>
__device__ __forceinline__ void gather_block(T* y, const char* x, const char* w,
                                             const GatherGeometry& g, const EpilogueMath<T>& math) {
  using M = typename Tile::Multiplier;
  using C = typename M::Sum;
  extern __shared__ uint4 shared_memory[];
  char* shared = reinterpret_cast<char*>(shared_memory);

  // Neighbouring blocks read the same pixels.
  uint32_t block = blockIdx.x;
  const uint32_t first_row = block % g.row_tiles * Tile::kRows;
  block /= g.row_tiles;
  const uint32_t group = block % g.groups;
  block /= g.groups;
  int p = 0;
  while (p + 1 < g.phase_count && block >= g.phases[p + 1].first_tile) ++p;
  const PhaseGeometry phase = g.phases[p];
  const int64_t first_pixel = int64_t{block - phase.first_tile} * Tile::kPixels;

  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int warp_row = warp / Tile::kWarpsAlongPixels * M::kRows;
  const int warp_pixel = warp % Tile::kWarpsAlongPixels * M::kPixels;

  const int first_chunk = blockIdx.y * g.chunks_per_split;
  const int chunks =
      min((phase.tap_end - phase.tap_begin) * g.chunks - first_chunk, g.chunks_per_split);

  const auto base = [&](int row) {
    if constexpr (M::kFragments) {
      return shared_address(shared) + row * kChunkBytes;
    } else {
      return static_cast<const char*>(shared) + row * kChunkBytes;
    }
  };
  M sums(base(warp_row), base(Tile::kRows + warp_pixel), lane);

  if (chunks > 0) {
    constexpr uint32_t kEnd = Tile::kStages * Tile::kStageBytes;
    ChunkLoader<Tile> loader(x, w, g, phase, first_pixel, first_row, group, first_chunk,
                             shared_address(shared));
#pragma unroll
    for (int k = 0; k < Tile::kStages - 1; ++k) {
      if (k < chunks) loader.template copy<0>(k * Tile::kStageBytes);
      loader.advance(g);
      cp_async_commit();
    }
    uint32_t fill = kEnd - Tile::kStageBytes, slot = 0;  // copied into, and multiplied
    const auto next = [&](uint32_t at) {
      return at + Tile::kStageBytes == kEnd ? 0 : at + Tile::kStageBytes;
    };
    const auto copy_next = [&] {
      loader.template copy<0>(fill);
      loader.advance(g);
      fill = next(fill);
    };
    const int last_copy = chunks - (Tile::kStages - 1);  // from here on all copies are under way
    if constexpr (M::kFragments) {
      // Fragments are loaded one step ahead of their products, across chunks too.
      typename M::Fragments even, odd;
      cp_async_wait<Tile::kStages - 2>();
      __syncthreads();
      sums.template load<0>(even, 0, 0);
      int k = 0;
      if constexpr (Tile::kUnrolls) {
#pragma unroll 1
        for (; k + Tile::kStages <= last_copy; k += Tile::kStages) {
          // A round through the slots, so that their places are constants: where a chunk is few
          // products, finding the next slot would be a fair part of the work.
          unrolled<Tile::kStages>([&](auto index) {
            constexpr int s = decltype(index)::value, kCount = Tile::kStages;
            sums.template load<s * Tile::kStageBytes>(odd, 0, 1);
            loader.template copy<(s + kCount - 1) % kCount * Tile::kStageBytes>(0);
            loader.advance(g);
            cp_async_commit();
            sums.multiply(even);
            // All warps have loaded what they need of this slot; the next one has arrived.
            cp_async_wait<Tile::kStages - 2>();
            __syncthreads();
            sums.template load<(s + 1) % kCount * Tile::kStageBytes>(even, 0, 0);
            sums.multiply(odd);
          });
        }
      }
#pragma unroll 1
      for (; k < chunks; ++k) {
        sums.template load<0>(odd, slot, 1);
        if (k < last_copy) copy_next();
        cp_async_commit();
        sums.multiply(even);
        cp_async_wait<Tile::kStages - 2>();
        __syncthreads();
        if (k + 1 < chunks) slot = next(slot);
        sums.template load<0>(even, slot, 0);
        sums.multiply(odd);
      }
    } else {
#pragma unroll 1
      for (int k = 0; k < chunks; ++k) {
        cp_async_wait<Tile::kStages - 2>();
        __syncthreads();
        if (k < last_copy) copy_next();
        cp_async_commit();
        sums.multiply_chunk(slot, lane);
        slot = next(slot);
      }
    }
    cp_async_wait<0>();
    __syncthreads();  // shared memory is free for results
  }

  // Each warp by itself: its sums, 16 rows at a time, from the order of fragments to that of y.
  y += blockIdx.y * g.part;
  char* results = shared + warp * Tile::kResultBytes;
  const auto store = [&](auto count) {
    constexpr int kN = decltype(count)::value;
    const ResultStore<T, C, M::kPixels, kN> out(y, g, phase, math, first_pixel + warp_pixel, group,
                                                lane);
#pragma unroll
    for (int pass = 0; pass < M::kRows / 16; ++pass) {
      __syncwarp();
      sums.write(results, pass, lane);
      __syncwarp();
      out.store(g, math, first_row + warp_row + pass * 16, results, lane);
    }
  };
  if (g.vector) {
    store(std::integral_constant<int, 16 / sizeof(T)>{});
  } else {
    store(std::integral_constant<int, 1>{});
  }
}

// Empty where the multiplier's instructions do not exist: never launched there.
template <typename Tile, typename T>
__global__ void __launch_bounds__(Tile::kThreads)
    gather_kernel(T* y, const char* x, const char* w, const __grid_constant__ GatherGeometry g,
                  const EpilogueMath<T> math) {
#ifdef __CUDA_ARCH__
  if constexpr (__CUDA_ARCH__ >= Tile::Multiplier::kMinArch) {
    gather_block<Tile, T>(y, x, w, g, math);
  }
#endif
}

}  // namespace pygan
