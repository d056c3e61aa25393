// Rows [row0, row1) of one output plane. Three orders of passes, all made of weighted sums of rows
// (row_ops.h); what they keep between rows stays in the first-level cache.
#include "upfirdn2d/tile.h"

#include <cstring>
#include <type_traits>

#include "common/isa.h"
#include "upfirdn2d/row_ops.h"

namespace pygan {
namespace {

template <typename C>
const RowSums<C>& best_row_sums() {
  PYGAN_DISPATCH(row_sums<C>());
}
template <typename T>
const RowConversions<T>& best_row_conversions() {
  PYGAN_DISPATCH(row_conversions<T>());
}

// A tile's buffers, carved off the front of its workspace.
struct Carver {
  char* free;
  template <typename U>
  U* take(int64_t count) {
    U* p = reinterpret_cast<U*>(free);
    free += (count * static_cast<int64_t>(sizeof(U)) + 63) / 64 * 64;
    return p;
  }
};

constexpr uintptr_t kLine = 64;  // bytes of a cache line
constexpr uintptr_t kPrefetchAhead = 4096;

template <typename T>
class Tile {
 public:
  typedef typename Compute<T>::type C;

  Tile(const Upfirdn2dPlan<C>& plan, T* y, const T* x, void* workspace)
      : plan_(plan),
        h_(plan.horizontal),
        sums_(best_row_sums<C>()),
        rows_(best_row_conversions<T>()),
        y_(y),
        x_(x) {
    Carver carver{static_cast<char*>(workspace)};
    terms_ = carver.take<Term<C>>(plan.term_capacity);
    row_terms_ = carver.take<Term<C>>(plan.row_term_capacity);
    phase_rows_ = carver.take<C>(plan.phase_row_capacity);
    out_row_ = carver.take<C>(plan.out_row_capacity);
    in_row_ = carver.take<C>(plan.in_row_capacity);
    padded_ = carver.take<C>(plan.padded_capacity);
    ring_ = carver.take<C>(plan.ring_slots * plan.ring_slot_capacity);
    column0_ = h_.first > 0 ? h_.first : 0;
    const int64_t end = h_.first + h_.length;
    columns_ = (end < plan.in_w ? end : plan.in_w) - column0_;
  }

  void run(int64_t row0, int64_t row1) {
    if (plan_.stage) begin_lines(out_row(row0));
    switch (plan_.order) {
      case PassOrder::vertical_first:
        vertical_first(row0, row1);
        break;
      case PassOrder::horizontal_first:
        horizontal_first(row0, row1);
        break;
      case PassOrder::both:
        both(row0, row1);
        break;
    }
    if (plan_.stage) end_lines();
    if (plan_.stream || plan_.stage) sums_.fence();
  }

 private:
  // Rows of the compute type are read and written where they lie; those of a 16-bit type are
  // converted on the way.
  static constexpr bool kInPlace = std::is_same<T, C>::value;

  void vertical_first(int64_t row0, int64_t row1) {
    fill_zero(padded_, plan_.padded_capacity);
    set_row_terms(padded_);
    const VerticalPlan<C>& v = plan_.vertical;
    int64_t converted = 0;  // source rows below this one are in the ring, as far as they are needed
    for (int64_t i = row0; i < row1; ++i) {
      const OutputRow& m = v.rows[i];
      prefetch_rows(m.first, m.last);
      if (!kInPlace) {
        for (int64_t r = converted > m.first ? converted : m.first; r < m.last; ++r) {
          rows_.read(slot(r), in_row(r), plan_.in_w);
        }
        converted = m.last;
      }
      const C* taps = v.taps + m.tap % v.up * v.stride + m.tap / v.up;
      int n = 0;
      for (int64_t r = m.first; r < m.last; ++r, ++n) {
        const C* row = kInPlace ? reinterpret_cast<const C*>(in_row(r)) : slot(r);
        terms_[n] = {row + column0_, taps[n]};
      }
      if (columns_ > 0) sum_to_padded(n);
      filter_row(compute_row(i), plan_.stream);
      finish_row(i);
    }
  }

  void horizontal_first(int64_t row0, int64_t row1) {
    fill_zero(padded_, plan_.padded_capacity);
    set_row_terms(padded_);
    const VerticalPlan<C>& v = plan_.vertical;
    int64_t filtered = 0;  // source rows below this one are in the ring, as far as they are needed
    for (int64_t i = row0; i < row1; ++i) {
      const OutputRow& m = v.rows[i];
      prefetch_rows(m.first, m.last);
      for (int64_t r = filtered > m.first ? filtered : m.first; r < m.last; ++r) {
        pad_row(padded_, in_row(r));
        filter_row(slot(r), false);
      }
      filtered = m.last;
      const C* taps = v.taps + m.tap % v.up * v.stride + m.tap / v.up;
      int n = 0;
      for (int64_t r = m.first; r < m.last; ++r, ++n) terms_[n] = {slot(r), taps[n]};
      sums_.sum(compute_row(i), terms_, n, plan_.out_w, plan_.stream);
      finish_row(i);
    }
  }

  void both(int64_t row0, int64_t row1) {
    fill_zero(ring_, plan_.ring_slots * plan_.ring_slot_capacity);
    int64_t loaded = 0;  // source rows below this one are in the ring, as far as they are needed
    for (int64_t i = row0; i < row1; ++i) {
      const OutputRow& m = plan_.vertical.rows[i];
      prefetch_rows(m.first, m.last);
      for (int64_t r = loaded > m.first ? loaded : m.first; r < m.last; ++r) {
        pad_row(slot(r), in_row(r));
      }
      loaded = m.last;
      C* row = compute_row(i);
      for (int p = 0; p < h_.output_phases; ++p) {
        const OutputPhase& phase = h_.phases[p];
        int n = 0;
        for (int64_t r = m.first; r < m.last; ++r) {
          const int64_t tap_row = m.tap + (r - m.first) * plan_.vertical.up;
          const C* taps = h_.taps + (tap_row * h_.output_phases + p) * h_.stride;
          for (int t = 0; t < phase.count; ++t) {
            terms_[n++] = {element(slot(r), phase.offset + t), taps[t]};
          }
        }
        const bool last = h_.output_phases == 1;
        sums_.sum(last ? row : phase_row(p), terms_, n, phase_size(p), last && plan_.stream);
      }
      if (h_.output_phases > 1) interleave(row);
      finish_row(i);
    }
  }

  // ---- Horizontal

  // The terms of the horizontal filter on one padded row, phase after phase.
  void set_row_terms(C* padded) {
    for (int p = 0; p < h_.output_phases; ++p) {
      const C* taps = h_.taps + int64_t{p} * h_.stride;
      for (int n = 0; n < h_.phases[p].count; ++n) {
        row_terms_[p * h_.stride + n] = {element(padded, h_.phases[p].offset + n), taps[n]};
      }
    }
  }

  void filter_row(C* dst, bool stream) {
    const OutputPhase* phases = h_.phases;
    switch (h_.output_phases) {
      case 1:
        return sums_.sum(dst, row_terms_, phases[0].count, plan_.out_w, stream);
      case 2:
        return sums_.sum_interleaved(dst, row_terms_, row_terms_ + h_.stride, phases[0].count,
                                     phases[1].count, plan_.out_w);
      default:
        for (int p = 0; p < h_.output_phases; ++p) {
          sums_.sum(phase_row(p), row_terms_ + p * h_.stride, phases[p].count, phase_size(p),
                    false);
        }
        interleave(dst);
    }
  }

  C* phase_row(int p) const { return phase_rows_ + p * phase_size(0); }
  int64_t phase_size(int p) const {
    return (plan_.out_w - p + h_.output_phases - 1) / h_.output_phases;
  }
  void interleave(C* dst) const {
    for (int p = 0; p < h_.output_phases; ++p) {
      const C* src = phase_row(p);
      C* to = dst + p;
      for (int64_t q = 0; q < phase_size(p); ++q) to[q * h_.output_phases] = src[q];
    }
  }

  // ---- Padded rows

  C* element(C* padded, int64_t m) const {
    const int phases = h_.source_phases;
    if (phases == 1) return padded + h_.shift + m;
    return padded + h_.shift + m % phases * h_.phase_length + m / phases;
  }

  void pad_row(C* padded, const T* row) const {
    const int64_t first = column0_ - h_.first;
    row += column0_;
    if (h_.source_phases == 1) {
      rows_.read(element(padded, first), row, columns_);
    } else if (h_.source_phases == 2) {
      rows_.read_split(element(padded, first), element(padded, first + 1), row, columns_);
    } else {
      for (int64_t j = 0; j < columns_; ++j) *element(padded, first + j) = to_float(row[j]);
    }
  }

  // The sum of n terms_, each of columns_ pixels, into the padded row.
  void sum_to_padded(int n) {
    const int64_t first = column0_ - h_.first;
    if (h_.source_phases == 1) {
      sums_.sum(element(padded_, first), terms_, n, columns_, false);
    } else if (h_.source_phases == 2) {
      sums_.sum_split(element(padded_, first), element(padded_, first + 1), terms_, n, columns_);
    } else {
      sums_.sum(in_row_, terms_, n, columns_, false);
      for (int64_t j = 0; j < columns_; ++j) *element(padded_, first + j) = in_row_[j];
    }
  }

  static void fill_zero(C* p, int64_t count) {
    std::memset(p, 0, static_cast<size_t>(count) * sizeof(C));
  }

  // ---- Whole rows

  // Asks for the memory behind the source rows [first, last) that are needed now. The processor's
  // own prefetching copes badly with several rows being read side by side: downsampling runs at 0.4
  // of memcpy's rate without this, and at its full rate with it.
  void prefetch_rows(int64_t first, int64_t last) {
    if (!plan_.prefetch) return;
    const uintptr_t begin = reinterpret_cast<uintptr_t>(in_row(first));
    const uintptr_t end = reinterpret_cast<uintptr_t>(in_row(last)) + kPrefetchAhead;
    for (uintptr_t p = begin > prefetched_ ? begin : prefetched_; p < end; p += kLine) {
      __builtin_prefetch(reinterpret_cast<const void*>(p), 0, 2);
    }
    prefetched_ = end;
  }

  const T* in_row(int64_t r) const { return x_ + r * plan_.in_w; }
  T* out_row(int64_t i) const { return y_ + i * plan_.out_w; }
  // What is kept of source row r.
  C* slot(int64_t r) const {
    return ring_ + (r & (plan_.ring_slots - 1)) * plan_.ring_slot_capacity;
  }

  // Where to compute output row i, and what to do once it is there.
  C* compute_row(int64_t i) const {
    if (!kInPlace) return out_row_;
    return plan_.stage ? out_row_ + held_ : reinterpret_cast<C*>(out_row(i));
  }
  void finish_row(int64_t i) {
    if (!kInPlace) {
      rows_.write(out_row(i), out_row_, plan_.out_w);
    } else if (plan_.stage) {
      write_lines();
    }
  }

  // ---- Writing around the cache when rows do not end with cache lines: out_row_ mirrors the
  // memory from `line_` on, and whole lines of it are written as they fill up. Its first `held_`
  // elements wait for the rest of their line; the first `foreign_` of them are not this tile's.

  static constexpr int64_t kLineElements = static_cast<int64_t>(kLine / sizeof(C));

  void begin_lines(T* start) {
    const uintptr_t address = reinterpret_cast<uintptr_t>(start);
    line_ = reinterpret_cast<C*>(address / kLine * kLine);
    held_ = foreign_ = static_cast<int64_t>(address % kLine / sizeof(C));
  }

  void write_lines() {
    const int64_t filled = held_ + plan_.out_w;
    const int64_t whole = filled / kLineElements * kLineElements;
    int64_t i = 0;  // elements written
    if (foreign_ > 0 && whole > 0) {
      copy(line_ + foreign_, out_row_ + foreign_, kLineElements - foreign_);
      foreign_ = 0;
      i = kLineElements;
    }
    sums_.stream_lines(line_ + i, out_row_ + i, whole - i);
    line_ += whole;
    held_ = filled - whole;
    copy(out_row_, out_row_ + whole, held_);
  }

  void end_lines() { copy(line_ + foreign_, out_row_ + foreign_, held_ - foreign_); }

  static void copy(C* dst, const C* src, int64_t count) {
    std::memmove(dst, src, static_cast<size_t>(count) * sizeof(C));
  }

  const Upfirdn2dPlan<C>& plan_;
  const HorizontalPlan<C>& h_;
  const RowSums<C>& sums_;
  const RowConversions<T>& rows_;
  T* y_;
  const T* x_;
  C* line_ = nullptr;
  int64_t held_ = 0, foreign_ = 0;
  uintptr_t prefetched_ = 0;   // memory below this has been asked for
  int64_t column0_, columns_;  // the pixels of a source row that have a place in the padded row
  Term<C>* terms_;             // of the sum being made
  Term<C>* row_terms_;         // of the horizontal filter on padded_
  C* phase_rows_;              // output phases of one row, before they are interleaved
  C* out_row_;                 // output rows on their way to a 16-bit type, or to whole lines
  C* in_row_;                  // a combined source row, before it is split into phases
  C* padded_;                  // one padded row
  C* ring_;                    // rows that several output rows need
};

}  // namespace

template <typename T>
void upfirdn2d_tile(const Upfirdn2dPlan<typename Compute<T>::type>& plan, T* y, const T* x,
                    int64_t row0, int64_t row1, void* workspace) {
  Tile<T>(plan, y, x, workspace).run(row0, row1);
}

template void upfirdn2d_tile(const Upfirdn2dPlan<float>&, float*, const float*, int64_t, int64_t,
                             void*);
template void upfirdn2d_tile(const Upfirdn2dPlan<double>&, double*, const double*, int64_t, int64_t,
                             void*);
template void upfirdn2d_tile(const Upfirdn2dPlan<float>&, float16*, const float16*, int64_t,
                             int64_t, void*);
template void upfirdn2d_tile(const Upfirdn2dPlan<float>&, bfloat16*, const bfloat16*, int64_t,
                             int64_t, void*);

}  // namespace pygan
