#include "modulated_conv2d/plan.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "modulated_conv2d/onednn.h"
#include "modulated_conv2d/pointwise.h"
#include "modulated_conv2d/winograd.h"

namespace pygan {
namespace {

constexpr int kAuto = -1;
constexpr ConvPath kPaths[] = {ConvPath::direct, ConvPath::pointwise, ConvPath::onednn,
                               ConvPath::winograd};

// Index of the path named, kAuto, or `otherwise` where the name means nothing.
int parse(const char* name, int otherwise) {
  if (name == nullptr) return otherwise;
  if (std::strcmp(name, "auto") == 0) return kAuto;
  for (ConvPath path : kPaths) {
    if (std::strcmp(name, path_name(path)) == 0) return static_cast<int>(path);
  }
  return otherwise;
}

std::atomic<int>& wish() {
  static std::atomic<int> instance{parse(std::getenv("PYGAN_CONV_PATH"), kAuto)};
  return instance;
}

bool winograd_fits(const ConvShape& s) {
  if (s.kh != 3 || s.kw != 3 || s.dilation_y != 1 || s.dilation_x != 1 || s.groups != 1) {
    return false;
  }
  if (s.stride_y == 1 && s.stride_x == 1) {
    return s.pad_top == 1 && s.pad_left == 1 && s.oh == s.h && s.ow == s.w;
  }
  return s.stride_y == 2 && s.stride_x == 2 && s.pad_top == 0 && s.pad_left == 0 &&
         s.h == 2 * s.oh + 1 && s.w == 2 * s.ow + 1;
}

// Measured against oneDNN 3.6.2 of Paddle 3.3.1 on one core of a shared Zen 4 EPYC (AVX-512, 1 MB
// of L2), batch 4, float, one thread, process CPU time, medians of interleaved calls, scales and
// epilogue included. Time of direct / time of onednn, over sizes and repeated runs:
//
//                                         forward       input grad    weight grad
//   3x3, 512 channels, 4x4                0.76-0.85     1.05-1.13     0.40-0.48
//   3x3, 512 channels, 8x8 - 32x32        1.05-1.08     1.08-1.19     0.66-0.88
//   3x3 of stride 2, 257x257 and 33x33    0.89-0.92     1.00-1.06     0.70-0.81
//   3x3 of stride 2, 17x17 and 9x9        0.74-0.94     1.26-1.29     0.39-0.58
//   1x1, 64 -> 128 to 512 channels        0.79-0.95     0.79-1.10     0.94-1.15
//   1x1 of stride 2                       0.81          0.93-0.97     0.79
//   depthwise 3x3                         2.4-4.2       2.4-2.8       3.3-3.5
//   groups of 4 or 8 channels             1.06-1.08     1.13-1.33     0.31-1.14
//
// A lead of less than a tenth is not worth the second library, its copies in blocked layouts and
// its cache. Weight gradients stay here whatever the ratio: oneDNN's 1x1 gave other bits with two
// threads than with one; its forward and input gradient gave the same in every shape tried.
//
// Time of pointwise / time of direct for toRGB and fromRGB: 0.39-0.56 where the few channels are
// the output, 0.59-0.83 where the many are, 0.30-0.67 for the weight gradient; oneDNN is slower
// yet.
//
// Weights in another layout need a copy for oneDNN, which direct reads as they lie: 0.62 for 512
// channels from 4x4 to 8x8.
bool onednn_is_faster(ConvOp op, const ConvShape& s, bool plain) {
  if (op == ConvOp::weight_grad || !plain) return false;
  const bool depthwise = s.groups > 1 && s.ci == s.groups && s.co == s.groups;
  if (depthwise && s.taps() > 1) return true;
  if (op != ConvOp::input_grad || s.taps() == 1 || s.groups > 1) return false;
  const int64_t pixels = s.n * s.input_area();
  if (s.stride_y == 1 && s.stride_x == 1) return pixels >= 4 * 8 * 8;
  return pixels <= 4 * 17 * 17;
}

// Winograd against the direct GEMM (float, 256 and 512 channels, batch 4, one thread): 0.3 times as
// fast at 4x4, where the transformed weights, four times as large, are most of the work; 1.1 to 1.6
// times at 8x8; 2.1 to 2.4 at 16x16; 2.7 to 3.2 from 32x32. With stride 2, and transposed, on a
// grid of 4x4 it is 0.4 to 0.9 times as fast, of 8x8 1.1 to 1.9 times, from 16x16 1.3 to 1.8 times,
// with 64 channels as with 512. It needs some channels to amortise the transforms of the images.
bool winograd_is_faster(const ConvShape& s) {
  return s.n * s.output_area() >= 4 * 8 * 8 && s.ci >= 8 && s.co >= 8;
}

}  // namespace

const char* path_name(ConvPath path) {
  switch (path) {
    case ConvPath::pointwise:
      return "pointwise";
    case ConvPath::onednn:
      return "onednn";
    case ConvPath::winograd:
      return "winograd";
    default:
      return "direct";
  }
}

bool path_supports(ConvPath path, ConvOp, const ConvShape& shape, bool is_float) {
  switch (path) {
    case ConvPath::direct:
      return true;
    case ConvPath::pointwise:
      return pointwise_supports(shape);
    case ConvPath::onednn:
      return is_float && shape.macs() > 0 && onednn_available();
    case ConvPath::winograd:
      return is_float && shape.macs() > 0 && winograd_fits(shape);
  }
  return false;
}

ConvPath choose_path(ConvOp op, const ConvShape& shape, bool is_float, bool plain) {
  const int asked = wish().load(std::memory_order_relaxed);
  if (asked != kAuto && path_supports(static_cast<ConvPath>(asked), op, shape, is_float)) {
    return static_cast<ConvPath>(asked);
  }
  if (pointwise_supports(shape)) return ConvPath::pointwise;
  if (winograd_is_faster(shape) && path_supports(ConvPath::winograd, op, shape, is_float)) {
    return ConvPath::winograd;
  }
  if (onednn_is_faster(op, shape, plain) && path_supports(ConvPath::onednn, op, shape, is_float)) {
    return ConvPath::onednn;
  }
  return ConvPath::direct;
}

const char* asked_conv_path() {
  const int asked = wish().load(std::memory_order_relaxed);
  return asked == kAuto ? "auto" : path_name(static_cast<ConvPath>(asked));
}

bool set_conv_path(const char* name) {
  const int path = parse(name, kAuto - 1);
  if (path < kAuto) return false;
  wish().store(path, std::memory_order_relaxed);
  return true;
}

}  // namespace pygan
