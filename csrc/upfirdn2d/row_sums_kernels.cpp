// Weighted sums of rows.
#include "common/simd.h"
#include "common/simd_partial.h"
#include "upfirdn2d/row_ops.h"

namespace pygan {
namespace PYGAN_ISA {
namespace {

// ---- Pairs of vectors: low/high halves of a[0] b[0] a[1] b[1] ..., and the way back.

#define PYGAN_SHUFFLES(V, low, high, even, odd)                                            \
  PYGAN_INLINE V interleave_low(V a, V b) { return __builtin_shufflevector(a, b, low); }   \
  PYGAN_INLINE V interleave_high(V a, V b) { return __builtin_shufflevector(a, b, high); } \
  PYGAN_INLINE V even_lanes(V a, V b) { return __builtin_shufflevector(a, b, even); }      \
  PYGAN_INLINE V odd_lanes(V a, V b) { return __builtin_shufflevector(a, b, odd); }
#define PYGAN_LIST(...) __VA_ARGS__
#if PYGAN_VECTOR_BYTES == 64
PYGAN_SHUFFLES(VecF, PYGAN_LIST(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
               PYGAN_LIST(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31),
               PYGAN_LIST(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30),
               PYGAN_LIST(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31))
PYGAN_SHUFFLES(VecD, PYGAN_LIST(0, 8, 1, 9, 2, 10, 3, 11), PYGAN_LIST(4, 12, 5, 13, 6, 14, 7, 15),
               PYGAN_LIST(0, 2, 4, 6, 8, 10, 12, 14), PYGAN_LIST(1, 3, 5, 7, 9, 11, 13, 15))
#elif PYGAN_VECTOR_BYTES == 32
PYGAN_SHUFFLES(VecF, PYGAN_LIST(0, 8, 1, 9, 2, 10, 3, 11), PYGAN_LIST(4, 12, 5, 13, 6, 14, 7, 15),
               PYGAN_LIST(0, 2, 4, 6, 8, 10, 12, 14), PYGAN_LIST(1, 3, 5, 7, 9, 11, 13, 15))
PYGAN_SHUFFLES(VecD, PYGAN_LIST(0, 4, 1, 5), PYGAN_LIST(2, 6, 3, 7), PYGAN_LIST(0, 2, 4, 6),
               PYGAN_LIST(1, 3, 5, 7))
#else
PYGAN_SHUFFLES(VecF, PYGAN_LIST(0, 4, 1, 5), PYGAN_LIST(2, 6, 3, 7), PYGAN_LIST(0, 2, 4, 6),
               PYGAN_LIST(1, 3, 5, 7))
PYGAN_SHUFFLES(VecD, PYGAN_LIST(0, 2), PYGAN_LIST(1, 3), PYGAN_LIST(0, 2), PYGAN_LIST(1, 3))
#endif
#undef PYGAN_LIST
#undef PYGAN_SHUFFLES

// ---- Sums

// A sum of N terms, known to the compiler, so that rows and weights stay in registers; N = 0 stands
// for any number of terms.
template <int N, typename C>
struct Sum {
  typedef typename Vec<C>::type V;
  const C* rows[N];
  V weights[N];
  Sum(const Term<C>* terms, int) {
    for (int j = 0; j < N; ++j) {
      rows[j] = terms[j].row;
      weights[j] = splat(terms[j].weight);
    }
  }
  inline __attribute__((always_inline)) V at(int64_t i) const {
    V sum = {};
    for (int j = 0; j < N; ++j) sum += weights[j] * load(rows[j] + i);
    return sum;
  }
  inline __attribute__((always_inline)) V first_at(int64_t i, int count) const {
    V sum = {};
    for (int j = 0; j < N; ++j) sum += weights[j] * load_first(rows[j] + i, count);
    return sum;
  }
};

template <typename C>
struct Sum<0, C> {
  typedef typename Vec<C>::type V;
  const Term<C>* terms;
  int n;
  Sum(const Term<C>* terms_, int n_) : terms(terms_), n(n_) {}
  inline __attribute__((always_inline)) V at(int64_t i) const {
    V sum = {};
    for (int j = 0; j < n; ++j) sum += splat(terms[j].weight) * load(terms[j].row + i);
    return sum;
  }
  inline __attribute__((always_inline)) V first_at(int64_t i, int count) const {
    V sum = {};
    for (int j = 0; j < n; ++j) {
      sum += splat(terms[j].weight) * load_first(terms[j].row + i, count);
    }
    return sum;
  }
};

template <bool Stream, typename C>
PYGAN_INLINE void put(C* p, typename Vec<C>::type v) {
  if (Stream) {
    store_stream(p, v);
  } else {
    store(p, v);
  }
}

// Lanes up to the first address >= p that a whole vector can be stored at without crossing a line.
template <typename C>
PYGAN_INLINE int lanes_to_alignment(const C* p, int64_t size) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(p);
  const int64_t head = static_cast<int64_t>(-address % PYGAN_VECTOR_BYTES / sizeof(C));
  return static_cast<int>(head < size ? head : size);
}

template <bool Stream, int N, typename C>
PYGAN_INLINE void sum_row_n(C* dst, const Term<C>* terms, int n, int64_t size) {
  constexpr int L = lanes<C>();
  const Sum<N, C> sum(terms, n);
  int64_t i = lanes_to_alignment(dst, size);
  if (i > 0) store_first(dst, sum.first_at(0, static_cast<int>(i)), static_cast<int>(i));
  if (N == 0) {  // spread the cost of reading the terms over several vectors
    constexpr int kStrip = 4;
    for (; i + kStrip * L <= size; i += kStrip * L) {
      typename Vec<C>::type sums[kStrip] = {};
      for (int j = 0; j < n; ++j) {
        const C* p = terms[j].row + i;
        const typename Vec<C>::type weight = splat(terms[j].weight);
        for (int s = 0; s < kStrip; ++s) sums[s] += weight * load(p + s * L);
      }
      for (int s = 0; s < kStrip; ++s) put<Stream>(dst + i + s * L, sums[s]);
    }
  }
  for (; i + L <= size; i += L) put<Stream>(dst + i, sum.at(i));
  if (i < size) {
    const int rest = static_cast<int>(size - i);
    store_first(dst + i, sum.first_at(i, rest), rest);
  }
}

// Calls function<N>(arguments) with N = n where there is a specialisation, and N = 0 otherwise.
#define PYGAN_SPECIALISE(n, call) \
  switch (n) {                    \
    case 1: {                     \
      constexpr int N = 1;        \
      return call;                \
    }                             \
    case 2: {                     \
      constexpr int N = 2;        \
      return call;                \
    }                             \
    case 3: {                     \
      constexpr int N = 3;        \
      return call;                \
    }                             \
    case 4: {                     \
      constexpr int N = 4;        \
      return call;                \
    }                             \
    case 6: {                     \
      constexpr int N = 6;        \
      return call;                \
    }                             \
    case 8: {                     \
      constexpr int N = 8;        \
      return call;                \
    }                             \
    default: {                    \
      constexpr int N = 0;        \
      return call;                \
    }                             \
  }

template <typename C>
void sum_row(C* dst, const Term<C>* terms, int n, int64_t size, bool stream) {
  if (stream) {
    PYGAN_SPECIALISE(n, (sum_row_n<true, N>(dst, terms, n, size)))
  }
  PYGAN_SPECIALISE(n, (sum_row_n<false, N>(dst, terms, n, size)))
}

template <int N, typename C>
PYGAN_INLINE void sum_row_split_n(C* even, C* odd, const Term<C>* terms, int n, int64_t size) {
  constexpr int L = lanes<C>();
  const Sum<N, C> sum(terms, n);
  int64_t i = 0;
  for (; i + 2 * L <= size; i += 2 * L) {
    const typename Vec<C>::type a = sum.at(i), b = sum.at(i + L);
    store(even + i / 2, even_lanes(a, b));
    store(odd + i / 2, odd_lanes(a, b));
  }
  if (i < size) {
    const int rest = static_cast<int>(size - i);
    typename Vec<C>::type a = {}, b = {};
    if (rest < L) {
      a = sum.first_at(i, rest);
    } else {
      a = sum.at(i);
      b = sum.first_at(i + L, rest - L);
    }
    store_first(even + i / 2, even_lanes(a, b), (rest + 1) / 2);
    store_first(odd + i / 2, odd_lanes(a, b), rest / 2);
  }
}

template <typename C>
void sum_row_split(C* even, C* odd, const Term<C>* terms, int n, int64_t size) {
  PYGAN_SPECIALISE(n, (sum_row_split_n<N>(even, odd, terms, n, size)))
}

template <int N, typename C>
PYGAN_INLINE void sum_rows_interleaved_n(C* dst, const Term<C>* even, const Term<C>* odd,
                                         int n_even, int n_odd, int64_t size) {
  constexpr int L = lanes<C>();
  const Sum<N, C> even_sum(even, n_even), odd_sum(odd, n_odd);
  int64_t i = 0;
  for (; i + 2 * L <= size; i += 2 * L) {
    const typename Vec<C>::type a = even_sum.at(i / 2), b = odd_sum.at(i / 2);
    store(dst + i, interleave_low(a, b));
    store(dst + i + L, interleave_high(a, b));
  }
  if (i < size) {
    const int rest = static_cast<int>(size - i);
    const typename Vec<C>::type a = even_sum.first_at(i / 2, (rest + 1) / 2);
    const typename Vec<C>::type b = odd_sum.first_at(i / 2, rest / 2);
    if (rest < L) {
      store_first(dst + i, interleave_low(a, b), rest);
    } else {
      store(dst + i, interleave_low(a, b));
      store_first(dst + i + L, interleave_high(a, b), rest - L);
    }
  }
}

template <typename C>
void sum_rows_interleaved(C* dst, const Term<C>* even, const Term<C>* odd, int n_even, int n_odd,
                          int64_t size) {
  const int same = n_even == n_odd ? n_even : 0;
  PYGAN_SPECIALISE(same, (sum_rows_interleaved_n<N>(dst, even, odd, n_even, n_odd, size)))
}

template <typename C>
void stream_lines(C* dst, const C* src, int64_t size) {
  for (int64_t i = 0; i < size; i += lanes<C>()) store_stream(dst + i, load(src + i));
}

void fence() { stream_fence(); }

template <typename C>
struct Table {
  static constexpr RowSums<C> value = {sum_row<C>, sum_row_split<C>, sum_rows_interleaved<C>,
                                       stream_lines<C>, fence};
};

}  // namespace

template <>
const RowSums<float>& row_sums() {
  return Table<float>::value;
}
template <>
const RowSums<double>& row_sums() {
  return Table<double>::value;
}

}  // namespace PYGAN_ISA
}  // namespace pygan
