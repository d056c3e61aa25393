// One tile of a warped image: the pixels of a result, and the window of u, the image at twice its
// resolution, that they see. Nothing larger than the two is ever held.
#pragma once

#include <cstddef>
#include <cstdint>

#include "augment/source_map.h"
#include "augment/warp.h"
#include "augment/warp_points.h"
#include "common/half.h"

namespace pygan {

// Pixels of the result, ends excluded.
struct WarpTile {
  int64_t top, bottom;
  int64_t left, right;
};

// A piece of one axis of u, even in where it starts and how long it is. u repeats itself with a
// period that the whole image gives; a window wider than that holds one period and a bit instead.
struct WarpWindow {
  int64_t first = 0, size = 0;
  double period = 0;  // 0: points lie inside as they are
};

// The windows of the tile on both axes, for a map that is_bounded.
struct WarpWindows {
  WarpWindow y, x;
};
WarpWindows windows_of(const WarpTile& tile, const SourceMap& map, const WarpParams& params);

// The passes over one tile, in a workspace of bytes(). T: storage type.
template <typename T>
class WarpPasses {
 public:
  typedef typename Compute<T>::type C;

  // Enough for any tile of a sample with the map, in either direction. Throws std::bad_alloc for
  // windows that no index can count.
  static size_t bytes(const SourceMap& map, const WarpParams& params);

  WarpPasses(const SourceMap& map, const WarpParams& params, void* workspace);

  // Chooses the tile that the others work on.
  void place(const WarpTile& tile);
  // The tile of plane y, from plane x.
  void forward(T* y, const T* x);
  // Adds what the tile of plane dy gives to plane dx.
  void backward(C* dx, const T* dy);

 private:
  void upsample(const T* x);
  void downsample(T* y);
  void upsample_gradient(C* dx);
  void downsample_gradient(const T* dy);

  const SourceMap map_;
  const WarpParams params_;
  char* const workspace_;
  WarpTile tile_ = {};
  WarpWindows window_;
  int64_t z_height_ = 0, z_width_ = 0, z_stride_ = 0, u_stride_ = 0;
  int64_t filtered_rows_ = 0;  // rows of x, continued, that the window needs
  // In the workspace.
  WarpPoints<C> points_ = {};
  C* u_ = nullptr;     // the window
  C* z_ = nullptr;     // warped: the tile at twice its resolution, with the filter's reach
  C* half_ = nullptr;  // filtered along one axis
  C* row_ = nullptr;   // one row with room at both ends
  C* other_row_ = nullptr;
};

// Sides of a tile, in pixels.
constexpr int64_t kWarpTile = 64;

}  // namespace pygan
