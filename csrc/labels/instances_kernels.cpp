// Rows of an instance map's edges, and the means of instances back to their pixels.
#include "labels/instances_run.h"

namespace pygan {
namespace PYGAN_ISA {

template <typename I>
void edges_row(float* __restrict edges, const I* above, const I* row, const I* below,
               int64_t width) {
  const int64_t last = width - 1;
  for (int64_t j = 1; j < last; ++j) {
    const I id = row[j];
    edges[j] = (id != row[j - 1]) | (id != row[j + 1]) | (id != above[j]) | (id != below[j]);
  }
  for (int64_t j = 0; j < width; j += last > 0 ? last : 1) {
    const I id = row[j];
    edges[j] = (j > 0 && id != row[j - 1]) || (j < last && id != row[j + 1]) || id != above[j] ||
               id != below[j];
  }
}

template <typename T>
void spread_means(T* __restrict y, const int32_t* __restrict slot, const double* __restrict means,
                  int64_t count) {
  typedef typename Compute<T>::type C;
  for (int64_t p = 0; p < count; ++p) from_float(static_cast<C>(means[slot[p]]), y + p);
}

template void edges_row(float*, const int32_t*, const int32_t*, const int32_t*, int64_t);
template void edges_row(float*, const int64_t*, const int64_t*, const int64_t*, int64_t);
template void spread_means(float*, const int32_t*, const double*, int64_t);
template void spread_means(double*, const int32_t*, const double*, int64_t);
template void spread_means(float16*, const int32_t*, const double*, int64_t);
template void spread_means(bfloat16*, const int32_t*, const double*, int64_t);

}  // namespace PYGAN_ISA
}  // namespace pygan
