// Finds the pixels around points, and goes from them to the points and back.
#include "augment/warp_points.h"
#include "common/simd.h"

namespace pygan {
namespace PYGAN_ISA {
namespace {

template <bool Wrapped, typename C>
void locate_all(int32_t* __restrict corner, C* __restrict fx, C* __restrict fy,
                const WarpLine& line) {
  const double x = line.x, dx = line.dx, y = line.y, dy = line.dy;
  const double period_x = line.period_x, period_y = line.period_y;
  const double per_x = period_x > 0 ? 1 / period_x : 0, per_y = period_y > 0 ? 1 / period_y : 0;
  const int32_t last_x = static_cast<int32_t>(line.width - 2);
  const int32_t last_y = static_cast<int32_t>(line.height - 2);
  const int32_t stride = static_cast<int32_t>(line.stride);
  const int32_t count = static_cast<int32_t>(line.count);
  for (int32_t k = 0; k < count; ++k) {
    double px = x + dx * k, py = y + dy * k;
    if (Wrapped) {
      px -= period_x * __builtin_floor(px * per_x);
      py -= period_y * __builtin_floor(py * per_y);
    }
    int32_t ix = static_cast<int32_t>(px), iy = static_cast<int32_t>(py);
    ix = ix < 0 ? 0 : ix > last_x ? last_x : ix;
    iy = iy < 0 ? 0 : iy > last_y ? last_y : iy;
    corner[k] = iy * stride + ix;
    fx[k] = static_cast<C>(px - ix);
    fy[k] = static_cast<C>(py - iy);
  }
}

template <typename C>
PYGAN_INLINE void spread_one(C* __restrict u, const C* __restrict z, int64_t stride,
                             const WarpPoints<C>& points, int64_t k) {
  C* p = u + points.corner[k];
  const C right = z[k] * points.x[k], left = z[k] - right;
  const C right_below = right * points.y[k], left_below = left * points.y[k];
  p[0] += left - left_below;
  p[1] += right - right_below;
  p[stride] += left_below;
  p[stride + 1] += right_below;
}

}  // namespace

template <typename C>
void locate(const WarpPoints<C>& points, const WarpLine& line) {
  if (line.period_x > 0 || line.period_y > 0) {
    locate_all<true>(points.corner, points.x, points.y, line);
  } else {
    locate_all<false>(points.corner, points.x, points.y, line);
  }
}

template <typename C>
void sample(C* __restrict z, const C* __restrict u, int64_t stride, const WarpPoints<C>& points,
            int64_t count) {
  const int32_t* __restrict corner = points.corner;
  const C* __restrict fx = points.x;
  const C* __restrict fy = points.y;
  for (int64_t k = 0; k < count; ++k) {
    const C* p = u + corner[k];
    const C top = p[0] + fx[k] * (p[1] - p[0]);
    const C bottom = p[stride] + fx[k] * (p[stride + 1] - p[stride]);
    z[k] = top + fy[k] * (bottom - top);
  }
}

template <typename C>
void spread(C* __restrict u, const C* __restrict z, int64_t stride, const WarpPoints<C>& points,
            int64_t count) {
  // Neighbours add to the same pixels, and would wait for each other: eight streams, far apart,
  // take turns.
  constexpr int kStreams = 8;
  const int64_t length = count / kStreams;
  for (int64_t k = 0; k < length; ++k) {
    for (int s = 0; s < kStreams; ++s) spread_one(u, z, stride, points, k + s * length);
  }
  for (int64_t k = kStreams * length; k < count; ++k) spread_one(u, z, stride, points, k);
}

template <typename C>
void add_row(C* __restrict y, const C* __restrict x, int64_t count) {
  for (int64_t k = 0; k < count; ++k) y[k] += x[k];
}

#define PYGAN_INSTANTIATE(C)                                                              \
  template void locate(const WarpPoints<C>&, const WarpLine&);                            \
  template void sample(C* __restrict, const C* __restrict, int64_t, const WarpPoints<C>&, \
                       int64_t);                                                          \
  template void spread(C* __restrict, const C* __restrict, int64_t, const WarpPoints<C>&, \
                       int64_t);                                                          \
  template void add_row(C* __restrict, const C* __restrict, int64_t);
PYGAN_INSTANTIATE(float)
PYGAN_INSTANTIATE(double)
#undef PYGAN_INSTANTIATE

}  // namespace PYGAN_ISA
}  // namespace pygan
