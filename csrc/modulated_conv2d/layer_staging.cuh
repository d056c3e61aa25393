// The launch that makes a layer's demodulation can stage the operands of its convolution as well
// (demodulation.cu, modulation.cu), so that a layer is two launches: a block that reads the weights
// of one output channel writes that row of the staged weights, and further blocks do staging's jobs
// for the images.
//
//   blocks  [0, rows)             output channels
//           [rows, padded rows)   zeros below the staged weights
//           then                  image blocks, border blocks (staging_jobs.cuh)
#pragma once

#include "modulated_conv2d/linear_conv_cuda.cuh"
#include "modulated_conv2d/row_sums.cuh"
#include "modulated_conv2d/staging_jobs.cuh"

namespace pygan {

static_assert(kRowGroup == kStagedChannels && kThreads == kStagingThreads,
              "rows are staged as they are summed");

// Staged weights, of one group, tap by tap. S: their type.
template <typename S>
struct StagedRows {
  S* data;
  int64_t padded_rows, row, tap;  // rows per tap; elements from one row and one tap to the next
  int taps;
  bool mirrored;

  static constexpr int kPiece = 16 / sizeof(S);
  static constexpr int kPieces = kStagedChannels / kPiece;

  // Calls store(position, channel, tap) for 16-byte pieces of row o, channels [begin, begin +
  // count): both multiples of 32. Taps are counted as a multiple of 8, so that a warp is given
  // neighbouring ones of the same channels: what it reads of values[channel][tap] lies in different
  // banks.
  template <typename Store>
  __device__ __forceinline__ void pieces(int64_t o, int64_t begin, int count, Store&& store) const {
    S* const to = data + o * row + begin;
    const int steps = (taps + 7) / 8 * 8;
    for (int item = threadIdx.x; item < count / kPiece * steps; item += kThreads) {
      const int piece = item % kPieces, rest = item / kPieces;
      const int chunk = rest / steps, t = rest - chunk * steps;
      if (t >= taps) continue;
      const int channel = chunk * kStagedChannels + piece * kPiece;
      store(to + (mirrored ? taps - 1 - t : t) * tap + channel, channel, t);
    }
  }

  // Channels [begin, begin + padded) of row o, of which `count` are in values[channel][tap] of
  // shared memory and the rest are zero.
  template <typename C, typename Convert>
  __device__ __forceinline__ void write(int64_t o, int64_t begin, int count, const C* values,
                                        Convert&& convert) const {
    const int64_t left = row - begin;
    const int padded = static_cast<int>(
        min(left, int64_t{(count + kStagedChannels - 1) / kStagedChannels * kStagedChannels}));
    pieces(o, begin, padded, [&](S* to, int channel, int t) {
      Pack<S, kPiece> pack;
#pragma unroll
      for (int k = 0; k < kPiece; ++k) {
        pack.v[k] = convert(channel + k < count ? values[(channel + k) * taps + t] : C(0));
      }
      store_piece(to, pack);
    });
  }

  __device__ __forceinline__ void zeros(int64_t o) const {
    pieces(o, 0, static_cast<int>(row),
           [](S* to, int, int) { store_piece(to, Pack<S, kPiece>{}); });
  }
};

// Staging as part of the launch that makes the demodulation of `outputs` channels.
struct LayerStaging {
  StagedOperands operands;
  StagingCall call;
  StagingPlan plan;  // of the images
  int64_t blocks = 0;
  size_t shared_bytes = 0;

  // `value_bytes`: of what the demodulation computes in.
  LayerStaging(const LayerCuda& layer, const void* x, void* staged, int value_bytes) {
    if (!linear_staging(&operands, &call, layer)) {
      throw std::runtime_error("CUDA: this layer's operands are not staged with its demodulation.");
    }
    operands.place(staged, staged_bytes(call.product, call.storage));
    call.x = x;
    StagingCall images = call;
    images.weights = nullptr;
    plan = plan_staging(images);
    blocks = operands.weights.rp + plan.blocks;
    shared_bytes = static_cast<size_t>(
        plan.shared_bytes > kStaged * value_bytes ? plan.shared_bytes : kStaged * value_bytes);
  }

  template <typename S>
  StagedRows<S> rows() const {
    const StagedWeights& w = operands.weights;
    return {static_cast<S*>(w.data), w.rp, w.cp, w.rp * w.cp, static_cast<int>(w.taps),
            call.layout.mirrored};
  }
};

// The images' jobs, by blocks counted from the first of them; scales as Stager::image.
template <Product kProduct, typename T, typename Scales>
__device__ __forceinline__ void stage_images(Staged<kProduct, T>* out, const T* x,
                                             const Scales& scales, const StagingGeometry& g,
                                             uint32_t block, Compute<T>* tile) {
  using Job = Stager<kProduct, T>;
  if (block < g.image_blocks) {
    Job::image(out, x, scales, g, block, tile);
  } else {
    Job::border(out, g, block - g.image_blocks);
  }
}

}  // namespace pygan
