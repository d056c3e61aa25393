// Threads for kernels: OpenMP on the runtime that Paddle's wheel carries (libiomp5), so that one
// pool serves both. Kernels use `#pragma omp parallel for` with a static schedule (of a dynamic
// one, as GCC calls it, that runtime hands out some iterations twice), and reduce in an order that
// does not depend on the number of threads.
#pragma once

#include <cstdint>

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace pygan {

// Below this many elements (about 30 microseconds of work) starting threads costs more than it
// gives.
constexpr int64_t kSerialBelow = int64_t{1} << 16;

inline int max_threads() {
#if defined(_OPENMP)
  return omp_get_max_threads();
#else
  return 1;
#endif
}

}  // namespace pygan
