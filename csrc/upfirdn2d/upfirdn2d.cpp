// Works out the plan of a call, and shares its tiles (bands of rows of one plane) among the
// threads.
#include "upfirdn2d/upfirdn2d.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "common/parallel.h"
#include "common/scratch.h"
#include "upfirdn2d/plan.h"
#include "upfirdn2d/tile.h"

namespace pygan {
namespace {

// Outputs larger than this are written around the cache: their readers would not find them there.
constexpr int64_t kStreamAbove = int64_t{4} << 20;
// Inputs larger than this are not in the second-level cache.
constexpr int64_t kPrefetchAbove = int64_t{1} << 20;
constexpr int64_t kAlignment = 64;

int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

int thread_number() {
#if defined(_OPENMP)
  return omp_get_thread_num();
#else
  return 0;
#endif
}

// A filter as correlation taps: y and x of the outer product, or all of them.
struct Taps {
  bool separable;
  std::vector<double> y, x;
  std::vector<double> all;
};

// Finds y and x with taps[a][b] = y[a] * x[b], up to `tolerance` times the largest tap. The factors
// are balanced at that tap, so that those of an outer(f, f) come out as f itself.
bool factor(const std::vector<double>& taps, int h, int w, double tolerance, Taps* out) {
  size_t largest = 0;
  for (size_t i = 1; i < taps.size(); ++i) {
    if (std::abs(taps[i]) > std::abs(taps[largest])) largest = i;
  }
  const double peak = taps[largest];
  const double root = std::sqrt(std::abs(peak));
  out->y.assign(h, 0.0);
  out->x.assign(w, 0.0);
  if (peak == 0) return true;
  for (int a = 0; a < h; ++a) out->y[a] = taps[a * w + largest % w] / (peak < 0 ? -root : root);
  for (int b = 0; b < w; ++b) out->x[b] = taps[largest / w * w + b] / root;
  for (int a = 0; a < h; ++a) {
    for (int b = 0; b < w; ++b) {
      const double error = std::abs(out->y[a] * out->x[b] - taps[a * w + b]);
      if (!(error <= tolerance * std::abs(peak))) return false;
    }
  }
  return true;
}

Taps taps_of(const Upfirdn2dParams& p, double tolerance) {
  std::vector<double> taps(p.taps, p.taps + (p.separable ? 1 : p.taps_h) * p.taps_w);
  if (!p.flip) std::reverse(taps.begin(), taps.end());
  Taps out;
  if (p.separable) {
    out.separable = true;
    out.y = out.x = taps;
  } else {
    out.separable = factor(taps, p.taps_h, p.taps_w, tolerance, &out);
  }
  if (out.separable) {
    for (double& tap : out.y) tap *= p.gain;
  } else {
    for (double& tap : taps) tap *= p.gain;
    out.all = taps;
  }
  return out;
}

// A plan and what it points to.
template <typename C>
struct Planned {
  Upfirdn2dPlan<C> plan;
  std::vector<C> vertical_taps, horizontal_taps;
  std::vector<OutputRow> rows;
  std::vector<OutputPhase> phases;
};

template <typename C>
void plan_vertical(const Upfirdn2dParams& p, const Taps& taps, Planned<C>* out) {
  VerticalPlan<C>& v = out->plan.vertical;
  const int up = p.up_y;
  v.up = up;
  v.stride = (p.taps_h + up - 1) / up;
  out->rows.resize(p.out_h);
  for (int64_t i = 0; i < p.out_h; ++i) {
    const int64_t position = i * p.down_y - p.pad_y0;  // of tap 0
    const int64_t tap = ((-position) % up + up) % up;  // the first that meets a row
    const int64_t count = tap < p.taps_h ? (p.taps_h - tap + up - 1) / up : 0;
    const int64_t row = (position + tap) / up;
    const int64_t first = std::clamp<int64_t>(row, 0, p.in_h);
    const int64_t last = std::clamp<int64_t>(row + count, first, p.in_h);
    out->rows[i] = {first, last, static_cast<int>(first < last ? tap + (first - row) * up : 0)};
  }
  if (taps.separable) {
    out->vertical_taps.assign(static_cast<size_t>(up) * v.stride, C{0});
    for (int t = 0; t < p.taps_h; ++t) {
      out->vertical_taps[t % up * v.stride + t / up] = static_cast<C>(taps.y[t]);
    }
  }
  v.rows = out->rows.data();
  v.taps = out->vertical_taps.data();
}

template <typename C>
void plan_horizontal(const Upfirdn2dParams& p, const Taps& taps, Planned<C>* out) {
  HorizontalPlan<C>& h = out->plan.horizontal;
  const int common = std::gcd(p.up_x, p.down_x);
  h.output_phases = p.up_x / common;
  h.source_phases = p.down_x / common;
  h.stride = (p.taps_w + p.up_x - 1) / p.up_x;
  const int rows = taps.separable ? 1 : p.taps_h;
  out->horizontal_taps.assign(static_cast<size_t>(rows) * h.output_phases * h.stride, C{0});
  int64_t first = INT64_MAX, last = INT64_MIN;
  for (int phase = 0; phase < h.output_phases; ++phase) {
    const int64_t position = int64_t{phase} * p.down_x - p.pad_x0;  // of tap 0
    const int64_t t0 = ((-position) % p.up_x + p.up_x) % p.up_x;
    const int count = t0 < p.taps_w ? static_cast<int>((p.taps_w - t0 + p.up_x - 1) / p.up_x) : 0;
    const int64_t offset = (position + t0) / p.up_x;
    const int64_t size = (p.out_w - phase + h.output_phases - 1) / h.output_phases;
    if (count > 0 && size > 0) {
      first = std::min(first, offset);
      last = std::max(last, offset + count - 1 + (size - 1) * h.source_phases);
    }
    out->phases.push_back({count, offset});
    for (int row = 0; row < rows; ++row) {
      const double* k = taps.separable ? taps.x.data() : taps.all.data() + int64_t{row} * p.taps_w;
      C* to = &out->horizontal_taps[(int64_t{row} * h.output_phases + phase) * h.stride];
      for (int n = 0; n < count; ++n) to[n] = static_cast<C>(k[t0 + int64_t{n} * p.up_x]);
    }
  }
  if (first > last) first = last = 0;  // no output meets a tap
  for (OutputPhase& phase : out->phases) phase.offset -= first;
  h.phases = out->phases.data();
  h.taps = out->horizontal_taps.data();
  h.first = first;
  h.length = last - first + 1;
  h.phase_length =
      round_up((h.length + h.source_phases - 1) / h.source_phases, kAlignment / sizeof(C));
  const int64_t pixel0 = h.source_phases == 1 ? std::max<int64_t>(0, -first) : 0;
  h.shift = round_up(pixel0, kAlignment / sizeof(C)) - pixel0;
}

// Multiply-adds per plane of the two separable orders decide between them.
template <typename C>
PassOrder choose_order(const Upfirdn2dParams& p, const Upfirdn2dPlan<C>& plan) {
  const int64_t horizontal = p.out_w * plan.horizontal.stride;
  const int64_t vertical_first = p.out_h * (p.in_w * plan.vertical.stride + horizontal);
  const int64_t horizontal_first =
      p.in_h * (p.in_w + horizontal) + p.out_h * p.out_w * plan.vertical.stride;
  return vertical_first <= horizontal_first ? PassOrder::vertical_first
                                            : PassOrder::horizontal_first;
}

template <typename T, typename C>
void size_buffers(const Upfirdn2dParams& p, Upfirdn2dPlan<C>* plan) {
  const HorizontalPlan<C>& h = plan->horizontal;
  const int64_t unit = kAlignment / sizeof(C);
  const int64_t out_row = round_up(p.out_w, unit), in_row = round_up(p.in_w, unit);
  const int64_t padded = h.phase_length * h.source_phases + unit;
  const bool in_place = sizeof(T) == sizeof(C);
  const bool both = plan->order == PassOrder::both;
  plan->term_capacity = int64_t{plan->vertical.stride} * (both ? h.stride : 1);
  plan->row_term_capacity = both ? 0 : int64_t{h.output_phases} * h.stride;
  plan->phase_row_capacity = h.output_phases > 1 ? out_row + h.output_phases : 0;
  plan->out_row_capacity = !in_place || plan->stage ? out_row + unit : 0;
  plan->in_row_capacity = 0;
  plan->padded_capacity = both ? 0 : padded;
  plan->ring_slots = 1;
  while (plan->ring_slots < plan->vertical.stride) plan->ring_slots *= 2;
  switch (plan->order) {
    case PassOrder::vertical_first:
      plan->in_row_capacity = h.source_phases > 1 ? in_row : 0;
      plan->ring_slot_capacity = in_place ? 0 : in_row;
      break;
    case PassOrder::horizontal_first:
      plan->ring_slot_capacity = out_row;
      break;
    case PassOrder::both:
      plan->ring_slot_capacity = padded;
      break;
  }
  const int64_t terms = plan->term_capacity + plan->row_term_capacity;
  const int64_t elements = plan->phase_row_capacity + plan->out_row_capacity +
                           plan->in_row_capacity + plan->padded_capacity +
                           plan->ring_slots * plan->ring_slot_capacity;
  constexpr int kBuffers = 7;
  plan->workspace_bytes = round_up(terms * static_cast<int64_t>(sizeof(void*) + sizeof(double)) +
                                       elements * static_cast<int64_t>(sizeof(C)),
                                   kAlignment) +
                          kBuffers * kAlignment;
}

template <typename T, typename C>
void make_plan(const Upfirdn2dParams& p, const T* y, Planned<C>* out) {
  // To a separable filter's rounding errors belong those of its factors.
  const double tolerance = sizeof(C) == sizeof(double) ? 0x1p-51 : 0x1p-23;
  const Taps taps = taps_of(p, tolerance);
  Upfirdn2dPlan<C>& plan = out->plan;
  plan.in_h = p.in_h;
  plan.in_w = p.in_w;
  plan.out_h = p.out_h;
  plan.out_w = p.out_w;
  plan_vertical(p, taps, out);
  plan_horizontal(p, taps, out);
  plan.order = taps.separable ? choose_order(p, plan) : PassOrder::both;
  constexpr int64_t size = sizeof(T);
  const bool large = sizeof(T) == sizeof(C) && p.out_size() * size > kStreamAbove &&
                     reinterpret_cast<uintptr_t>(y) % sizeof(C) == 0;
  const bool whole_lines =
      p.out_w * size % kAlignment == 0 && reinterpret_cast<uintptr_t>(y) % kAlignment == 0;
  plan.stream = large && whole_lines;
  plan.stage = large && !whole_lines;
  plan.prefetch = p.in_size() * size > kPrefetchAbove;
  size_buffers<T>(p, &plan);
}

// Bands of rows per plane: enough tiles for the threads to share evenly, but no band so low that
// the rows it reads again from its neighbours would count.
int64_t bands_per_plane(const Upfirdn2dParams& p, int threads) {
  const int64_t wanted = (4 * int64_t{threads} + p.planes - 1) / p.planes;
  const int64_t possible = std::max<int64_t>(1, p.out_h / (8 * int64_t{p.taps_h}));
  return std::min(wanted, possible);
}

}  // namespace

int64_t upfirdn2d_out_size(int64_t in, int up, int down, int64_t pad0, int64_t pad1, int taps) {
  const int64_t room = in * up + pad0 + pad1 - taps;
  return room < 0 ? 0 : room / down + 1;
}

template <typename T>
void upfirdn2d(T* y, const T* x, const Upfirdn2dParams& p) {
  typedef typename Compute<T>::type C;
  if (p.out_size() == 0) return;
  Planned<C> planned;
  make_plan(p, y, &planned);
  const Upfirdn2dPlan<C>& plan = planned.plan;

  const int threads = std::max(p.in_size(), p.out_size()) < kSerialBelow ? 1 : max_threads();
  const int64_t bands = bands_per_plane(p, threads);
  const int64_t tiles = p.planes * bands;
  Scratch scratch;
  char* workspaces = static_cast<char*>(scratch.bytes(threads * plan.workspace_bytes));
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t plane = tile / bands, band = tile % bands;
    upfirdn2d_tile(plan, y + plane * p.out_h * p.out_w, x + plane * p.in_h * p.in_w,
                   band * p.out_h / bands, (band + 1) * p.out_h / bands,
                   workspaces + thread_number() * plan.workspace_bytes);
  }
}

template void upfirdn2d(float*, const float*, const Upfirdn2dParams&);
template void upfirdn2d(double*, const double*, const Upfirdn2dParams&);
template void upfirdn2d(float16*, const float16*, const Upfirdn2dParams&);
template void upfirdn2d(bfloat16*, const bfloat16*, const Upfirdn2dParams&);

}  // namespace pygan
