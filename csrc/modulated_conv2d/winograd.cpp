#include "modulated_conv2d/winograd.h"

#include "modulated_conv2d/winograd_launch.h"

namespace pygan {

PYGAN_DECLARE_KERNELS(const WinogradKernels& winograd_table();)

const WinogradKernels& winograd_kernels(Isa isa) {
#if defined(PYGAN_HAVE_X86_LEVELS)
  if (isa == Isa::avx512) return avx512::winograd_table();
  if (isa == Isa::avx2) return avx2::winograd_table();
#endif
  (void)isa;
  return baseline::winograd_table();
}

WinogradTiles winograd_tiles(const WinogradShape& shape) {
  return {shape.n, shape.h, shape.w, divide_up(shape.h, 4), divide_up(shape.w, 4)};
}

bool winograd_supports(const WinogradShape& shape) {
  if (shape.n < 0 || shape.ci < 0 || shape.co < 0 || shape.h < 0 || shape.w < 0) return false;
  // Offsets of tensors and workspace stay below 2^62 bytes.
  const double elements = 4.0 * kWinogradMaxPlanes * (1.0 + shape.ci) * (1.0 + shape.co);
  const double pixels = 32.0 * shape.n * (4.0 + shape.h) * (4.0 + shape.w);
  return elements < 1e18 && pixels * (16.0 + shape.ci + shape.co) < 1e18;
}

namespace {

// Sizes of the pieces into which the work is cut; they do not change any result.
struct Blocking {
  int64_t tiles;      // per block
  int64_t channels;   // output channels per chunk
  bool shared;        // threads work on one block together, or each on its own
  bool weights_kept;  // U is computed once, or a chunk at a time when it is needed
};

// Chosen on Zen 4 (1 MB of second, 32 MB of shared third level cache), where time is flat around
// these sizes: factors of two in either direction cost less than a tenth.
Blocking plan(const WinogradKernels& kernels, const WinogradShape& shape, int64_t tiles,
              int threads) {
  constexpr int64_t kFewChannels = 128;  // V of a block and M of a chunk stay in the second cache
  constexpr int64_t kSomeChannels = 256;
  constexpr int64_t kSharedV = int64_t{20} << 20;  // bytes of V that may fill the last cache ...
  constexpr int64_t kLargeV = int64_t{12} << 20;  // ... and from which it is better read less often

  const bool transposed = shape.form == WinogradForm::transposed;
  Blocking b;
  b.channels = shape.ci <= 64 && !transposed ? 64 : 32;
  b.tiles = shape.ci <= kFewChannels ? 32 : 48;
  // Neighbouring tiles of the transposed form are added by one thread, in their order.
  b.shared = transposed || shape.ci > kSomeChannels || tiles < b.tiles * threads * 2;
  b.weights_kept = true;
  if (b.shared) {
    const int64_t v_planes = winograd_input_planes(shape.form);
    const int64_t tile_bytes = shape.ci * v_planes * int64_t{sizeof(float)};
    if (tiles * tile_bytes <= kSharedV) {
      b.tiles = tiles;
      b.weights_kept = false;
      if (tiles * tile_bytes >= kLargeV) b.channels = 128;
    } else {
      b.tiles = 48 * threads;
      b.channels = transposed ? 32 : 64;
    }
  }
  b.tiles = round_up(b.tiles < tiles ? b.tiles : tiles, kernels.lanes);
  b.channels = round_up(b.channels < shape.co ? b.channels : shape.co, kernels.out_block);
  return b;
}

// One convolution: operands, sizes and workspace.
struct Forward {
  const WinogradKernels& kernels;
  WinogradForm form;
  const WinogradProducts& products;
  WinogradInput input;
  WinogradWeights weights;
  WinogradOutput output;
  Blocking blocking;
  int64_t tiles;

  int64_t blocks() const { return divide_up(tiles, blocking.tiles); }
  int64_t chunks() const { return divide_up(output.channels, blocking.channels); }
  int64_t u_stride() const { return plane_stride(blocking.channels * input.channels); }
  // U of a chunk, in room for all of them if they are kept.
  WinogradMatrix u_of(float* u, int64_t chunk) const {
    return {u + (blocking.weights_kept ? chunk * kWinogradWeightPlanes * u_stride() : 0),
            u_stride()};
  }

  void transform_weights(const WinogradMatrix& u, int64_t chunk, const Team& team) const {
    const Team::Range part = team.part(blocking.channels / kernels.out_block);
    kernels.transform_weights(u, weights, chunk * blocking.channels, part.begin, part.end);
  }

  void run_block(int64_t block, float* u, const WinogradMatrix& v, const WinogradMatrix& m,
                 WinogradTileVector* vectors, const Team& team) const {
    const int64_t begin = block * blocking.tiles;
    const int64_t end = begin + blocking.tiles < tiles ? begin + blocking.tiles : tiles;
    const int64_t count = divide_up(end - begin, kernels.lanes);
    if (team.id == 0) kernels.describe_tiles(vectors, output.tiles, begin, end);
    team.wait();
    Team::Range part = team.part(input.channels);
    kernels.transform_input[form_index(form)](v, input, vectors, count, part.begin, part.end);
    for (int64_t chunk = 0; chunk < chunks(); ++chunk) {
      const WinogradMatrix chunk_u = u_of(u, chunk);
      if (!blocking.weights_kept) transform_weights(chunk_u, chunk, team);
      team.wait();
      const int64_t row_blocks = blocking.channels / kernels.out_block;
      part = team.part(products, row_blocks);
      kernels.multiply(products, m, chunk_u, v, input.channels, count, row_blocks, part.begin,
                       part.end);
      team.wait();
      const int64_t first = chunk * blocking.channels;
      const int64_t rest = output.channels - first;
      part = team.part(rest < blocking.channels ? rest : blocking.channels);
      kernels.transform_output[form_index(form)](output, m, vectors, count, first,
                                                 blocking.channels, part.begin, part.end);
    }
    team.wait();
  }

  void run(int threads) const {
    const int64_t vectors = blocking.tiles / kernels.lanes;
    const int v_planes = winograd_input_planes(form), m_planes = products.planes;
    const int64_t v_stride = plane_stride(blocking.tiles * input.channels);
    const int64_t m_stride = plane_stride(blocking.tiles * blocking.channels);
    const int spaces = blocking.shared ? 1 : threads;
    Scratch scratch;
    float* u = scratch.get<float>(static_cast<size_t>(kWinogradWeightPlanes * u_stride() *
                                                      (blocking.weights_kept ? chunks() : 1)));
    const WinogradMatrix v = winograd_matrix(scratch, v_planes, v_stride * spaces);
    const WinogradMatrix m = winograd_matrix(scratch, m_planes, m_stride * spaces);
    auto* described = scratch.get<WinogradTileVector>(static_cast<size_t>(vectors * spaces));
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
      const Team team = this_team();
      if (blocking.weights_kept) {
        for (int64_t chunk = 0; chunk < chunks(); ++chunk) {
          transform_weights(u_of(u, chunk), chunk, team);
        }
      }
      if (blocking.shared) {
        for (int64_t block = 0; block < blocks(); ++block) {
          run_block(block, u, {v.data, v_stride}, {m.data, m_stride}, described, team);
        }
      } else {
        const int64_t space = team.id;
        const WinogradMatrix own_v = {v.data + space * v_planes * v_stride, v_stride};
        const WinogradMatrix own_m = {m.data + space * m_planes * m_stride, m_stride};
        team.wait();
// (monotonic: Paddle's OpenMP runtime has no entry point for the default, nonmonotonic)
#pragma omp for schedule(monotonic : dynamic, 1)
        for (int64_t block = 0; block < blocks(); ++block) {
          run_block(block, u, own_v, own_m, described + space * vectors, Team());
        }
      }
    }
  }
};

}  // namespace

void winograd_forward_with(const WinogradKernels& kernels, float* y, const float* x, const float* w,
                           const WeightLayout& layout, const float* in_scale,
                           const Epilogue<float>& epilogue, const WinogradShape& shape) {
  const WinogradTiles tiles = winograd_tiles(shape);
  const int64_t count = tiles.n * tiles.rows * tiles.cols;
  if (count == 0 || shape.co == 0) return;
  const int threads = team_size(count * 16 * shape.co);
  const Forward forward = {kernels,
                           shape.form,
                           winograd_products(shape.form),
                           {x, in_scale, shape.ci, tiles},
                           winograd_weights(w, layout, shape),
                           {y, epilogue, shape.co, tiles},
                           plan(kernels, shape, count, threads),
                           count};
  forward.run(threads);
}

void winograd_forward(float* y, const float* x, const float* w, const WeightLayout& layout,
                      const float* in_scale, const Epilogue<float>& epilogue,
                      const WinogradShape& shape) {
  winograd_forward_with(winograd_kernels(cpu_isa()), y, x, w, layout, in_scale, epilogue, shape);
}

}  // namespace pygan
