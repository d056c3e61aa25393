// Implicit-im2col GEMM (corr_gemm.h). Loops, from the outside in:
//
//   blocks of columns (positions of the grid, samples merged)
//     phases
//       blocks of k: pack the im2col tile of both, which stays in the L2 cache
//         panels of rows: 8 rows of weights, streamed once per block of columns
//           panels of columns: the register tile
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

constexpr int64_t kStepBytes = 1536;     // bytes of one column in a block of k
constexpr int64_t kBlockPanels = 5;      // panels of columns in a block
constexpr int64_t kGatherColumns = 512;  // per weight, from which gathering the weights pays
constexpr int64_t kSerialMacs = int64_t{1} << 17;

// Bounds of part i of `parts` equal parts of [0, count).
PYGAN_INLINE int64_t part(int64_t count, int64_t parts, int64_t i) { return count * i / parts; }

// How the work of one phase is cut.
struct PhasePlan {
  int64_t steps, step_blocks;  // k: its length alone decides, since the cut fixes the order of sums
  int64_t columns, vectors, column_blocks, block_vectors;  // only speed depends on these
  bool by_columns;  // threads take blocks of columns, rather than rows of each block
};

template <typename T>
PhasePlan plan_phase(const CorrGemm<T>& p, const CorrPhase& phase, int threads) {
  PhasePlan plan;
  plan.steps = p.channels * phase.taps_y * phase.taps_x;
  plan.step_blocks = max_of(1, ceil_div(plan.steps * int64_t{sizeof(T)}, kStepBytes));
  plan.columns = p.n * phase.grid_h * phase.grid_w;
  plan.vectors = ceil_div(plan.columns, lanes<T>());
  plan.column_blocks = ceil_div(plan.vectors, kBlockPanels * kTileVectors);
  plan.by_columns = plan.column_blocks >= threads;
  if (plan.by_columns) plan.column_blocks = ceil_div(plan.column_blocks, threads) * threads;
  plan.block_vectors = ceil_div(plan.vectors, max_of(1, plan.column_blocks));
  return plan;
}

template <typename T>
void fill_offsets(const CorrGemm<T>& p, const CorrPhase& phase, int64_t* offset) {
  for (int64_t c = 0; c < p.channels; ++c) {
    for (int s = 0; s < phase.taps_y; ++s) {
      for (int t = 0; t < phase.taps_x; ++t) {
        *offset++ = c * p.a_channel_stride + phase.a_y[s] + phase.a_x[t];
      }
    }
  }
}

// The weights of channels [c0, c1) in the order in which the tiles read them:
// copy[panel of rows][phase][channel][tap][row of the panel].
template <typename T>
void gather_weights(const CorrGemm<T>& p, T* copy, int64_t panel_size, int64_t c0, int64_t c1) {
  const int64_t stride = p.a_row_stride;
  for (int64_t c = c0; c < c1; ++c) {
    for (int64_t row = 0; row < p.rows; row += kTileRows) {
      const int64_t rows = min_of(kTileRows, p.rows - row);
      const T* from = p.a + c * p.a_channel_stride + row * stride;
      T* panel = copy + row / kTileRows * panel_size;
      for (int i = 0; i < p.phase_count; ++i) {
        const CorrPhase& phase = p.phases[i];
        const int64_t taps = int64_t{phase.taps_y} * phase.taps_x;
        T* to = panel + c * taps * kTileRows;
        for (int s = 0; s < phase.taps_y; ++s) {
          for (int t = 0; t < phase.taps_x; ++t, to += kTileRows) {
            const T* tap = from + phase.a_y[s] + phase.a_x[t];
            if (rows == kTileRows) {
#pragma GCC unroll 8
              for (int r = 0; r < kTileRows; ++r) to[r] = tap[r * stride];
            } else {
              for (int64_t r = 0; r < rows; ++r) to[r] = tap[r * stride];
            }
          }
        }
        panel += p.channels * taps * kTileRows;
      }
    }
  }
}

template <typename T>
void store_tile(const CorrGemm<T>& p, const CorrPhase& phase, const T* tile_values, int64_t width,
                int64_t row, int64_t rows, const Run* runs, int found) {
  const int64_t out_area = p.out_h * p.out_w, step = p.out_step_x;
  for (int64_t r = row; r < row + rows; ++r, tile_values += width) {
    int64_t sample = -1;
    ChannelEpilogue<T> e = {};
    for (int i = 0; i < found; ++i) {
      const Run& run = runs[i];
      if (run.sample != sample) {
        sample = run.sample;
        e = channel_epilogue(p.epilogue, sample, r, p.epilogue_channels);
      }
      const int64_t y = phase.y0 + run.gy * p.out_step_y, x = phase.x0 + run.gx * p.out_step_x;
      if (y >= p.out_h) continue;  // the grid of a later phase may end before the first one's
      const int64_t count = step == 1 ? run.count : positions_below(p.out_w, x, step, run.count);
      const int64_t pixel = y * p.out_w + x;
      apply_run_strided(p.out + sample * p.out_sample_stride + r * out_area + pixel,
                        tile_values + run.column, count, pixel, step, e);
    }
  }
}

// Joins runs whose outputs follow each other in memory.
template <typename T>
int join_runs(const CorrGemm<T>& p, const CorrPhase& phase, Run* runs, int found) {
  if (p.out_step_x != 1 || p.out_step_y != 1 || phase.grid_w != p.out_w) return found;
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

// Where tiles read one phase's weights: row r of a panel at step k is
// data[panel * panel_stride + r * row_stride + offset[k]].
template <typename T>
struct Weights {
  const T* data;
  int64_t panel_stride, row_stride;
  const int64_t* offset;
};

// One phase on block `b` of its columns. `packed` holds the im2col tile, `sums` the partial sums of
// all rows; both are shared by the team.
template <typename T>
void column_block(const CorrGemm<T>& p, const CorrPhase& phase, const PhasePlan& plan,
                  const Weights<T>& weights, int64_t b, T* packed, T* sums, Team team) {
  constexpr int L = lanes<T>();
  const int64_t v0 = part(plan.vectors, plan.column_blocks, b);
  const int64_t vectors = part(plan.vectors, plan.column_blocks, b + 1) - v0;
  const int64_t panels = ceil_div(vectors, kTileVectors);
  const int64_t row_panels = ceil_div(p.rows, kTileRows);
  const int64_t r0 = part(row_panels, team.members, team.member);
  const int64_t r1 = part(row_panels, team.members, team.member + 1);
  int64_t row[kTileRows];
  for (int r = 0; r < kTileRows; ++r) row[r] = r * weights.row_stride;
  for (int64_t block = 0; block < plan.step_blocks; ++block) {
    const int64_t k0 = part(plan.steps, plan.step_blocks, block);
    const int64_t k1 = part(plan.steps, plan.step_blocks, block + 1);
    const int64_t pieces = team.members > 1 ? 4 : 1;
    for (int64_t unit = team.member; unit < panels * pieces; unit += team.members) {
      const int64_t panel = unit / pieces, piece = unit % pieces;
      const int64_t p0 = part(vectors, panels, panel), p1 = part(vectors, panels, panel + 1);
      const int64_t first = (v0 + p0) * L, width = (p1 - p0) * L;
      const int64_t from = part(k1 - k0, pieces, piece), to = part(k1 - k0, pieces, piece + 1);
      pack_columns(p, phase, packed + p0 * L * (k1 - k0) + from * width, width, first,
                   min_of(width, plan.columns - first), k0 + from, k0 + to);
    }
    if (team.members > 1) {
#pragma omp barrier
    }
    const bool last = block + 1 == plan.step_blocks;
    for (int64_t panel = r0; panel < r1; ++panel) {
      const int64_t row0 = panel * kTileRows;
      const int64_t rows = min_of(kTileRows, p.rows - row0);
      const T* a = weights.data + panel * weights.panel_stride;
      for (int64_t i = 0; i < panels; ++i) {
        const int64_t p0 = part(vectors, panels, i), p1 = part(vectors, panels, i + 1);
        const int64_t width = (p1 - p0) * L;
        T on_stack[kTileRows * tile_columns<T>() + L];
        T* c = plan.step_blocks == 1 ? on_stack : sums + p0 * L * p.rows + row0 * width;
        tile(c, packed + p0 * L * (k1 - k0), a, weights.offset + k0, row, rows, p1 - p0, k1 - k0,
             block > 0);
        if (last) {
          Run runs[tile_columns<T>()];
          const int64_t first = (v0 + p0) * L;
          const int found = grid_runs(phase, first, min_of(width, plan.columns - first), runs);
          store_tile(p, phase, c, width, row0, rows, runs, join_runs(p, phase, runs, found));
        }
      }
    }
    if (team.members > 1) {
#pragma omp barrier
    }
  }
}

template <typename T>
T* allocate(Scratch* scratch, int64_t count) {
  return static_cast<T*>(scratch->bytes(count * sizeof(T)));
}

template <typename T>
void run(const CorrGemm<T>& p) {
  int64_t macs = 0;
  for (int i = 0; i < p.phase_count; ++i) {
    const CorrPhase& phase = p.phases[i];
    macs += p.n * phase.grid_h * phase.grid_w * p.rows *
            max_of(1, p.channels * phase.taps_y * phase.taps_x);
  }
  if (macs == 0) return;
  const int threads = macs < kSerialMacs ? 1 : max_threads();

  Scratch scratch;
  PhasePlan* plans = allocate<PhasePlan>(&scratch, p.phase_count);
  int64_t packed_size = 0, sums_size = 0, all_steps = 0;
  for (int i = 0; i < p.phase_count; ++i) {
    plans[i] = plan_phase(p, p.phases[i], threads);
    const int64_t columns = plans[i].block_vectors * lanes<T>();
    packed_size = max_of(packed_size, columns * ceil_div(plans[i].steps, plans[i].step_blocks));
    if (plans[i].step_blocks > 1) sums_size = max_of(sums_size, columns * p.rows);
    all_steps += plans[i].steps;
  }
  T* packed = allocate<T>(&scratch, threads * packed_size);
  T* sums = allocate<T>(&scratch, threads * sums_size + lanes<T>());

  const bool gather = p.copy_a && macs >= kGatherColumns * p.rows * all_steps;
  const int64_t panel_size = all_steps * kTileRows;
  T* copy = gather ? allocate<T>(&scratch, ceil_div(p.rows, kTileRows) * panel_size) : nullptr;
  Weights<T>* weights = allocate<Weights<T>>(&scratch, p.phase_count);
  int64_t first_step = 0;
  for (int i = 0; i < p.phase_count; ++i) {
    int64_t* offset = allocate<int64_t>(&scratch, plans[i].steps);
    if (gather) {
      for (int64_t k = 0; k < plans[i].steps; ++k) offset[k] = k * kTileRows;
      weights[i] = {copy + first_step * kTileRows, panel_size, 1, offset};
    } else {
      fill_offsets(p, p.phases[i], offset);
      weights[i] = {p.a, kTileRows * p.a_row_stride, p.a_row_stride, offset};
    }
    first_step += plans[i].steps;
  }

#pragma omp parallel num_threads(threads) if (threads > 1)
  {
#if defined(_OPENMP)
    const int member = omp_get_thread_num(), members = omp_get_num_threads();
#else
    const int member = 0, members = 1;
#endif
    if (gather) {
      gather_weights(p, copy, panel_size, part(p.channels, members, member),
                     part(p.channels, members, member + 1));
#pragma omp barrier
    }
    // Interleaved: one turn over the blocks, all phases in each; else one phase per turn.
    const int turns = p.interleave ? 1 : p.phase_count;
    for (int turn = 0; turn < turns; ++turn) {
      const int end = p.interleave ? p.phase_count : turn + 1;
      const PhasePlan& cut = plans[turn];
      const int64_t b0 = cut.by_columns ? part(cut.column_blocks, members, member) : 0;
      const int64_t b1 =
          cut.by_columns ? part(cut.column_blocks, members, member + 1) : cut.column_blocks;
      const int64_t buffer = cut.by_columns ? member : 0;
      const Team team = cut.by_columns ? Team{0, 1} : Team{member, members};
      for (int64_t b = b0; b < b1; ++b) {
        for (int i = turn; i < end; ++i) {
          column_block(p, p.phases[i], plans[i], weights[i], b, packed + buffer * packed_size,
                       sums + buffer * sums_size, team);
        }
      }
      if (turn + 1 < turns) {
#pragma omp barrier  // the next turn may share the buffers that this one did not
      }
    }
  }
}

}  // namespace

void corr_gemm(const CorrGemm<float>& p) { run(p); }
void corr_gemm(const CorrGemm<double>& p) { run(p); }

}  // namespace PYGAN_ISA
}  // namespace pygan
