// The loops over rows that upfirdn2d is made of, which are compiled for several instruction sets.
//
// They read and write nothing outside the rows' ends, and every element is summed in the order of
// the terms wherever it lies in its vector, so that results do not depend on alignment.
#pragma once

#include <cstdint>

#include "common/half.h"
#include "common/isa.h"

namespace pygan {

template <typename C>
struct Term {
  const C* row;
  C weight;
};

// Weighted sums of rows of the type computed in, C: float or double.
template <typename C>
struct RowSums {
  // dst[i] = sum over j < n of terms[j].weight * terms[j].row[i], for 0 <= i < size; with `stream`
  // around the cache (dst then being aligned to its type).
  void (*sum)(C* dst, const Term<C>* terms, int n, int64_t size, bool stream);
  // The same sum, its even elements going to one row and its odd ones to another.
  void (*sum_split)(C* even, C* odd, const Term<C>* terms, int n, int64_t size);
  // Two sums, whose elements take turns in dst, of `size` elements in all.
  void (*sum_interleaved)(C* dst, const Term<C>* even, const Term<C>* odd, int n_even, int n_odd,
                          int64_t size);
  // Copies whole cache lines around the cache.
  void (*stream_lines)(C* dst, const C* src, int64_t size);
  // To be called by the thread that has written around the cache, when it is done.
  void (*fence)();
};

// Rows of the storage type T, to and from the type computed in.
template <typename T>
struct RowConversions {
  typedef typename Compute<T>::type C;
  void (*read)(C* dst, const T* src, int64_t size);
  // even[i] = src[2 * i], odd[i] = src[2 * i + 1].
  void (*read_split)(C* even, C* odd, const T* src, int64_t size);
  void (*write)(T* dst, const C* src, int64_t size);
};

PYGAN_DECLARE_KERNELS(
    // C: float or double; T: those, float16 or bfloat16.
    template <typename C> const RowSums<C>& row_sums();
    template <typename T> const RowConversions<T>& row_conversions();)

}  // namespace pygan
