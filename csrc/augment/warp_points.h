// The loops of a warp over points between pixels, which are compiled for several instruction sets.
#pragma once

#include <cstdint>

#include "common/isa.h"

namespace pygan {

// Points on a line: (x + dx * k, y + dy * k) for 0 <= k < count, in pixels of a window of `height`
// rows and `width` columns, both at least 2, whose rows lie `stride` apart. With a period other
// than zero they are taken modulo that first.
struct WarpLine {
  int64_t count;
  double x, dx, y, dy;
  double period_x, period_y;
  int64_t height, width, stride;
};

// Between which pixels points lie: `corner` is the index of the upper left one of four, and x, y
// how far it is from there.
template <typename C>
struct WarpPoints {
  int32_t* corner;
  C* x;
  C* y;
};

// C: float or double. What a map makes of positions, points never lie outside the window.
PYGAN_DECLARE_KERNELS(template <typename C>
                      void locate(const WarpPoints<C>& points, const WarpLine& line);
                      // z[k] = the bilinear value of the window u at point k.
                      template <typename C> void sample(C* z, const C* u, int64_t stride,
                                                        const WarpPoints<C>& points, int64_t count);
                      // Adds what the transposed of that makes of z to u.
                      template <typename C> void spread(C* u, const C* z, int64_t stride,
                                                        const WarpPoints<C>& points, int64_t count);
                      // y[k] += x[k]
                      template <typename C> void add_row(C* y, const C* x, int64_t count);)

}  // namespace pygan
