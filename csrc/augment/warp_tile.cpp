#include "augment/warp_tile.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>

#include "upfirdn2d/row_ops.h"

namespace pygan {
namespace {

constexpr int64_t kAlignment = 64;
constexpr int kReach = kWarpCentre;             // of z before a tile's first pixel
constexpr int64_t kMargin = kWarpTapCount - 2;  // pixels of z more than twice those of the tile
constexpr int kPhaseTaps = kWarpTapCount / 2;   // of which each pixel of u is a sum
constexpr int64_t kBefore = kPhaseTaps / 2;     // pixels of x before an even one of u
constexpr int64_t kRoom = 8;                    // at the ends of rows

template <typename C>
const RowSums<C>& best_row_sums() {
  PYGAN_DISPATCH(row_sums<C>());
}
template <typename T>
const RowConversions<T>& best_row_conversions() {
  PYGAN_DISPATCH(row_conversions<T>());
}
template <typename C>
void locate_points(const WarpPoints<C>& points, const WarpLine& line) {
  PYGAN_DISPATCH(locate(points, line));
}
template <typename C>
void sample_points(C* z, const C* u, int64_t stride, const WarpPoints<C>& points, int64_t count) {
  PYGAN_DISPATCH(sample(z, u, stride, points, count));
}
template <typename C>
void spread_points(C* u, const C* z, int64_t stride, const WarpPoints<C>& points, int64_t count) {
  PYGAN_DISPATCH(spread(u, z, stride, points, count));
}
template <typename C>
void add_rows(C* y, const C* x, int64_t count) {
  PYGAN_DISPATCH(add_row(y, x, count));
}

int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}
template <typename C>
int64_t stride_of(int64_t size) {
  return round_up(size, kAlignment / sizeof(C));
}

// Tap t of a pixel of z for the result, and of x for u (with the factor 2).
template <typename C>
C tap(int t) {
  return static_cast<C>(kWarpTaps[t]);
}
template <typename C>
C double_tap(int t) {
  return static_cast<C>(2 * kWarpTaps[t]);
}

int64_t period_of(int64_t size) { return 2 * std::max<int64_t>(1, 2 * (size - 1)); }

WarpWindow window_between(double low, double high, int64_t size) {
  WarpWindow window;
  const int64_t period = period_of(size);
  const int64_t first = static_cast<int64_t>(std::floor(low)) - 1;
  const int64_t last = static_cast<int64_t>(std::floor(high)) + 2;
  window.first = first - (first & 1);
  window.size = round_up(last - window.first + 1, 2);
  if (window.size > period + 2) {
    window.first = 0;
    window.size = period + 2;
    window.period = static_cast<double>(period);
  }
  return window;
}

// Extent of a * i + b * j over a tile's z, in pixels of u.
double extent(double a, double b, int64_t height, int64_t width) {
  return std::abs(a) * static_cast<double>(width - 1) +
         std::abs(b) * static_cast<double>(height - 1);
}

// Counts bytes first, and hands them out when there is memory.
struct Carver {
  char* at;
  size_t used = 0;
  template <typename E>
  E* get(int64_t count) {
    E* const place = reinterpret_cast<E*>(at + used);
    used += static_cast<size_t>(round_up(count * static_cast<int64_t>(sizeof(E)), kAlignment));
    return at == nullptr ? nullptr : place;
  }
};

}  // namespace

WarpWindows windows_of(const WarpTile& tile, const SourceMap& map, const WarpParams& params) {
  // A point of z is at 2 * M(q / 2): linear in q with the matrix itself, and twice the shift.
  const double i0 = static_cast<double>(2 * tile.top - kReach);
  const double j0 = static_cast<double>(2 * tile.left - kReach);
  const double i1 = i0 + static_cast<double>(2 * (tile.bottom - tile.top) + kMargin - 1);
  const double j1 = j0 + static_cast<double>(2 * (tile.right - tile.left) + kMargin - 1);
  const auto range = [&](double a, double b, double c, int64_t size) {
    const double low = std::min(a * j0, a * j1) + std::min(b * i0, b * i1) + 2 * c;
    const double high = std::max(a * j0, a * j1) + std::max(b * i0, b * i1) + 2 * c;
    return window_between(low, high, size);
  };
  WarpWindows windows;
  windows.x = range(map.xx, map.xy, map.x0, params.width);
  windows.y = range(map.yx, map.yy, map.y0, params.height);
  return windows;
}

template <typename T>
size_t WarpPasses<T>::bytes(const SourceMap& map, const WarpParams& params) {
  const int64_t zh = 2 * std::min(kWarpTile, params.height) + kMargin;
  const int64_t zw = 2 * std::min(kWarpTile, params.width) + kMargin;
  const auto size = [&](double a, double b, int64_t n) {
    const double most = static_cast<double>(period_of(n) + 2);
    return static_cast<int64_t>(std::min(most, std::ceil(extent(a, b, zh, zw)) + 8));
  };
  const int64_t uw = size(map.xx, map.xy, params.width);
  const int64_t uh = size(map.yx, map.yy, params.height);
  if (uh * stride_of<C>(uw) > std::numeric_limits<int32_t>::max()) throw std::bad_alloc();
  const int64_t z_stride = stride_of<C>(zw), u_stride = stride_of<C>(uw);
  const int64_t half_rows = std::max(uh / 2 + 1 + 2 * kBefore, zh);
  const int64_t widest = std::max({u_stride, z_stride, stride_of<C>(params.width)}) + 4 * kRoom;
  Carver carver = {nullptr};
  carver.get<int32_t>(zh * z_stride);
  for (int i = 0; i < 3; ++i) carver.get<C>(zh * z_stride);
  carver.get<C>(uh * u_stride);
  carver.get<C>(half_rows * std::max(u_stride, z_stride));
  for (int i = 0; i < 2; ++i) carver.get<C>(widest);
  return carver.used;
}

template <typename T>
WarpPasses<T>::WarpPasses(const SourceMap& map, const WarpParams& params, void* workspace)
    : map_(map), params_(params), workspace_(static_cast<char*>(workspace)) {}

template <typename T>
void WarpPasses<T>::place(const WarpTile& tile) {
  tile_ = tile;
  window_ = windows_of(tile, map_, params_);
  z_height_ = 2 * (tile.bottom - tile.top) + kMargin;
  z_width_ = 2 * (tile.right - tile.left) + kMargin;
  z_stride_ = stride_of<C>(z_width_);
  u_stride_ = stride_of<C>(window_.x.size);
  filtered_rows_ = window_.y.size / 2 + 2 * kBefore;
  Carver carver = {workspace_};
  points_.corner = carver.get<int32_t>(z_height_ * z_stride_);
  points_.x = carver.get<C>(z_height_ * z_stride_);
  points_.y = carver.get<C>(z_height_ * z_stride_);
  z_ = carver.get<C>(z_height_ * z_stride_);
  u_ = carver.get<C>(window_.y.size * u_stride_);
  half_ = carver.get<C>(std::max(filtered_rows_ * u_stride_, (tile.bottom - tile.top) * z_stride_));
  const int64_t widest = std::max({u_stride_, z_stride_, stride_of<C>(params_.width)}) + 4 * kRoom;
  row_ = carver.get<C>(widest);
  other_row_ = carver.get<C>(widest);

  WarpLine line;
  line.count = z_width_;
  line.dx = map_.xx;
  line.dy = map_.yx;
  line.period_x = window_.x.period;
  line.period_y = window_.y.period;
  line.height = window_.y.size;
  line.width = window_.x.size;
  line.stride = u_stride_;
  const double j = static_cast<double>(2 * tile.left - kReach);
  for (int64_t q = 0; q < z_height_; ++q) {
    const double i = static_cast<double>(2 * tile.top - kReach + q);
    line.x = map_.xx * j + map_.xy * i + 2 * map_.x0 - static_cast<double>(window_.x.first);
    line.y = map_.yx * j + map_.yy * i + 2 * map_.y0 - static_cast<double>(window_.y.first);
    const int64_t at = q * z_stride_;
    locate_points<C>({points_.corner + at, points_.x + at, points_.y + at}, line);
  }
}

template <typename T>
void WarpPasses<T>::forward(T* y, const T* x) {
  upsample(x);
  for (int64_t q = 0; q < z_height_; ++q) {
    const int64_t at = q * z_stride_;
    sample_points<C>(z_ + at, u_, u_stride_, {points_.corner + at, points_.x + at, points_.y + at},
                     z_width_);
  }
  downsample(y);
}

template <typename T>
void WarpPasses<T>::backward(C* dx, const T* dy) {
  downsample_gradient(dy);
  std::fill(u_, u_ + window_.y.size * u_stride_, C{0});
  for (int64_t q = 0; q < z_height_; ++q) {
    const int64_t at = q * z_stride_;
    spread_points<C>(u_, z_ + at, u_stride_, {points_.corner + at, points_.x + at, points_.y + at},
                     z_width_);
  }
  upsample_gradient(dx);
}

// u_ from x: pixel 2 k of u is a sum over x[k - 3 ... k + 2] by the odd taps, the last one first,
// and pixel 2 k + 1 over x[k - 2 ... k + 3] by the even ones.
template <typename T>
void WarpPasses<T>::upsample(const T* x) {
  const RowSums<C>& sums = best_row_sums<C>();
  const int64_t width = params_.width, height = params_.height;
  const int64_t first_x = window_.x.first / 2 - kBefore, first_y = window_.y.first / 2 - kBefore;
  const int64_t columns = window_.x.size / 2 + 2 * kBefore;
  // Columns of x that lie where they are, from `begin` to `end`; the others are reflections.
  const int64_t begin = std::clamp<int64_t>(-first_x, 0, columns);
  const int64_t end = std::clamp<int64_t>(width - first_x, begin, columns);
  Term<C> even[kPhaseTaps], odd[kPhaseTaps];
  for (int d = 0; d < kPhaseTaps; ++d) {
    even[d].weight = double_tap<C>(kWarpTapCount - 1 - 2 * d);
    odd[d].weight = double_tap<C>(kWarpTapCount - 2 - 2 * d);
  }
  for (int64_t r = 0; r < filtered_rows_; ++r) {
    const T* from = x + reflect(first_y + r, height) * width;
    if (begin < end) {
      best_row_conversions<T>().read(row_ + begin, from + first_x + begin, end - begin);
    }
    for (int64_t c = 0; c < begin; ++c) row_[c] = to_float(from[reflect(first_x + c, width)]);
    for (int64_t c = end; c < columns; ++c) row_[c] = to_float(from[reflect(first_x + c, width)]);
    for (int d = 0; d < kPhaseTaps; ++d) {
      even[d].row = row_ + d;
      odd[d].row = row_ + d + 1;
    }
    sums.sum_interleaved(half_ + r * u_stride_, even, odd, kPhaseTaps, kPhaseTaps, window_.x.size);
  }
  for (int64_t k = 0; k < window_.y.size / 2; ++k) {
    for (int d = 0; d < kPhaseTaps; ++d) {
      even[d].row = half_ + (k + d) * u_stride_;
      odd[d].row = half_ + (k + d + 1) * u_stride_;
    }
    sums.sum(u_ + 2 * k * u_stride_, even, kPhaseTaps, window_.x.size, false);
    sums.sum(u_ + (2 * k + 1) * u_stride_, odd, kPhaseTaps, window_.x.size, false);
  }
}

// dx += the transposed of upsample: pixel k of x is a sum over u[2 k - 5 ... 2 k + 6] by all taps
// in their order.
template <typename T>
void WarpPasses<T>::upsample_gradient(C* dx) {
  const RowSums<C>& sums = best_row_sums<C>();
  const int64_t width = params_.width, height = params_.height;
  const int64_t first_x = window_.x.first / 2 - kBefore, first_y = window_.y.first / 2 - kBefore;
  const int64_t columns = window_.x.size / 2 + 2 * kBefore, pairs = window_.x.size / 2;
  const int64_t begin = std::clamp<int64_t>(-first_x, 0, columns);
  const int64_t end = std::clamp<int64_t>(width - first_x, begin, columns);
  // The even and the odd pixels of a row of u, between zeros.
  C* const even = row_ + kRoom;
  C* const odd = even + round_up(pairs, kRoom) + kRoom;
  std::fill(row_, odd + pairs + kRoom, C{0});
  for (int64_t r = 0; r < filtered_rows_; ++r) {
    Term<C> terms[kWarpTapCount];
    int n = 0;
    const int64_t first_o = 2 * r - (kWarpTapCount - 1);  // of tap 0, in the window
    for (int t = 0; t < kWarpTapCount; ++t) {
      const int64_t o = first_o + t;
      if (o < 0 || o >= window_.y.size) continue;
      terms[n++] = {u_ + o * u_stride_, double_tap<C>(t)};
    }
    sums.sum_split(even, odd, terms, n, window_.x.size);
    for (int s = 0; s < kPhaseTaps; ++s) {
      terms[2 * s] = {odd + s - kPhaseTaps, double_tap<C>(2 * s)};
      terms[2 * s + 1] = {even + s - kPhaseTaps + 1, double_tap<C>(2 * s + 1)};
    }
    sums.sum(other_row_, terms, kWarpTapCount, columns, false);
    C* const to = dx + reflect(first_y + r, height) * width;
    if (begin < end) add_rows(to + first_x + begin, other_row_ + begin, end - begin);
    for (int64_t c = 0; c < begin; ++c) to[reflect(first_x + c, width)] += other_row_[c];
    for (int64_t c = end; c < columns; ++c) to[reflect(first_x + c, width)] += other_row_[c];
  }
}

// The tile of y from z_.
template <typename T>
void WarpPasses<T>::downsample(T* y) {
  constexpr bool kInPlace = sizeof(T) == sizeof(C);
  const RowSums<C>& sums = best_row_sums<C>();
  const int64_t width = tile_.right - tile_.left;
  C* const even = row_;
  C* const odd = row_ + round_up(z_width_ / 2, kRoom);
  Term<C> down[kWarpTapCount], along[kWarpTapCount];
  for (int t = 0; t < kWarpTapCount; ++t) {
    down[t].weight = tap<C>(t);
    along[t] = {(t % 2 == 0 ? even : odd) + t / 2, tap<C>(t)};
  }
  for (int64_t i = tile_.top; i < tile_.bottom; ++i) {
    for (int t = 0; t < kWarpTapCount; ++t) {
      down[t].row = z_ + (2 * (i - tile_.top) + t) * z_stride_;
    }
    sums.sum_split(even, odd, down, kWarpTapCount, z_width_);
    T* const to = y + i * params_.width + tile_.left;
    C* const made = kInPlace ? reinterpret_cast<C*>(to) : other_row_;
    sums.sum(made, along, kWarpTapCount, width, false);
    if (!kInPlace) best_row_conversions<T>().write(to, made, width);
  }
}

// z_ from the tile of dy: pixel 2 k of z is a sum over y[k - 5 ... k] by the even taps, the last
// one first, and pixel 2 k + 1 by the odd ones; beyond the tile dy is nothing.
template <typename T>
void WarpPasses<T>::downsample_gradient(const T* dy) {
  const RowSums<C>& sums = best_row_sums<C>();
  const int64_t width = tile_.right - tile_.left, height = tile_.bottom - tile_.top;
  C* const pixels = row_ + kRoom;
  std::fill(row_, pixels + width + kRoom, C{0});
  Term<C> even[kPhaseTaps], odd[kPhaseTaps];
  for (int s = 0; s < kPhaseTaps; ++s) {
    even[s] = {pixels - s, tap<C>(2 * s)};
    odd[s] = {pixels - s, tap<C>(2 * s + 1)};
  }
  for (int64_t i = 0; i < height; ++i) {
    const T* const from = dy + (tile_.top + i) * params_.width + tile_.left;
    best_row_conversions<T>().read(pixels, from, width);
    sums.sum_interleaved(half_ + i * z_stride_, even, odd, kPhaseTaps, kPhaseTaps, z_width_);
  }
  for (int64_t q = 0; q < z_height_; ++q) {
    int n = 0;
    for (int s = 0; s < kPhaseTaps; ++s) {
      const int64_t i = q / 2 - s;
      if (i < 0 || i >= height) continue;
      even[n++] = {half_ + i * z_stride_, tap<C>(2 * s + static_cast<int>(q % 2))};
    }
    sums.sum(z_ + q * z_stride_, even, n, z_width_, false);
  }
}

template class WarpPasses<float>;
template class WarpPasses<double>;
template class WarpPasses<float16>;
template class WarpPasses<bfloat16>;

}  // namespace pygan
