// Transforms the colours of a run of pixels.
#include "augment/color_run.h"

namespace pygan {
namespace PYGAN_ISA {
namespace {

template <bool Noise, typename T>
void transform_one(const ColorRun<T>& run) {
  typedef typename ColorRun<T>::C C;
  T* __restrict y = run.y[0];
  const T* __restrict x = run.x[0];
  const T* __restrict noise = run.noise[0];
  const C factor = run.matrix[0][0], offset = run.offset[0], sigma = run.sigma;
  const int64_t count = run.count;
  for (int64_t k = 0; k < count; ++k) {
    C sum = factor * to_float(x[k]) + offset;
    if (Noise) sum += sigma * to_float(noise[k]);
    from_float(sum, y + k);
  }
}

template <bool Noise, typename T>
void transform_three(const ColorRun<T>& run) {
  typedef typename ColorRun<T>::C C;
  T* __restrict y0 = run.y[0];
  T* __restrict y1 = run.y[1];
  T* __restrict y2 = run.y[2];
  const T* __restrict x0 = run.x[0];
  const T* __restrict x1 = run.x[1];
  const T* __restrict x2 = run.x[2];
  const T* __restrict n0 = run.noise[0];
  const T* __restrict n1 = run.noise[1];
  const T* __restrict n2 = run.noise[2];
  const C m00 = run.matrix[0][0], m01 = run.matrix[0][1], m02 = run.matrix[0][2];
  const C m10 = run.matrix[1][0], m11 = run.matrix[1][1], m12 = run.matrix[1][2];
  const C m20 = run.matrix[2][0], m21 = run.matrix[2][1], m22 = run.matrix[2][2];
  const C b0 = run.offset[0], b1 = run.offset[1], b2 = run.offset[2], sigma = run.sigma;
  const int64_t count = run.count;
  for (int64_t k = 0; k < count; ++k) {
    const C a = to_float(x0[k]), b = to_float(x1[k]), c = to_float(x2[k]);
    C s0 = m00 * a + m01 * b + m02 * c + b0;
    C s1 = m10 * a + m11 * b + m12 * c + b1;
    C s2 = m20 * a + m21 * b + m22 * c + b2;
    if (Noise) {
      s0 += sigma * to_float(n0[k]);
      s1 += sigma * to_float(n1[k]);
      s2 += sigma * to_float(n2[k]);
    }
    from_float(s0, y0 + k);
    from_float(s1, y1 + k);
    from_float(s2, y2 + k);
  }
}

}  // namespace

template <typename T>
void transform_run(const ColorRun<T>& run, int colors) {
  const bool noise = run.noise[0] != nullptr;
  if (colors == 1) return noise ? transform_one<true>(run) : transform_one<false>(run);
  return noise ? transform_three<true>(run) : transform_three<false>(run);
}

template void transform_run(const ColorRun<float>&, int);
template void transform_run(const ColorRun<double>&, int);
template void transform_run(const ColorRun<float16>&, int);
template void transform_run(const ColorRun<bfloat16>&, int);

}  // namespace PYGAN_ISA
}  // namespace pygan
