// The launcher of the weight gradient.
#include <cstring>

#include "modulated_conv2d/winograd_launch.h"

namespace pygan {
namespace {

// Tiles and output channels (of each phase) that are worked on at once. The number of tiles fixes
// the order of the additions, so it depends on the shape alone.
struct Blocking {
  int64_t tiles;
  int64_t channels;
};

Blocking plan(const WinogradKernels& kernels, int64_t tiles, int64_t in_channels,
              int64_t out_channels, int64_t out_phases) {
  Blocking b;
  // With few channels V and Y of a block stay near; with many, D should not be visited too often.
  b.tiles = in_channels + out_channels * out_phases <= 256 ? 64 : 256;
  if (b.tiles > tiles) b.tiles = tiles;
  // Sums over several blocks of tiles are kept whole.
  b.channels = b.tiles < tiles ? out_channels : 64 / out_phases;
  if (b.channels > out_channels) b.channels = out_channels;
  b.channels = round_up(b.channels, kernels.out_block);
  return b;
}

}  // namespace

void winograd_weight_grad_with(const WinogradKernels& kernels, float* dw, const float* x,
                               const float* dy, const float* x_scale, const float* dy_scale,
                               const WinogradShape& shape, const PolyphaseFilter* fir) {
  const WinogradTiles tiles = winograd_tiles(shape);
  const WinogradWeights weights = winograd_weights(nullptr, false, shape, fir);
  const int64_t count = tiles.n * tiles.rows * tiles.cols;
  if (shape.ci == 0 || shape.co == 0) return;
  if (count == 0) {
    const int64_t phases = fir == nullptr ? weights.in_phases * weights.out_phases : 1;
    std::memset(dw, 0, static_cast<size_t>(shape.co * shape.ci * 9 * phases) * sizeof(float));
    return;
  }
  const WinogradInput input = {x, x_scale, shape.ci, shape.input_space_to_depth, tiles};
  const WinogradInput output = {dy, dy_scale, shape.co, shape.output_depth_to_space, tiles};
  const int64_t in_groups = divide_up(shape.ci, kernels.lanes) * weights.in_phases;
  const int64_t out_groups = divide_up(shape.co, kernels.lanes) * weights.out_phases;
  const int64_t in_padded = in_groups * kernels.lanes, out_padded = out_groups * kernels.lanes;
  const Blocking blocking = plan(kernels, count, in_padded, shape.co, weights.out_phases);
  const int64_t chunk_rows = blocking.channels * weights.out_phases;
  const int64_t phase_blocks = out_padded / weights.out_phases / kernels.out_block;

  Scratch scratch;
  const WinogradMatrix v = winograd_matrix(scratch, plane_stride(in_padded * blocking.tiles));
  const WinogradMatrix g = winograd_matrix(scratch, plane_stride(out_padded * blocking.tiles));
  const WinogradMatrix d = winograd_matrix(scratch, plane_stride(chunk_rows * in_padded));
  const int threads = team_size(count * 16 * shape.co * weights.out_phases);
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    const Team team = this_team();
    for (int64_t begin = 0; begin < count; begin += blocking.tiles) {
      const int64_t block = begin + blocking.tiles < count ? blocking.tiles : count - begin;
      const bool last = begin + block == count;
      // Work is cut by groups and by quarters of the block, for there may be few groups.
      const Team::Range in_part = team.part(in_groups * 4), out_part = team.part(out_groups * 4);
      for (int64_t item = in_part.begin; item < in_part.end; ++item) {
        const int64_t group = item / 4, quarter = item % 4;
        kernels.gather_input(v, input, begin, block, block * quarter / 4, block * (quarter + 1) / 4,
                             group, group + 1);
      }
      for (int64_t item = out_part.begin; item < out_part.end; ++item) {
        const int64_t group = item / 4, quarter = item % 4;
        kernels.gather_output(g, output, begin, block, block * quarter / 4,
                              block * (quarter + 1) / 4, group, group + 1);
      }
      team.wait();
      for (int64_t first = 0; first < shape.co; first += blocking.channels) {
        // The last chunk may be shorter: Y holds no more rows than its own padding.
        const int64_t rest = phase_blocks - first / kernels.out_block;
        const int64_t per_phase = blocking.channels / kernels.out_block < rest
                                      ? blocking.channels / kernels.out_block
                                      : rest;
        const WinogradRows rows = {per_phase * weights.out_phases, per_phase,
                                   first / kernels.out_block, phase_blocks};
        Team::Range part = team.part(kWinogradPlanes * rows.blocks);
        kernels.multiply_transposed(d, g, v, block, rows, in_groups, begin > 0, part.begin,
                                    part.end);
        team.wait();
        if (last) {
          const int64_t channels = per_phase * kernels.out_block;
          part = team.part(shape.co - first < channels ? shape.co - first : channels);
          kernels.gather_weights(dw, d, weights, first, channels, part.begin, part.end);
          team.wait();
        }
      }
    }
  }
}

void winograd_weight_grad(float* dw, const float* x, const float* dy, const float* x_scale,
                          const float* dy_scale, const WinogradShape& shape,
                          const PolyphaseFilter* fir) {
  winograd_weight_grad_with(winograd_kernels(cpu_isa()), dw, x, dy, x_scale, dy_scale, shape, fir);
}

}  // namespace pygan
