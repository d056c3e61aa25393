// The weight gradient as an implicit product of matrices, one per tap:
//
//   dw[o, c, tap] = sum over pixels p of all output images  dy[p, o] * x[p moved by the tap, c]
//
// on staged operands (staging.h): channels innermost, scales multiplied in, borders of x zero. The
// long sum is cut into splits, so many that they fill the processors; each block writes its matrix
// to a partial result of its split (weight_grad.cuh), and one more launch adds the splits in order
// and brings the sum into the layout and type of dw (weight_grad_reduce.cu). Every shape takes the
// same cut on the same device: results do not change from run to run.
//
// Two ways to go through the pixels:
//
//   kernel rows    The kernel is three wide and moves by one pixel: the three taps of a row read
//                  the same pixels of x, one apart. Rows of dy are staged as long as rows of x,
//                  with zeros at their end, so that an image of dy is one sequence of pixels and
//                  x's is the same one, moved; each image is filled up to whole chunks.
//   separate taps  Everything else: strides, other kernels, small images (of which many fit into
//                  a chunk). Each unit of columns has its own tile of x, and pixels of all images
//                  are one sequence without gaps.
#include <algorithm>

#include "modulated_conv2d/direct_cuda.h"
#include "modulated_conv2d/pointwise_few.cuh"
#include "modulated_conv2d/staging.h"
#include "modulated_conv2d/weight_grad.cuh"
#include "modulated_conv2d/weight_grad_reduce.h"
#include "modulated_conv2d/weight_grad_tiles.cuh"

namespace pygan {
namespace {

constexpr int kMaxTaps = 64;
// Of a group's matrix: below it a tile would be nearly empty, and direct sums are cheaper.
constexpr int64_t kMinMatrix = 17;
constexpr int64_t kMaxPixels = int64_t{1} << 30;  // of all images, so that kernels count in 32 bits
constexpr int64_t kMaxPartialBytes = int64_t{1} << 28;

// How many splits make blocks' rounds over the processors, times what a round takes, least. A block
// takes as long as its chunks and, for filling the pipeline and writing its matrix, 24 more.
int64_t choose_chunks_per_split(int64_t blocks, int64_t chunks, int64_t split_bytes,
                                int64_t processors) {
  const int64_t limit = std::max<int64_t>(1, kMaxPartialBytes / split_bytes);
  int64_t best = chunks, least = INT64_MAX;
  for (int64_t splits = 1; splits <= std::min<int64_t>({chunks, limit, 512}); ++splits) {
    const int64_t each = ceil_div(chunks, splits);
    const int64_t cost = ceil_div(blocks * ceil_div(chunks, each), processors) * (each + 24);
    if (cost < least) {
      least = cost;
      best = each;
    }
  }
  return best;
}

// One call: staging, products, sum.
struct WeightGradCall {
  void* dw;
  const void* x;
  const void* dy;
  const void* x_scale;
  const void* dy_scale;
  CudaConv conv;  // with the product that the device has
  const CudaContext& context;

  template <typename Multiplier>
  void run() const {
    using Tile = typename Multiplier::Tile;
    using Sum = typename Multiplier::Sum;
    const ConvShape& s = conv.shape;
    constexpr int64_t kBytes = sizeof(typename Tile::Element);
    WeightGradArgs a{};
    a.groups = static_cast<int>(s.groups);
    a.kw = s.kw;
    a.taps = static_cast<int>(s.taps());
    a.blocks_of_channels = static_cast<int>(ceil_div(s.ci_per_group(), kUnitChannels));
    a.row_tiles = static_cast<int>(ceil_div(s.co_per_group(), Tile::kRows));
    a.column_tiles =
        static_cast<int>(ceil_div(int64_t{a.taps} * a.blocks_of_channels, Tile::kUnits));

    StagedImages x_images = images_of(s.ci_per_group()), dy_images = images_of(s.co_per_group());
    x_images.top = s.pad_top;
    x_images.left = s.pad_left;
    x_images.hp = (s.oh - 1) * s.stride_y + int64_t{s.kh - 1} * s.dilation_y + 1;
    x_images.wp = (s.ow - 1) * s.stride_x + int64_t{s.kw - 1} * s.dilation_x + 1;
    dy_images.hp = s.oh;
    dy_images.wp = s.ow;
    if (Tile::kKernelRow) {
      dy_images.wp = x_images.wp;
      const int64_t chunks = ceil_div(s.oh * x_images.wp, Tile::kPixels);
      a.chunks_per_image = static_cast<int>(chunks);
      // The last chunk reaches beyond the image, in x as far as the kernel does.
      const int64_t end = chunks * Tile::kPixels;
      const int64_t reach = int64_t{s.kh - 1} * s.dilation_y * x_images.wp + s.kw - 1;
      dy_images.hp = ceil_div(end, x_images.wp);
      x_images.hp = ceil_div(end + reach, x_images.wp);
      a.chunks = static_cast<int>(s.n * chunks);
    } else {
      a.pixels = static_cast<int>(s.n * s.oh * s.ow);
      a.chunks = static_cast<int>(ceil_div(a.pixels, Tile::kPixels));
    }
    a.x_channels = static_cast<int>(x_images.cp);
    a.dy_channels = static_cast<int>(dy_images.cp);
    a.x_pixel = x_images.pixel_stride() * kBytes;
    a.dy_pixel = dy_images.pixel_stride() * kBytes;
    const int64_t x_line = x_images.wp * a.x_pixel;
    a.tap_row = s.dilation_y * x_line;
    a.tap_column = s.dilation_x * a.x_pixel;
    if (Tile::kKernelRow) {
      const int64_t pixels = int64_t{a.chunks_per_image} * Tile::kPixels;
      a.x_jump = (x_images.hp * x_images.wp - pixels) * a.x_pixel;
      a.dy_jump = (dy_images.hp * dy_images.wp - pixels) * a.dy_pixel;
    } else {
      a.oh = static_cast<int>(s.oh);
      a.ow = static_cast<int>(s.ow);
      a.x_image = x_images.hp * x_line;
      a.x_row = s.stride_y * x_line;
      a.x_column = s.stride_x * a.x_pixel;
      const int64_t area = s.oh * s.ow, rest = Tile::kPixels % area;
      a.step_rows = static_cast<int>(rest / s.ow);
      a.step_columns = static_cast<int>(rest % s.ow);
      a.step =
          Tile::kPixels / area * a.x_image + a.step_rows * a.x_row + a.step_columns * a.x_column;
    }

    const auto stage_images = [&](StagedImages* images, const void* data, const void* scale,
                                  int64_t h, int64_t w) {
      StagingCall call;
      call.storage = conv.storage;
      call.product = conv.product;
      call.images = images;
      call.x = data;
      call.x_scale = scale;
      call.h = h;
      call.w = w;
      stage(call, context);
    };
    stage_images(&x_images, x, x_scale, s.h, s.w);
    stage_images(&dy_images, dy, dy_scale, s.oh, s.ow);
    a.x = static_cast<const char*>(x_images.data);
    a.dy = static_cast<const char*>(dy_images.data);

    const int64_t blocks = int64_t{a.groups} * a.row_tiles * a.column_tiles;
    PartialWeights partial;
    partial.rows = int64_t{a.row_tiles} * Tile::kRows;
    partial.columns = int64_t{a.blocks_of_channels} * kUnitChannels;
    const int64_t split_size = a.taps * s.groups * partial.rows * partial.columns;
    a.chunks_per_split = static_cast<int>(
        choose_chunks_per_split(blocks, a.chunks, split_size * static_cast<int64_t>(sizeof(Sum)),
                                device_limits().processors));
    partial.splits = ceil_div(a.chunks, a.chunks_per_split);
    a.partial = partial.data = context.get<Sum>(partial.splits * split_size);
    if (blocks * partial.splits > kMaxGridX) {
      throw std::runtime_error("conv2d: the weight gradient has too many groups for one launch.");
    }

    const auto kernel = weight_grad_kernel<Multiplier>;
    allow_shared_memory(kernel, Tile::kSharedBytes, "weight_grad_kernel");
    kernel<<<static_cast<unsigned>(blocks * partial.splits), Tile::kThreads, Tile::kSharedBytes,
             stream_of(context)>>>(a);
    check_launch("weight_grad_kernel");
    reduce_weights(dw, partial, conv, context);
  }

 private:
  StagedImages images_of(int64_t channels) const {
    StagedImages images;
    images.n = conv.shape.n;
    images.groups = conv.shape.groups;
    images.channels = channels;
    images.cp = ceil_div(channels, kStagedChannels) * kStagedChannels;
    return images;
  }
};

// Kernel rows cost the pixels that fill up rows and images; separate taps cost a second and third
// tile of x.
bool takes_kernel_rows(const ConvShape& s, int chunk) {
  if (s.kw != 3 || s.dilation_x != 1 || s.stride_x != 1 || s.stride_y != 1) return false;
  const int64_t filled = ceil_div(s.oh * (s.ow + 2), chunk) * chunk;
  return 4 * filled <= 5 * s.output_area();
}

// Four units per block, or two where many of four would be idle.
bool takes_four_units(const ConvShape& s) {
  const int64_t units = s.taps() * ceil_div(s.ci_per_group(), kUnitChannels);
  return 5 * ceil_div(units, 4) <= 3 * ceil_div(units, 2);
}

// Tiles: rows, units, whether these are a kernel row, pixels per stage, stages. Turing has 64 KB of
// shared memory per block, newer ones 99 KB and more.
template <Product kProduct, int kRows>
void run_half(const WeightGradCall& call, bool is_turing) {
  const ConvShape& s = call.conv.shape;
  if (takes_kernel_rows(s, 64)) {
    if (is_turing) {
      if constexpr (kProduct == Product::float16) {
        call.run<HalfMultiplier<kProduct, GradTile<uint16_t, kRows, 3, true, 64, 2>>>();
      }
      return;
    }
    return call.run<HalfMultiplier<kProduct, GradTile<uint16_t, kRows, 3, true, 64, 3>>>();
  }
  if (!is_turing && takes_four_units(s)) {
    return call.run<HalfMultiplier<kProduct, GradTile<uint16_t, kRows, 4, false, 32, 3>>>();
  }
  call.run<HalfMultiplier<kProduct, GradTile<uint16_t, kRows, 2, false, 32, 3>>>();
}

template <int kRows>
void run_tf32(const WeightGradCall& call) {
  const ConvShape& s = call.conv.shape;
  if (takes_kernel_rows(s, 32)) {
    call.run<Tf32Multiplier<GradTile<float, kRows, 3, true, 32, 3>>>();
  } else if (takes_four_units(s)) {
    call.run<Tf32Multiplier<GradTile<float, kRows, 4, false, 16, 3>>>();
  } else {
    call.run<Tf32Multiplier<GradTile<float, kRows, 2, false, 16, 3>>>();
  }
}

template <int kRows>
void run_exact(const WeightGradCall& call) {
  if (takes_kernel_rows(call.conv.shape, 16)) {
    call.run<ExactMultiplier<GradTile<float, kRows, 3, true, 16, 3>>>();
  } else {
    call.run<ExactMultiplier<GradTile<float, kRows, 2, false, 16, 3>>>();
  }
}

template <int kRows>
void run_rows(const WeightGradCall& call, int arch) {
  switch (call.conv.product) {
    case Product::float16:
      return run_half<Product::float16, kRows>(call, arch < 80);
    case Product::bfloat16:
      return run_half<Product::bfloat16, kRows>(call, false);
    case Product::tf32:
      return run_tf32<kRows>(call);
    default:
      return run_exact<kRows>(call);
  }
}

}  // namespace

void conv_weight_grad_cuda(void* dw, const void* x, const void* dy, const void* x_scale,
                           const void* dy_scale, const CudaConv& conv, const CudaContext& context) {
  const ConvShape& s = conv.shape;
  if (s.weight_size() == 0) return;
  if (pointwise_few_supports(s)) {
    return pointwise_few_weight_grad(dw, x, dy, x_scale, dy_scale, conv, context);
  }
  const bool is_empty = s.x_size() == 0 || s.y_size() == 0;
  if (is_empty || s.taps() > kMaxTaps || s.n * s.output_area() > kMaxPixels ||
      s.co_per_group() * s.ci_per_group() < kMinMatrix) {
    return direct_weight_grad_cuda(dw, x, dy, x_scale, dy_scale, conv, context);
  }
  const int arch = device_limits().arch;
  CudaConv supported = conv;
  supported.product = supported_product(conv.product, conv.storage, arch);
  const WeightGradCall call{dw, x, dy, x_scale, dy_scale, supported, context};
  if (conv.storage == Storage::float64) {
    return call.run<ExactMultiplier<GradTile<double, 64, 1, false, 16, 3>>>();
  }
  s.co_per_group() > 64 ? run_rows<128>(call, arch) : run_rows<64>(call, arch);
}

}  // namespace pygan
