// Tiles of the gather kernel and how it is launched; between gather_gemm.cu, which plans, and the
// two files that hold its instantiations.
#pragma once

#include "modulated_conv2d/gather_kernel.cuh"

namespace pygan {

// A tile, and roughly the processor's clock cycles per chunk: what it multiplies at full rate,
// divided by the share of that rate that its traffic to and from shared memory leaves.
struct TileShape {
  int rows, pixels;
  double cycles;
};

struct GatherLaunch {
  GatherGeometry geometry;
  Storage storage;  // of y and the epilogue's operands
  Product product;
  int tile;  // index into the table
  unsigned blocks, splits;
  void* y;
  const void* x;
  const void* w;
  DeviceEpilogue epilogue;
};

constexpr int kTensorTiles = 3, kExactTiles = 2;
// 64-byte chunks at 1024 (halves) or 512 (tf32) multiply-adds per cycle: 512 cycles for 128 x 128.
constexpr TileShape kTensorTile[kTensorTiles] = {{128, 128, 512}, {64, 128, 290}, {64, 64, 180}};
// 16 floats or 8 doubles per chunk.
constexpr TileShape kFloatTile[kExactTiles] = {{64, 128, 1200}, {64, 64, 700}};
constexpr TileShape kDoubleTile[kExactTiles] = {{64, 64, 700}, {64, 64, 700}};

void launch_gather_tensor(const GatherLaunch& launch, const CudaContext& context);
void launch_gather_exact(const GatherLaunch& launch, const CudaContext& context);

template <typename Tile, typename T>
void launch_gather(const GatherLaunch& launch, const CudaContext& context) {
  const auto kernel = gather_kernel<Tile, T>;
  allow_shared_memory(kernel, Tile::kSharedBytes, "gather_gemm");
  kernel<<<dim3(launch.blocks, launch.splits), Tile::kThreads, Tile::kSharedBytes,
           stream_of(context)>>>(static_cast<T*>(launch.y), static_cast<const char*>(launch.x),
                                 static_cast<const char*>(launch.w), launch.geometry,
                                 EpilogueMath<T>(launch.epilogue));
  check_launch("gather_gemm");
}

}  // namespace pygan
