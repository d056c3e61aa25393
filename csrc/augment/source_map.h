// Where the pixels of a warped image come from. No types but double and int64_t: for CPU and GPU.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define PYGAN_HOST_DEVICE __host__ __device__
#else
#define PYGAN_HOST_DEVICE
#endif

namespace pygan {

// Position in x of pixel (j, i) of the result, both counted from the first pixel:
// x = xx * j + xy * i + x0, y = yx * j + yy * i + y0.
struct SourceMap {
  double xx, xy, x0;
  double yx, yy, y0;
};

namespace {  // one copy per translation unit: see common/isa.h

// From the numbers of a matrix, which counts from the centres.
PYGAN_HOST_DEVICE inline SourceMap source_map(const double* matrix, int64_t height, int64_t width) {
  const double cx = 0.5 * static_cast<double>(width - 1);
  const double cy = 0.5 * static_cast<double>(height - 1);
  SourceMap map = {matrix[0], matrix[1], 0, matrix[3], matrix[4], 0};
  map.x0 = matrix[2] + cx - map.xx * cx - map.xy * cy;
  map.y0 = matrix[5] + cy - map.yx * cx - map.yy * cy;
  return map;
}

PYGAN_HOST_DEVICE inline bool is_whole(double value) {
  // Above this no double has a fraction, and an int64_t would overflow.
  return value > -0x1p52 && value < 0x1p52 &&
         static_cast<double>(static_cast<int64_t>(value)) == value;
}

// Whether the map takes pixels to pixels: flips, turns by 90 degrees and whole shifts. Turned
// images with height - width odd are not among them, for their pixels' centres are half a pixel
// off.
PYGAN_HOST_DEVICE inline bool is_exact(const SourceMap& map) {
  const bool upright =
      (map.xx == 1 || map.xx == -1) && map.xy == 0 && map.yx == 0 && (map.yy == 1 || map.yy == -1);
  const bool turned =
      map.xx == 0 && (map.xy == 1 || map.xy == -1) && (map.yx == 1 || map.yx == -1) && map.yy == 0;
  return (upright || turned) && is_whole(map.x0) && is_whole(map.y0);
}

PYGAN_HOST_DEVICE inline double magnitude(double value) { return value < 0 ? -value : value; }

// Whether all pixels of the result, and those that filters reach around it, come from less than
// 2^30 pixels away, so that int64_t and even int32_t can count them. Maps with infinities or NaN
// are not.
PYGAN_HOST_DEVICE inline bool is_bounded(const SourceMap& map, int64_t height, int64_t width) {
  const double j = static_cast<double>(width + 5), i = static_cast<double>(height + 5);
  return magnitude(map.xx) * j + magnitude(map.xy) * i + magnitude(map.x0) < 0x1p30 &&
         magnitude(map.yx) * j + magnitude(map.yy) * i + magnitude(map.y0) < 0x1p30;
}

// Index of the pixel of x that continues it by reflection, without repeating the border, at any
// index.
PYGAN_HOST_DEVICE inline int64_t reflect(int64_t index, int64_t size) {
  if (size == 1) return 0;
  const int64_t period = 2 * (size - 1);
  index %= period;
  if (index < 0) index += period;
  return index < size ? index : period - index;
}

}  // namespace
}  // namespace pygan
