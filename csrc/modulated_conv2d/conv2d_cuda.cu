// The convolution engines of conv2d_cuda.h: which path a call takes, and how forward pass and input
// gradient are gathers over staged operands (gather_gemm.h).
#include <algorithm>
#include <limits>

#include "common/cuda_launch.cuh"
#include "modulated_conv2d/conv2d_cuda.h"
#include "modulated_conv2d/direct_cuda.h"
#include "modulated_conv2d/gather_gemm.h"
#include "modulated_conv2d/pointwise_few.cuh"

namespace pygan {
namespace {

// Staging pads the channels of a group to 32: with fewer than these the direct kernels move less.
constexpr int64_t kLeastGroupChannels = 8;
// Sums of so few products are over before their operands are staged.
constexpr int64_t kLeastProducts = 16;
// Pixels of one sample are counted in 32 bits, with a tile's worth to spare.
constexpr int64_t kMostPixels = std::numeric_limits<int32_t>::max() - 1024;

int64_t round_up(int64_t value, int64_t multiple) { return ceil_div(value, multiple) * multiple; }

// A gather with everything that follows from the sizes of `result` and `operand`, but its phases,
// taps and the padding of its images.
struct Gather {
  StagedImages images;
  StagedWeights weights;
  GatherCall call;
  bool fits = true;  // the gather can do this at all
};

int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

Gather plan_forward(const ConvShape& s) {
  Gather g;
  g.images.n = s.n;
  g.images.groups = s.groups;
  g.images.channels = s.ci_per_group();
  g.images.hp = (s.oh - 1) * s.stride_y + (s.kh - 1) * s.dilation_y + 1;
  g.images.wp = (s.ow - 1) * s.stride_x + (s.kw - 1) * s.dilation_x + 1;
  g.images.top = s.pad_top;
  g.images.left = s.pad_left;
  g.weights.rows = s.co_per_group();
  g.call.step_y = s.stride_y;
  g.call.step_x = s.stride_x;
  g.call.height = s.oh;
  g.call.width = s.ow;
  g.call.phase_count = 1;
  g.fits = s.taps() <= kMaxTaps && std::max(s.h * s.w, s.oh * s.ow) <= kMostPixels;
  if (!g.fits) return g;
  GatherPhase& phase = g.call.phases[0];
  phase.height = static_cast<int32_t>(s.oh);
  phase.width = static_cast<int32_t>(s.ow);
  phase.tap_end = static_cast<int32_t>(s.taps());
  for (int a = 0; a < s.kh; ++a) {
    for (int b = 0; b < s.kw; ++b) {
      g.call.taps[a * s.kw + b] = {a * s.kw + b, a * s.dilation_y, b * s.dilation_x};
    }
  }
  return g;
}

// One axis of the input gradient: dx[stride * q + phase] takes tap a from dy[q + offset] with
// offset = (phase + pad - a * dilation) / stride, where the division leaves no remainder.
struct GradAxis {
  int64_t size, pad;
  int taps, stride, dilation;

  int64_t extent(int phase) const { return phase < size ? ceil_div(size - phase, stride) : 0; }
  bool has(int phase, int tap) const {
    return (phase + pad - int64_t{tap} * dilation) % stride == 0;
  }
  int64_t offset(int phase, int tap) const {
    return floor_div(phase + pad - int64_t{tap} * dilation, stride);
  }
  // The padded images begin at the first pixel that any tap touches and end with the last.
  void pad_images(int64_t* padded, int64_t* before) const {
    int64_t first = std::numeric_limits<int64_t>::max(), end = std::numeric_limits<int64_t>::min();
    for (int phase = 0; phase < stride; ++phase) {
      for (int tap = 0; tap < taps; ++tap) {
        if (!has(phase, tap) || extent(phase) == 0) continue;
        first = std::min(first, offset(phase, tap));
        end = std::max(end, offset(phase, tap) + extent(phase));
      }
    }
    *before = first <= end ? -first : 0;
    *padded = first <= end ? end - first : 0;
  }
};

Gather plan_input_grad(const ConvShape& s) {
  Gather g;
  const GradAxis y{s.h, s.pad_top, s.kh, s.stride_y, s.dilation_y};
  const GradAxis x{s.w, s.pad_left, s.kw, s.stride_x, s.dilation_x};
  g.images.n = s.n;
  g.images.groups = s.groups;
  g.images.channels = s.co_per_group();
  g.weights.rows = s.ci_per_group();
  g.call.height = s.h;
  g.call.width = s.w;
  g.call.out_stride_y = s.stride_y;
  g.call.out_stride_x = s.stride_x;
  g.fits = s.taps() <= kMaxTaps && int64_t{s.stride_y} * s.stride_x <= kMaxPhases &&
           std::max(s.h * s.w, s.oh * s.ow) <= kMostPixels;
  if (!g.fits) return g;
  y.pad_images(&g.images.hp, &g.images.top);
  x.pad_images(&g.images.wp, &g.images.left);
  int taps = 0;
  for (int py = 0; py < s.stride_y; ++py) {
    for (int px = 0; px < s.stride_x; ++px) {
      GatherPhase& phase = g.call.phases[g.call.phase_count++];
      phase.height = static_cast<int32_t>(y.extent(py));
      phase.width = static_cast<int32_t>(x.extent(px));
      phase.y0 = py;
      phase.x0 = px;
      phase.tap_begin = taps;
      for (int a = 0; a < s.kh; ++a) {
        for (int b = 0; b < s.kw; ++b) {
          if (phase.height == 0 || phase.width == 0 || !y.has(py, a) || !x.has(px, b)) continue;
          g.call.taps[taps++] = {a * s.kw + b, static_cast<int32_t>(y.offset(py, a) + g.images.top),
                                 static_cast<int32_t>(x.offset(px, b) + g.images.left)};
        }
      }
      phase.tap_end = taps;
    }
  }
  // Blocks with the longest sums start first.
  std::stable_sort(g.call.phases, g.call.phases + g.call.phase_count,
                   [](const GatherPhase& a, const GatherPhase& b) {
                     return a.tap_end - a.tap_begin > b.tap_end - b.tap_begin;
                   });
  return g;
}

// Whether staging is worth its while for sums over `channels` per group.
bool takes_direct(const Gather& gather, const ConvShape& shape) {
  const int64_t channels = gather.images.channels;
  return !gather.fits || channels * shape.taps() <= kLeastProducts ||
         (shape.groups > 1 && std::min(channels, gather.weights.rows) < kLeastGroupChannels);
}

void run_gather(Gather* g, void* y, const void* x, const void* w, const void* x_scale, int64_t h,
                int64_t width, const DeviceEpilogue& epilogue, const WeightLayout& layout,
                const CudaConv& conv, const CudaContext& context) {
  StagedImages& images = g->images;
  StagedWeights& weights = g->weights;
  images.cp = round_up(images.channels, kStagedChannels);
  weights.taps = conv.shape.taps();
  weights.groups = conv.shape.groups;
  weights.columns = images.channels;
  weights.rp = round_up(weights.rows, kStagedRows);
  weights.cp = images.cp;

  StagingCall staging;
  staging.storage = conv.storage;
  staging.product = conv.product;
  staging.images = &images;
  staging.x = x;
  staging.x_scale = x_scale;
  staging.h = h;
  staging.w = width;
  staging.weights = &weights;
  staging.w_data = w;
  staging.layout = layout;
  stage(staging, context);

  g->call.storage = conv.storage;
  g->call.product = conv.product;
  g->call.images = &images;
  g->call.weights = &weights;
  g->call.y = y;
  g->call.epilogue = epilogue;
  gather_gemm(g->call, context);
}

// The product that this device runs.
CudaConv on_this_device(const CudaConv& conv) {
  CudaConv supported = conv;
  supported.product = supported_product(conv.product, conv.storage, device_limits().arch);
  return supported;
}

}  // namespace

Product supported_product(Product wanted, Storage storage, int arch) {
  if (wanted == Product::exact || storage == Storage::float64) return Product::exact;
  // Tensors of halves are multiplied as what they are: any other product would round them twice or
  // gain nothing.
  if (storage == Storage::float16) wanted = Product::float16;
  if (storage == Storage::bfloat16) wanted = Product::bfloat16;
  const int least = wanted == Product::float16 ? 75 : 80;
  return arch >= least ? wanted : Product::exact;
}

void conv_forward_cuda(void* y, const void* x, const void* w, const void* x_scale,
                       const DeviceEpilogue& epilogue, const CudaConv& conv,
                       const CudaContext& context) {
  if (conv.shape.y_size() == 0) return;
  if (pointwise_few_supports(conv.shape)) {
    return pointwise_few_forward(y, x, w, x_scale, epilogue, conv, context);
  }
  Gather gather = plan_forward(conv.shape);
  if (takes_direct(gather, conv.shape)) {
    return direct_forward_cuda(y, x, w, x_scale, epilogue, conv, context);
  }
  run_gather(&gather, y, x, w, x_scale, conv.shape.h, conv.shape.w, epilogue, conv.layout,
             on_this_device(conv), context);
}

void conv_input_grad_cuda(void* dx, const void* dy, const void* w, const void* dy_scale,
                          const DeviceEpilogue& epilogue, const CudaConv& conv,
                          const CudaContext& context) {
  if (conv.shape.x_size() == 0) return;
  if (pointwise_few_supports(conv.shape)) {
    return pointwise_few_input_grad(dx, dy, w, dy_scale, epilogue, conv, context);
  }
  Gather gather = plan_input_grad(conv.shape);
  if (takes_direct(gather, conv.shape)) {
    return direct_input_grad_cuda(dx, dy, w, dy_scale, epilogue, conv, context);
  }
  // Rows and columns of the weights change places: the sum is over output channels.
  WeightLayout layout = conv.layout;
  layout.exchanged = !layout.exchanged;
  run_gather(&gather, dx, dy, w, dy_scale, conv.shape.oh, conv.shape.ow, epilogue, layout,
             on_this_device(conv), context);
}

}  // namespace pygan
