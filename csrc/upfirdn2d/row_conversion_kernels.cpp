// Rows of the storage types, to and from the types computed in.
#include "upfirdn2d/row_ops.h"

namespace pygan {
namespace PYGAN_ISA {
namespace {

template <typename T, typename C>
void read_row(C* __restrict dst, const T* __restrict src, int64_t size) {
  for (int64_t i = 0; i < size; ++i) dst[i] = to_float(src[i]);
}

template <typename T, typename C>
void write_row(T* __restrict dst, const C* __restrict src, int64_t size) {
  for (int64_t i = 0; i < size; ++i) from_float(src[i], &dst[i]);
}

template <typename T, typename C>
void read_row_split(C* __restrict even, C* __restrict odd, const T* __restrict src, int64_t size) {
  const int64_t pairs = size / 2;
  for (int64_t i = 0; i < pairs; ++i) {
    even[i] = to_float(src[2 * i]);
    odd[i] = to_float(src[2 * i + 1]);
  }
  if (size % 2 != 0) even[pairs] = to_float(src[size - 1]);
}

template <typename T, typename C>
struct Table {
  static constexpr RowConversions<T> value = {read_row<T, C>, read_row_split<T, C>,
                                              write_row<T, C>};
};

}  // namespace

template <>
const RowConversions<float>& row_conversions() {
  return Table<float, float>::value;
}
template <>
const RowConversions<double>& row_conversions() {
  return Table<double, double>::value;
}
template <>
const RowConversions<float16>& row_conversions() {
  return Table<float16, float>::value;
}
template <>
const RowConversions<bfloat16>& row_conversions() {
  return Table<bfloat16, float>::value;
}

}  // namespace PYGAN_ISA
}  // namespace pygan
