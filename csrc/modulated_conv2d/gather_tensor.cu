// The gather kernel on tensor cores (gather_gemm.h).
#include "modulated_conv2d/gather_launch.cuh"
#include "modulated_conv2d/staging.cuh"

namespace pygan {
namespace {

// Four warps each, 2 x 2. The largest keeps 128 sums per thread; two such blocks fill the
// registers of a processor.
template <Product kProduct>
using LargeTile = GatherTile<TensorMultiplier<kProduct, 64, 64>, 2, 2, 3>;
template <Product kProduct>
using WideTile = GatherTile<TensorMultiplier<kProduct, 32, 64>, 2, 2, 3>;
template <Product kProduct>
using SmallTile = GatherTile<TensorMultiplier<kProduct, 32, 32>, 2, 2, 4>;

template <typename Tile>
constexpr bool has_shape(const TileShape& shape) {
  return Tile::kRows == shape.rows && Tile::kPixels == shape.pixels;
}
static_assert(has_shape<LargeTile<Product::tf32>>(kTensorTile[0]) &&
                  has_shape<WideTile<Product::tf32>>(kTensorTile[1]) &&
                  has_shape<SmallTile<Product::tf32>>(kTensorTile[2]),
              "the table must tell the tiles' shapes");

}  // namespace

void launch_gather_tensor(const GatherLaunch& launch, const CudaContext& context) {
  dispatch_product(launch.storage, launch.product, [&](auto element, auto tag) {
    using T = decltype(element);
    constexpr Product kProduct = decltype(tag)::value;
    if constexpr (kProduct != Product::exact) {
      switch (launch.tile) {
        case 0:
          return launch_gather<LargeTile<kProduct>, T>(launch, context);
        case 1:
          return launch_gather<WideTile<kProduct>, T>(launch, context);
        default:
          return launch_gather<SmallTile<kProduct>, T>(launch, context);
      }
    }
  });
}

}  // namespace pygan
