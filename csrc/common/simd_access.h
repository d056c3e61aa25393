// How sweeps over consecutive elements read their operands and write their results.
#pragma once

#include "common/simd_partial.h"

namespace pygan {
namespace PYGAN_ISA {

// An operand that has one value for the run, or (kVaries) may have one for each element.
template <typename C, bool kVaries>
class Operand {
 public:
  typedef typename Vec<C>::type V;

  inline __attribute__((always_inline)) Operand(const C* elements, C value) : value_(splat(value)) {
    store(repeated_, value_);
    p_ = elements != nullptr ? elements : repeated_;
    mask_ = elements != nullptr ? -1 : 0;
  }
  template <typename Access>
  inline __attribute__((always_inline)) V at(int64_t i, Access access) const {
    return kVaries ? access.load(p_ + (i & mask_)) : value_;
  }

 private:
  V value_;
  const C* p_;
  int64_t mask_;
  C repeated_[lanes<C>()];
};

// How a vector of elements is read and written: whole, or the first `count` lanes of it. The lanes
// that a partial vector lacks read as zeros and add nothing to any sum, because each of their terms
// has dy for a factor.
template <typename C>
struct Whole {
  typedef typename Vec<C>::type V;
  bool stream;
  inline __attribute__((always_inline)) V load(const C* p) const { return PYGAN_ISA::load(p); }
  inline __attribute__((always_inline)) void store(C* p, V v) const { PYGAN_ISA::store(p, v); }
  inline __attribute__((always_inline)) void put(C* p, V v) const {
    if (stream) {
      store_stream(p, v);
    } else {
      PYGAN_ISA::store(p, v);
    }
  }
  inline __attribute__((always_inline)) void add(C* p, V v) const { store(p, load(p) + v); }
};
template <typename C>
struct First {
  typedef typename Vec<C>::type V;
  int count;
  inline __attribute__((always_inline)) V load(const C* p) const { return load_first(p, count); }
  inline __attribute__((always_inline)) void store(C* p, V v) const { store_first(p, v, count); }
  inline __attribute__((always_inline)) void put(C* p, V v) const { store_first(p, v, count); }
  inline __attribute__((always_inline)) void add(C* p, V v) const { store(p, load(p) + v); }
};

constexpr int64_t kStreamRun = 128;  // shorter runs never bypass the cache

template <typename C>
PYGAN_INLINE bool is_aligned(const C* p) {
  return reinterpret_cast<uintptr_t>(p) % PYGAN_VECTOR_BYTES == 0;
}

// A result that may not be wanted (null), and bypasses the cache where it is asked to and may.
template <typename C>
class Result {
 public:
  typedef typename Vec<C>::type V;

  inline __attribute__((always_inline)) Result(C* p, bool stream, int64_t n)
      : p_(p), stream_(stream && n >= kStreamRun && is_aligned(p)) {}
  inline __attribute__((always_inline)) void put(int64_t i, V v, Whole<C>) const {
    if (p_ != nullptr) Whole<C>{stream_}.put(p_ + i, v);
  }
  inline __attribute__((always_inline)) void put(int64_t i, V v, First<C> access) const {
    if (p_ != nullptr) access.put(p_ + i, v);
  }

 private:
  C* p_;
  bool stream_;
};

}  // namespace PYGAN_ISA
}  // namespace pygan
