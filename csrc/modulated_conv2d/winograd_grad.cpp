// The launcher of the weight gradient.
#include <cstring>

#include "modulated_conv2d/winograd_launch.h"

namespace pygan {
namespace {

// Tiles and output channels that are worked on at once. The number of tiles fixes
// the order of the additions, so it depends on the shape alone.
struct Blocking {
  int64_t tiles;
  int64_t channels;
};

Blocking plan(const WinogradKernels& kernels, const WinogradShape& shape, int64_t tiles,
              int64_t in_padded) {
  Blocking b;
  // With few channels V and Y of a block stay near; with many, D should not be visited too often.
  b.tiles = in_padded + shape.co <= 256 ? 64 : 256;
  if (b.tiles > tiles) b.tiles = tiles;
  // Sums over several blocks of tiles are kept whole.
  b.channels = b.tiles < tiles ? shape.co : 64;
  if (b.channels > shape.co) b.channels = shape.co;
  b.channels = round_up(b.channels, kernels.out_block);
  return b;
}

}  // namespace

void winograd_weight_grad_with(const WinogradKernels& kernels, float* dw, const float* x,
                               const float* dy, const float* x_scale, const float* dy_scale,
                               const WinogradShape& shape, const WeightLayout& layout) {
  const WinogradTiles tiles = winograd_tiles(shape);
  const WinogradWeights weights = winograd_weights(nullptr, layout, shape);
  const WinogradProducts& products = winograd_weight_products(shape.form);
  const int64_t count = tiles.n * tiles.rows * tiles.cols;
  if (shape.ci == 0 || shape.co == 0) return;
  if (count == 0) {
    std::memset(dw, 0, static_cast<size_t>(shape.co * shape.ci * 9) * sizeof(float));
    return;
  }
  const WinogradInput input = {x, x_scale, shape.ci, tiles};
  const WinogradInput output = {dy, dy_scale, shape.co, tiles};
  const int64_t in_groups = divide_up(shape.ci, kernels.lanes);
  const int64_t out_groups = divide_up(shape.co, kernels.lanes);
  const int64_t in_padded = in_groups * kernels.lanes, out_padded = out_groups * kernels.lanes;
  const Blocking blocking = plan(kernels, shape, count, in_padded);
  const int64_t all_blocks = out_padded / kernels.out_block;
  const int form = form_index(shape.form);
  const int v_planes = winograd_input_planes(shape.form);
  const int g_planes = shape.form == WinogradForm::same
                           ? kWinogradWeightPlanes
                           : winograd_input_planes(WinogradForm::transposed);

  Scratch scratch;
  const WinogradMatrix v =
      winograd_matrix(scratch, v_planes, plane_stride(in_padded * blocking.tiles));
  const WinogradMatrix g =
      winograd_matrix(scratch, g_planes, plane_stride(out_padded * blocking.tiles));
  const WinogradMatrix d =
      winograd_matrix(scratch, kWinogradWeightPlanes, plane_stride(blocking.channels * in_padded));
  const int threads = team_size(count * 16 * shape.co);
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
        kernels.gather_input[form](v, input, begin, block, block * quarter / 4,
                                   block * (quarter + 1) / 4, group, group + 1);
      }
      for (int64_t item = out_part.begin; item < out_part.end; ++item) {
        const int64_t group = item / 4, quarter = item % 4;
        kernels.gather_output[form](g, output, begin, block, block * quarter / 4,
                                    block * (quarter + 1) / 4, group, group + 1);
      }
      team.wait();
      for (int64_t first = 0; first < shape.co; first += blocking.channels) {
        // The last chunk may be shorter: Y holds no more rows than its own padding.
        const int64_t rest = all_blocks - first / kernels.out_block;
        const int64_t whole = blocking.channels / kernels.out_block;
        const WinogradRows rows = {whole < rest ? whole : rest, first / kernels.out_block};
        Team::Range part = team.part(products, rows.blocks);
        kernels.multiply_transposed(products, d, g, v, block, rows, in_groups, begin > 0,
                                    part.begin, part.end);
        team.wait();
        if (last) {
          const int64_t channels = rows.blocks * kernels.out_block;
          part = team.part(shape.co - first < channels ? shape.co - first : channels);
          kernels.gather_weights(dw, d, weights, first, part.begin, part.end);
          team.wait();
        }
      }
    }
  }
}

void winograd_weight_grad(float* dw, const float* x, const float* dy, const float* x_scale,
                          const float* dy_scale, const WinogradShape& shape,
                          const WeightLayout& layout) {
  winograd_weight_grad_with(winograd_kernels(cpu_isa()), dw, x, dy, x_scale, dy_scale, shape,
                            layout);
}

}  // namespace pygan
