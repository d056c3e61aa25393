// What the forms of the Winograd convolution differ in beside their transforms: the products of
// planes, and how their weights lie.
#include "modulated_conv2d/winograd_launch.h"

namespace pygan {
namespace {

// The pixels of the strided form: points 0 to 4 of the even ones, 5 to 8 of the odd ones.
constexpr int kEven = 5, kPixelPoints = 9;
// Its weights: points 0 to 4 of the even taps, then the odd tap.
constexpr int kOddTap = 5, kWeightPoints = 6;

int weight_point(int pixel) { return pixel < kEven ? pixel : kOddTap; }
// The point of y at which a pixel point is summed.
int sum_point(int pixel) { return pixel < kEven ? pixel : pixel - kEven; }

int pixel_plane(int y, int x) { return y * kPixelPoints + x; }
int weight_plane(int y, int x) { return weight_point(y) * kWeightPoints + weight_point(x); }
int sum_plane(int y, int x) { return sum_point(y) * kEven + sum_point(x); }

// All 81 products of the strided form, each with the plane it belongs to, in the order of planes.
template <typename Plane, typename PairOf>
WinogradProducts collect(int planes, const Plane& plane, const PairOf& pair) {
  WinogradProducts products;
  products.planes = planes;
  int count = 0;
  for (int k = 0; k < planes; ++k) {
    products.first[k] = count;
    for (int y = 0; y < kPixelPoints; ++y) {
      for (int x = 0; x < kPixelPoints; ++x) {
        if (plane(y, x) == k) products.pair[count++] = pair(y, x);
      }
    }
  }
  products.first[planes] = count;
  return products;
}

WinogradProducts::Pair pair_of(int a, int b) {
  return {static_cast<uint8_t>(a), static_cast<uint8_t>(b)};
}

WinogradProducts one_to_one() {
  WinogradProducts products;
  products.planes = kWinogradWeightPlanes;
  for (int k = 0; k < products.planes; ++k) {
    products.first[k] = k;
    products.pair[k] = pair_of(k, k);
  }
  products.first[products.planes] = products.planes;
  return products;
}

}  // namespace

const WinogradProducts& winograd_products(WinogradForm form) {
  static const WinogradProducts same = one_to_one();
  static const WinogradProducts strided = collect(kEven * kEven, sum_plane, [](int y, int x) {
    return pair_of(weight_plane(y, x), pixel_plane(y, x));
  });
  static const WinogradProducts transposed =
      collect(kPixelPoints * kPixelPoints, pixel_plane,
              [](int y, int x) { return pair_of(weight_plane(y, x), sum_plane(y, x)); });
  return form == WinogradForm::same ? same : form == WinogradForm::strided ? strided : transposed;
}

const WinogradProducts& winograd_weight_products(WinogradForm form) {
  static const WinogradProducts same = one_to_one();
  static const WinogradProducts strided =
      collect(kWinogradWeightPlanes, weight_plane,
              [](int y, int x) { return pair_of(sum_plane(y, x), pixel_plane(y, x)); });
  return form == WinogradForm::same ? same : strided;
}

int winograd_input_planes(WinogradForm form) {
  return form == WinogradForm::same      ? kWinogradWeightPlanes
         : form == WinogradForm::strided ? kPixelPoints * kPixelPoints
                                         : kEven * kEven;
}

WinogradWeights winograd_weights(const float* w, const WeightLayout& layout,
                                 const WinogradShape& shape) {
  WinogradWeights weights;
  weights.w = w;
  weights.out_channels = shape.co;
  weights.in_channels = shape.ci;
  weights.out_stride = layout.exchanged ? 9 : shape.ci * 9;
  weights.in_stride = layout.exchanged ? shape.co * 9 : 9;
  weights.strided = shape.form != WinogradForm::same;
  weights.mirrored = layout.mirrored;
  return weights;
}

}  // namespace pygan
