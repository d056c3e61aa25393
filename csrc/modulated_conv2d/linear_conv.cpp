// The linear map C and its gradients, made of the engines of conv2d.h and of upfirdn2d.
#include "modulated_conv2d/linear_conv.h"

#include <stdexcept>

#include "common/parallel.h"
#include "common/scratch.h"
#include "modulated_conv2d/conv2d.h"
#include "modulated_conv2d/epilogue_pass.h"
#include "modulated_conv2d/linear_conv_geometry.h"
#include "upfirdn2d/upfirdn2d.h"

namespace pygan {
namespace {

thread_local const char* t_last_path = "";

// y = epilogue(FIR(t)), some planes at a time, so that the epilogue finds them in the cache.
template <typename T>
void filter_with_epilogue(T* y, const T* t, const Upfirdn2dParams& fir, const Epilogue<T>& epilogue,
                          int64_t channels) {
  if (is_identity(epilogue)) return upfirdn2d<T>(y, t, fir);
  constexpr int64_t kGroupBytes = int64_t{256} << 10;
  const int64_t in_area = fir.in_h * fir.in_w, area = fir.out_h * fir.out_w;
  const int64_t group = 1 + kGroupBytes / (area * int64_t{sizeof(T)});
  const int64_t groups = (fir.planes + group - 1) / group;
#pragma omp parallel for schedule(static) if (fir.out_size() >= kSerialBelow)
  for (int64_t g = 0; g < groups; ++g) {
    const int64_t begin = g * group;
    const int64_t end = begin + group < fir.planes ? begin + group : fir.planes;
    Upfirdn2dParams part = fir;
    part.planes = end - begin;
    upfirdn2d<T>(y + begin * area, t + begin * in_area, part);
    apply_epilogue_planes<T>(y, epilogue, begin, end, channels, area);
  }
}

}  // namespace

const char* linear_last_path() { return t_last_path; }

template <typename T>
void linear_forward(T* y, const T* x, const T* w, const T* s, const Epilogue<T>& epilogue,
                    const LinearConv& c) {
  Scratch scratch;
  const ConvShape shape = shape_of(c);
  const WeightLayout layout = layout_of(c);
  switch (c.mode) {
    case ConvMode::conv:
      conv_forward<T>(y, x, w, s, epilogue, shape, layout);
      break;
    case ConvMode::transposed:
      conv_input_grad<T>(y, x, w, s, epilogue, shape, layout);
      break;
    case ConvMode::up: {
      T* t = scratch.get<T>(shape.x_size());
      conv_input_grad<T>(t, x, w, s, Epilogue<T>{}, shape, layout);
      filter_with_epilogue<T>(y, t, fir_of(c, shape), epilogue, c.co);
      break;
    }
    case ConvMode::down: {
      T* filtered = scratch.get<T>(shape.x_size());
      upfirdn2d<T>(filtered, x, fir_of(c, shape));
      conv_forward<T>(y, filtered, w, s, epilogue, shape, layout);
      break;
    }
  }
  t_last_path = conv_last_path();
}

template <typename T>
void linear_grads(T* dx, T* dw, const T* x, const T* w, const T* s, const T* dy,
                  const LinearConv& c) {
  Scratch scratch;
  const ConvShape shape = shape_of(c);
  const WeightLayout layout = layout_of(c);
  const Epilogue<T> none;
  switch (c.mode) {
    case ConvMode::conv:
      if (dx) conv_input_grad<T>(dx, dy, w, nullptr, none, shape, layout);
      if (dw) conv_weight_grad<T>(dw, x, dy, s, nullptr, shape, layout);
      break;
    case ConvMode::transposed:
      if (dx) conv_forward<T>(dx, dy, w, nullptr, none, shape, layout);
      if (dw) conv_weight_grad<T>(dw, dy, x, nullptr, s, shape, layout);
      break;
    case ConvMode::up: {
      T* dt = scratch.get<T>(shape.x_size());
      upfirdn2d<T>(dt, dy, transposed(fir_of(c, shape)));
      if (dx) conv_forward<T>(dx, dt, w, nullptr, none, shape, layout);
      if (dw) conv_weight_grad<T>(dw, dt, x, nullptr, s, shape, layout);
      break;
    }
    case ConvMode::down: {
      T* filtered = scratch.get<T>(shape.x_size());
      if (dx) {
        conv_input_grad<T>(filtered, dy, w, nullptr, none, shape, layout);
        upfirdn2d<T>(dx, filtered, transposed(fir_of(c, shape)));
      }
      if (dw) {
        upfirdn2d<T>(filtered, x, fir_of(c, shape));
        conv_weight_grad<T>(dw, filtered, dy, s, nullptr, shape, layout);
      }
      break;
    }
  }
  t_last_path = conv_last_path();
}

namespace {

// Positions of a kernel that may move by `room` pixels, in steps; none where it does not fit.
int64_t strided_size(int64_t room, int step) { return room < 0 ? 0 : room / step + 1; }

}  // namespace

void infer_output_size(LinearConv& c) {
  const int64_t reach_y = int64_t{c.kh - 1} * c.dilation_y + 1;
  const int64_t reach_x = int64_t{c.kw - 1} * c.dilation_x + 1;
  switch (c.mode) {
    case ConvMode::conv:
      c.oh = strided_size(c.h + c.pad_top + c.pad_bottom - reach_y, c.stride_y);
      c.ow = strided_size(c.w + c.pad_left + c.pad_right - reach_x, c.stride_x);
      break;
    case ConvMode::transposed:
      c.oh = (c.h - 1) * c.stride_y + reach_y - c.pad_top - c.pad_bottom;
      c.ow = (c.w - 1) * c.stride_x + reach_x - c.pad_left - c.pad_right;
      break;
    case ConvMode::up:
      c.oh = (c.h - 1) * c.stride_y + c.kh + c.fir_top + c.fir_bottom - (c.fir_h - 1);
      c.ow = (c.w - 1) * c.stride_x + c.kw + c.fir_left + c.fir_right - (c.fir_w - 1);
      break;
    case ConvMode::down:
      c.oh = strided_size(c.h + c.fir_top + c.fir_bottom - (c.fir_h - 1) - c.kh, c.stride_y);
      c.ow = strided_size(c.w + c.fir_left + c.fir_right - (c.fir_w - 1) - c.kw, c.stride_x);
      break;
  }
  if (c.oh < 1 || c.ow < 1) {
    throw std::invalid_argument("the kernel and the filter are larger than the padded input.");
  }
}

#define PYGAN_INSTANTIATE(T)                                                            \
  template void linear_forward<T>(T*, const T*, const T*, const T*, const Epilogue<T>&, \
                                  const LinearConv&);                                   \
  template void linear_grads<T>(T*, T*, const T*, const T*, const T*, const T*, const LinearConv&);
PYGAN_INSTANTIATE(float)
PYGAN_INSTANTIATE(double)

}  // namespace pygan
