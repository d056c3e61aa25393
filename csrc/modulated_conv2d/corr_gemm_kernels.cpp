// Implicit-im2col GEMM (corr_gemm.h). Loops, from the outside in:
//
//   blocks of columns (positions of the grid, samples merged)
//     blocks of k: pack the im2col tile of both, which stays in the L2 cache
//       panels of rows: 8 rows of weights, streamed once per block of columns
//         panels of columns: the register tile
//
// Partial sums of the blocks of k lie in a scratch matrix of finished-tile order; the last one goes
// through the epilogue into the output. Where there are columns enough, threads take blocks of
// columns; otherwise (small maps, where the weights dominate) they share the packing and take rows.
#include "common/parallel.h"
#include "common/scratch.h"
#include "modulated_conv2d/epilogue_apply.h"
#include "modulated_conv2d/im2col_pack.h"

namespace pygan {
namespace PYGAN_ISA {
namespace {

constexpr int64_t kStepBytes = 1536;  // bytes of one column in a block of k
constexpr int64_t kBlockPanels = 5;   // panels of columns in a block
constexpr int64_t kSerialMacs = int64_t{1} << 17;

// How the columns and k are cut. Only speed depends on the columns' cuts; k's are fixed by its
// length, since they decide in which order an element is summed.
struct Cuts {
  int64_t columns, vectors, steps, step_blocks, column_blocks;
};

template <typename T>
Cuts cut(const CorrGemm<T>& p, int threads) {
  Cuts c;
  c.columns = p.n * p.grid_h * p.grid_w;
  c.vectors = ceil_div(c.columns, lanes<T>());
  c.steps = p.channels * p.taps_y * p.taps_x;
  c.step_blocks = max_of(1, ceil_div(c.steps * int64_t{sizeof(T)}, kStepBytes));
  c.column_blocks = ceil_div(c.vectors, kBlockPanels * kTileVectors);
  if (c.column_blocks >= threads) c.column_blocks = ceil_div(c.column_blocks, threads) * threads;
  return c;
}

// Bounds of part i of `parts` equal parts of [0, count).
PYGAN_INLINE int64_t part(int64_t count, int64_t parts, int64_t i) { return count * i / parts; }

template <typename T>
void store_tile(const CorrGemm<T>& p, const T* tile_values, int64_t width, int64_t row,
                int64_t rows, const Run* runs, int found) {
  const int64_t out_area = p.out_h * p.out_w;
  for (int64_t r = row; r < row + rows; ++r, tile_values += width) {
    int64_t sample = -1;
    ChannelEpilogue<T> e = {};
    for (int i = 0; i < found; ++i) {
      const Run& run = runs[i];
      if (run.sample != sample) {
        sample = run.sample;
        e = channel_epilogue(p.epilogue, sample, r, p.epilogue_channels);
      }
      const int64_t pixel = (p.y0 + run.gy * p.out_step_y) * p.out_w + p.x0 + run.gx * p.out_step_x;
      apply_run_strided(p.out + sample * p.out_sample_stride + r * out_area + pixel,
                        tile_values + run.column, run.count, pixel, p.out_step_x, e);
    }
  }
}

// Joins runs whose outputs follow each other in memory.
template <typename T>
int join_runs(const CorrGemm<T>& p, Run* runs, int found) {
  if (p.out_step_x != 1 || p.out_step_y != 1 || p.grid_w != p.out_w) return found;
  int kept = 0;
  for (int i = 1; i < found; ++i) {
    if (runs[i].sample == runs[kept].sample) {
      runs[kept].count += runs[i].count;
    } else {
      runs[++kept] = runs[i];
    }
  }
  return kept + 1;
}

// A thread's place among those that work on one block of columns.
struct Team {
  int member, members;
};

// One block of columns: vectors [v0, v1) of the grid. `packed` holds the im2col tile, `sums` the
// partial sums of all rows; both are shared by the team.
template <typename T>
void column_block(const CorrGemm<T>& p, const Cuts& cuts, int64_t v0, int64_t v1, T* packed,
                  T* sums, const int64_t* offset, Team team) {
  constexpr int L = lanes<T>();
  const int64_t vectors = v1 - v0;
  const int64_t panels = ceil_div(vectors, kTileVectors);
  const int64_t row_panels = ceil_div(p.rows, kTileRows);
  const int64_t r0 = part(row_panels, team.members, team.member);
  const int64_t r1 = part(row_panels, team.members, team.member + 1);
  for (int64_t block = 0; block < cuts.step_blocks; ++block) {
    const int64_t k0 = part(cuts.steps, cuts.step_blocks, block);
    const int64_t k1 = part(cuts.steps, cuts.step_blocks, block + 1);
    const int64_t pieces = team.members > 1 ? 4 : 1;
    for (int64_t unit = team.member; unit < panels * pieces; unit += team.members) {
      const int64_t panel = unit / pieces, piece = unit % pieces;
      const int64_t p0 = part(vectors, panels, panel), p1 = part(vectors, panels, panel + 1);
      const int64_t first = (v0 + p0) * L;
      const int64_t from = k0 + part(k1 - k0, pieces, piece);
      const int64_t to = k0 + part(k1 - k0, pieces, piece + 1);
      const int64_t width = (p1 - p0) * L;
      pack_columns(p, packed + p0 * L * (k1 - k0) + (from - k0) * width, width, first,
                   min_of(width, cuts.columns - first), from, to);
    }
    if (team.members > 1) {
#pragma omp barrier
    }
    const bool last = block + 1 == cuts.step_blocks;
    for (int64_t panel = r0; panel < r1; ++panel) {
      const int64_t row0 = panel * kTileRows;
      const int64_t rows = min_of(kTileRows, p.rows - row0);
      int64_t row[kTileRows];
      for (int r = 0; r < kTileRows; ++r) row[r] = (row0 + r) * p.a_row_stride;
      for (int64_t i = 0; i < panels; ++i) {
        const int64_t p0 = part(vectors, panels, i), p1 = part(vectors, panels, i + 1);
        const int64_t width = (p1 - p0) * L;
        T on_stack[kTileRows * tile_columns<T>()];
        T* c = cuts.step_blocks == 1 ? on_stack : sums + p0 * L * p.rows + row0 * width;
        tile(c, packed + p0 * L * (k1 - k0), p.a, offset + k0, row, rows, p1 - p0, k1 - k0,
             block > 0);
        if (last) {
          Run runs[tile_columns<T>()];
          const int64_t first = (v0 + p0) * L;
          const int found = grid_runs(p, first, min_of(width, cuts.columns - first), runs);
          store_tile(p, c, width, row0, rows, runs, join_runs(p, runs, found));
        }
      }
    }
    if (team.members > 1) {
#pragma omp barrier
    }
  }
}

template <typename T>
void run(const CorrGemm<T>& p) {
  if (p.rows == 0 || p.n * p.grid_h * p.grid_w == 0) return;
  constexpr int L = lanes<T>();
  int threads = max_threads();
  Cuts cuts = cut(p, threads);
  if (cuts.columns * p.rows * max_of(1, cuts.steps) < kSerialMacs) threads = 1;
  const bool by_columns = cuts.column_blocks >= threads;
  const int64_t block_vectors = ceil_div(cuts.vectors, cuts.column_blocks);
  const int64_t packed_size = block_vectors * L * ceil_div(cuts.steps, cuts.step_blocks);
  const int64_t sums_size = cuts.step_blocks > 1 ? block_vectors * L * p.rows : 0;
  const int64_t buffers = by_columns ? threads : 1;

  Scratch scratch;
  T* packed = static_cast<T*>(scratch.bytes(buffers * packed_size * sizeof(T)));
  T* sums = static_cast<T*>(scratch.bytes(buffers * sums_size * sizeof(T)));
  int64_t* offset = static_cast<int64_t*>(scratch.bytes(cuts.steps * sizeof(int64_t)));
  int64_t k = 0;
  for (int64_t c = 0; c < p.channels; ++c) {
    for (int s = 0; s < p.taps_y; ++s) {
      for (int t = 0; t < p.taps_x; ++t) {
        offset[k++] = c * p.a_channel_stride + p.a_y[s] + p.a_x[t];
      }
    }
  }

#pragma omp parallel num_threads(threads) if (threads > 1)
  {
#if defined(_OPENMP)
    const int member = omp_get_thread_num(), members = omp_get_num_threads();
#else
    const int member = 0, members = 1;
#endif
    if (by_columns) {
      const int64_t b1 = part(cuts.column_blocks, members, member + 1);
      for (int64_t b = part(cuts.column_blocks, members, member); b < b1; ++b) {
        column_block(p, cuts, part(cuts.vectors, cuts.column_blocks, b),
                     part(cuts.vectors, cuts.column_blocks, b + 1), packed + member * packed_size,
                     sums + member * sums_size, offset, Team{0, 1});
      }
    } else {
      for (int64_t b = 0; b < cuts.column_blocks; ++b) {
        column_block(p, cuts, part(cuts.vectors, cuts.column_blocks, b),
                     part(cuts.vectors, cuts.column_blocks, b + 1), packed, sums, offset,
                     Team{member, members});
      }
    }
  }
}

}  // namespace

void corr_gemm(const CorrGemm<float>& p) { run(p); }
void corr_gemm(const CorrGemm<double>& p) { run(p); }

}  // namespace PYGAN_ISA
}  // namespace pygan
