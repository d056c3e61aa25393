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
  return s.kh == 3 && s.kw == 3 && s.stride_y == 1 && s.stride_x == 1 && s.dilation_y == 1 &&
         s.dilation_x == 1 && s.groups == 1 && s.pad_top == 1 && s.pad_left == 1 && s.oh == s.h &&
         s.ow == s.w;
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

ConvPath choose_path(ConvOp op, const ConvShape& shape, bool is_float) {
  const int asked = wish().load(std::memory_order_relaxed);
  if (asked != kAuto && path_supports(static_cast<ConvPath>(asked), op, shape, is_float)) {
    return static_cast<ConvPath>(asked);
  }
  if (pointwise_supports(shape)) return ConvPath::pointwise;
  return ConvPath::direct;
}

bool path_is_wanted(ConvPath path, bool worth_it) {
  const int asked = wish().load(std::memory_order_relaxed);
  return asked == kAuto ? worth_it : asked == static_cast<int>(path);
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
