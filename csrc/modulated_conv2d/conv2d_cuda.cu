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
  StagedOperands operands;
  GatherCall call;
  bool fits = true;  // the gather can do this at all
};

int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

Gather plan_forward(const ConvShape& s) {
  Gather g;
  g.operands.images.n = s.n;
  g.operands.images.groups = s.groups;
  g.operands.images.channels = s.ci_per_group();
  g.operands.images.hp = (s.oh - 1) * s.stride_y + (s.kh - 1) * s.dilation_y + 1;
  g.operands.images.wp = (s.ow - 1) * s.stride_x + (s.kw - 1) * s.dilation_x + 1;
  g.operands.images.top = s.pad_top;
  g.operands.images.left = s.pad_left;
  g.operands.weights.rows = s.co_per_group();
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
  g.operands.images.n = s.n;
  g.operands.images.groups = s.groups;
  g.operands.images.channels = s.co_per_group();
  g.operands.weights.rows = s.ci_per_group();
  g.call.height = s.h;
  g.call.width = s.w;
  g.call.out_stride_y = s.stride_y;
  g.call.out_stride_x = s.stride_x;
  g.fits = s.taps() <= kMaxTaps && int64_t{s.stride_y} * s.stride_x <= kMaxPhases &&
           std::max(s.h * s.w, s.oh * s.ow) <= kMostPixels;
  if (!g.fits) return g;
  y.pad_images(&g.operands.images.hp, &g.operands.images.top);
  x.pad_images(&g.operands.images.wp, &g.operands.images.left);
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
          g.call.taps[taps++] = {a * s.kw + b,
                                 static_cast<int32_t>(y.offset(py, a) + g.operands.images.top),
                                 static_cast<int32_t>(x.offset(px, b) + g.operands.images.left)};
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
  const int64_t channels = gather.operands.images.channels;
  return !gather.fits || channels * shape.taps() <= kLeastProducts ||
         (shape.groups > 1 &&
          std::min(channels, gather.operands.weights.rows) < kLeastGroupChannels);
}

// The rest of the operands' sizes, and how `stage` fills them: x [.., h, w].
StagingCall staging_of(Gather* g, int64_t h, int64_t w, const WeightLayout& layout,
                       const CudaConv& conv) {
  StagedImages& images = g->operands.images;
  StagedWeights& weights = g->operands.weights;
  images.cp = round_up(images.channels, kStagedChannels);
  weights.taps = conv.shape.taps();
  weights.groups = conv.shape.groups;
  weights.columns = images.channels;
  weights.rp = round_up(weights.rows, kStagedRows);
  weights.cp = images.cp;
  StagingCall call;
  call.storage = conv.storage;
  call.product = conv.product;
  call.images = &images;
  call.h = h;
  call.w = w;
  call.weights = &weights;
  call.layout = layout;
  return call;
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

namespace {

// The gather of a call and the staging that it needs. `taken` is false if another kernel takes it.
struct PlannedConv {
  CudaConv conv;  // with the product of this device
  Gather gather;
  StagingCall staging;  // refers to `gather`
  bool taken;

  PlannedConv(const CudaConv& asked, bool gradient) : conv(asked) {
    const ConvShape& shape = conv.shape;
    taken = !pointwise_few_supports(shape);
    if (!taken) return;
    gather = gradient ? plan_input_grad(shape) : plan_forward(shape);
    taken = !takes_direct(gather, shape);
    if (!taken) return;
    conv.product = supported_product(conv.product, conv.storage, device_limits().arch);
    // Rows and columns of the weights change places in the gradient, whose sum is over output
    // channels.
    WeightLayout layout = conv.layout;
    if (gradient) layout.exchanged = !layout.exchanged;
    staging = staging_of(&gather, gradient ? shape.oh : shape.h, gradient ? shape.ow : shape.w,
                         layout, conv);
  }
  PlannedConv(const PlannedConv&) = delete;

  void run(void* y, const void* x, const void* w, const void* x_scale,
           const DeviceEpilogue& epilogue, const CudaContext& context) {
    if (conv.staged != nullptr) {
      gather.operands.place(const_cast<void*>(conv.staged),
                            staged_bytes(conv.product, conv.storage));
    } else {
      staging.x = x;
      staging.x_scale = x_scale;
      staging.w_data = w;
      stage(staging, context);
    }
    gather.call.storage = conv.storage;
    gather.call.product = conv.product;
    gather.call.images = &gather.operands.images;
    gather.call.weights = &gather.operands.weights;
    gather.call.y = y;
    gather.call.epilogue = epilogue;
    gather_gemm(gather.call, context);
  }
};

}  // namespace

bool staged_operands(StagedOperands* operands, StagingCall* call, const CudaConv& conv,
                     bool gradient) {
  const PlannedConv planned(conv, gradient);
  if (!planned.taken) return false;
  *operands = planned.gather.operands;
  *call = planned.staging;
  call->images = &operands->images;
  call->weights = &operands->weights;
  return true;
}

void conv_forward_cuda(void* y, const void* x, const void* w, const void* x_scale,
                       const DeviceEpilogue& epilogue, const CudaConv& conv,
                       const CudaContext& context) {
  if (conv.shape.y_size() == 0) return;
  if (pointwise_few_supports(conv.shape)) {
    return pointwise_few_forward(y, x, w, x_scale, epilogue, conv, context);
  }
  PlannedConv planned(conv, false);
  if (!planned.taken) {
    return direct_forward_cuda(y, x, w, x_scale, epilogue, conv, context);
  }
  planned.run(y, x, w, x_scale, epilogue, context);
}

void conv_input_grad_cuda(void* dx, const void* dy, const void* w, const void* dy_scale,
                          const DeviceEpilogue& epilogue, const CudaConv& conv,
                          const CudaContext& context) {
  if (conv.shape.x_size() == 0) return;
  if (pointwise_few_supports(conv.shape)) {
    return pointwise_few_input_grad(dx, dy, w, dy_scale, epilogue, conv, context);
  }
  PlannedConv planned(conv, true);
  if (!planned.taken) {
    return direct_input_grad_cuda(dx, dy, w, dy_scale, epilogue, conv, context);
  }
  planned.run(dx, dy, w, dy_scale, epilogue, context);
}

}  // namespace pygan
