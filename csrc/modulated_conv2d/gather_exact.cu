// The gather kernel in float and double arithmetic (gather_gemm.h).
#include "modulated_conv2d/gather_launch.cuh"

namespace pygan {
namespace {

using LargeFloat = GatherTile<ScalarMultiplier<float, 8, 8>, 2, 2, 3>;
using SmallFloat = GatherTile<ScalarMultiplier<float, 8, 4>, 2, 2, 4>;
using SmallDouble = GatherTile<ScalarMultiplier<double, 8, 4>, 2, 2, 4>;

template <typename Tile>
constexpr bool has_shape(const TileShape& shape) {
  return Tile::kRows == shape.rows && Tile::kPixels == shape.pixels;
}
static_assert(has_shape<LargeFloat>(kFloatTile[0]) && has_shape<SmallFloat>(kFloatTile[1]) &&
                  has_shape<SmallDouble>(kDoubleTile[0]) && has_shape<SmallDouble>(kDoubleTile[1]),
              "the table must tell the tiles' shapes");

}  // namespace

void launch_gather_exact(const GatherLaunch& launch, const CudaContext& context) {
  dispatch_storage(launch.storage, [&](auto element) {
    using T = decltype(element);
    if constexpr (std::is_same<T, double>::value) {
      launch_gather<SmallDouble, T>(launch, context);
    } else if (launch.tile == 0) {
      launch_gather<LargeFloat, T>(launch, context);
    } else {
      launch_gather<SmallFloat, T>(launch, context);
    }
  });
}

}  // namespace pygan
