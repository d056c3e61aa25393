// The four modes of the linear map C, in terms of the engines of conv2d.h and of upfirdn2d.
#include "modulated_conv2d/linear_conv.h"

#include <stdexcept>

#include "common/parallel.h"
#include "common/scratch.h"
#include "modulated_conv2d/conv2d.h"
#include "modulated_conv2d/epilogue_pass.h"
#include "upfirdn2d/upfirdn2d.h"

namespace pygan {
namespace {

thread_local const char* t_last_path = "";

// The correlation inside C, as conv2d.h describes it. In the modes that transpose, its input is
// C's output side.
ConvShape shape_of(const LinearConv& c) {
  ConvShape s;
  s.n = c.n;
  s.kh = c.kh;
  s.kw = c.kw;
  s.stride_y = c.stride_y;
  s.stride_x = c.stride_x;
  s.dilation_y = c.dilation_y;
  s.dilation_x = c.dilation_x;
  s.pad_top = c.pad_top;
  s.pad_left = c.pad_left;
  s.groups = c.groups;
  s.ci = c.ci;
  s.co = c.co;
  s.h = c.h;
  s.w = c.w;
  s.oh = c.oh;
  s.ow = c.ow;
  switch (c.mode) {
    case ConvMode::conv:
      break;
    case ConvMode::transposed:
      s.ci = c.co;
      s.co = c.ci;
      s.h = c.oh;
      s.w = c.ow;
      s.oh = c.h;
      s.ow = c.w;
      break;
    case ConvMode::up:
      s.ci = c.co;
      s.co = c.ci;
      s.h = (c.h - 1) * c.stride_y + c.kh;
      s.w = (c.w - 1) * c.stride_x + c.kw;
      s.oh = c.h;
      s.ow = c.w;
      break;
    case ConvMode::down:
      s.h = c.h + c.fir_top + c.fir_bottom - (c.fir_h - 1);
      s.w = c.w + c.fir_left + c.fir_right - (c.fir_w - 1);
      break;
  }
  return s;
}

// The FIR of the modes up (t [.., th, tw] -> u) and down (x -> filtered x).
Upfirdn2dParams fir_of(const LinearConv& c, const ConvShape& s) {
  Upfirdn2dParams p;
  const bool up = c.mode == ConvMode::up;
  p.planes = up ? c.n * c.co : c.n * c.ci;
  p.in_h = up ? s.h : c.h;
  p.in_w = up ? s.w : c.w;
  p.out_h = up ? c.oh : s.h;
  p.out_w = up ? c.ow : s.w;
  p.pad_y0 = c.fir_top;
  p.pad_x0 = c.fir_left;
  p.taps = c.fir.data();
  p.taps_h = c.fir_h;
  p.taps_w = c.fir_w;
  p.separable = c.fir_separable;
  p.flip = c.fir_flip;
  p.gain = up ? static_cast<double>(c.stride_y) * c.stride_x : 1.0;
  return p;
}

// out[b][a] = in[a][b] per group (each entry one kernel of `taps` values), or a plain copy when not
// `exchange`; kernels are mirrored on request.
template <typename T>
void arrange_weights(T* out, const T* in, int64_t rows, int64_t columns, int64_t taps,
                     int64_t groups, bool exchange, bool mirror) {
  constexpr int64_t kTile = 16;  // kernels of a tile stay in the cache while they change places
  const int64_t row_tiles = (rows + kTile - 1) / kTile;
#pragma omp parallel for collapse(2) schedule(static) if (rows * columns * taps >= kSerialBelow)
  for (int64_t q = 0; q < groups; ++q) {
    for (int64_t tile = 0; tile < row_tiles; ++tile) {
      const T* from = in + q * rows * columns * taps;
      T* to = out + q * rows * columns * taps;
      const int64_t a_end = (tile + 1) * kTile < rows ? (tile + 1) * kTile : rows;
      for (int64_t b0 = 0; b0 < columns; b0 += kTile) {
        const int64_t b_end = b0 + kTile < columns ? b0 + kTile : columns;
        for (int64_t a = tile * kTile; a < a_end; ++a) {
          for (int64_t b = b0; b < b_end; ++b) {
            const T* source = from + (a * columns + b) * taps;
            T* target = to + (exchange ? b * rows + a : a * columns + b) * taps;
            for (int64_t k = 0; k < taps; ++k) target[mirror ? taps - 1 - k : k] = source[k];
          }
        }
      }
    }
  }
}

// How the weights of C lie relative to those that shape_of's correlation takes. A correlation of
// the zero-inserted image is the transpose of a correlation with mirrored taps, hence mode up.
struct Arrangement {
  bool exchange, mirror;
  bool is_identity() const { return !exchange && !mirror; }
};
Arrangement arrangement_of(const LinearConv& c) {
  return {c.mode == ConvMode::up, (c.mode == ConvMode::up) != c.flip};
}

// Weights [s.co, s.ci / groups, kh, kw] for the correlation; w itself where it is that already.
template <typename T>
const T* correlation_weights(const T* w, const LinearConv& c, Scratch& scratch) {
  const Arrangement a = arrangement_of(c);
  if (a.is_identity()) return w;
  T* out = scratch.get<T>(c.w_size());
  const int64_t rows = (c.mode == ConvMode::transposed ? c.ci : c.co) / c.groups;
  const int64_t columns = (c.mode == ConvMode::transposed ? c.co : c.ci) / c.groups;
  arrange_weights<T>(out, w, rows, columns, int64_t{c.kh} * c.kw, c.groups, a.exchange, a.mirror);
  return out;
}

}  // namespace

const char* linear_last_path() { return t_last_path; }

template <typename T>
void linear_forward(T* y, const T* x, const T* w, const T* s, const Epilogue<T>& epilogue,
                    const LinearConv& c) {
  Scratch scratch;
  const ConvShape shape = shape_of(c);
  const T* weights = correlation_weights<T>(w, c, scratch);
  switch (c.mode) {
    case ConvMode::conv:
      conv_forward<T>(y, x, weights, s, epilogue, shape);
      break;
    case ConvMode::transposed:
      conv_input_grad<T>(y, x, weights, s, epilogue, shape);
      break;
    case ConvMode::up: {
      T* t = scratch.get<T>(shape.x_size());
      conv_input_grad<T>(t, x, weights, s, Epilogue<T>{}, shape);
      upfirdn2d<T>(y, t, fir_of(c, shape));
      apply_epilogue<T>(y, epilogue, c.n, c.co, c.oh * c.ow);
      break;
    }
    case ConvMode::down: {
      T* filtered = scratch.get<T>(shape.x_size());
      upfirdn2d<T>(filtered, x, fir_of(c, shape));
      conv_forward<T>(y, filtered, weights, s, epilogue, shape);
      break;
    }
  }
  t_last_path = conv_last_path();
}

template <typename T>
void linear_input_grad(T* dx, const T* dy, const T* w, const LinearConv& c) {
  Scratch scratch;
  const ConvShape shape = shape_of(c);
  const T* weights = correlation_weights<T>(w, c, scratch);
  switch (c.mode) {
    case ConvMode::conv:
      conv_input_grad<T>(dx, dy, weights, nullptr, Epilogue<T>{}, shape);
      break;
    case ConvMode::transposed:
      conv_forward<T>(dx, dy, weights, nullptr, Epilogue<T>{}, shape);
      break;
    case ConvMode::up: {
      T* dt = scratch.get<T>(shape.x_size());
      upfirdn2d<T>(dt, dy, transposed(fir_of(c, shape)));
      conv_forward<T>(dx, dt, weights, nullptr, Epilogue<T>{}, shape);
      break;
    }
    case ConvMode::down: {
      T* filtered = scratch.get<T>(shape.x_size());
      conv_input_grad<T>(filtered, dy, weights, nullptr, Epilogue<T>{}, shape);
      upfirdn2d<T>(dx, filtered, transposed(fir_of(c, shape)));
      break;
    }
  }
  t_last_path = conv_last_path();
}

template <typename T>
void linear_weight_grad(T* dw, const T* x, const T* s, const T* dy, const LinearConv& c) {
  Scratch scratch;
  const ConvShape shape = shape_of(c);
  const Arrangement arranged = arrangement_of(c);
  T* out = arranged.is_identity() ? dw : scratch.get<T>(c.w_size());
  switch (c.mode) {
    case ConvMode::conv:
      conv_weight_grad<T>(out, x, dy, s, nullptr, shape);
      break;
    case ConvMode::transposed:
      conv_weight_grad<T>(out, dy, x, nullptr, s, shape);
      break;
    case ConvMode::up: {
      T* dt = scratch.get<T>(shape.x_size());
      upfirdn2d<T>(dt, dy, transposed(fir_of(c, shape)));
      conv_weight_grad<T>(out, dt, x, nullptr, s, shape);
      break;
    }
    case ConvMode::down: {
      T* filtered = scratch.get<T>(shape.x_size());
      upfirdn2d<T>(filtered, x, fir_of(c, shape));
      conv_weight_grad<T>(out, filtered, dy, s, nullptr, shape);
      break;
    }
  }
  if (out != dw) {
    // The correlation's weights back in C's order: the arrangement is its own inverse, with rows
    // and columns exchanged.
    const bool swapped = arranged.exchange || c.mode == ConvMode::transposed;
    const int64_t rows = (swapped ? c.ci : c.co) / c.groups;
    const int64_t columns = (swapped ? c.co : c.ci) / c.groups;
    arrange_weights<T>(dw, out, rows, columns, int64_t{c.kh} * c.kw, c.groups, arranged.exchange,
                       arranged.mirror);
  }
  t_last_path = conv_last_path();
}

void infer_output_size(LinearConv& c) {
  const int64_t reach_y = int64_t{c.kh - 1} * c.dilation_y + 1;
  const int64_t reach_x = int64_t{c.kw - 1} * c.dilation_x + 1;
  switch (c.mode) {
    case ConvMode::conv:
      c.oh = (c.h + c.pad_top + c.pad_bottom - reach_y) / c.stride_y + 1;
      c.ow = (c.w + c.pad_left + c.pad_right - reach_x) / c.stride_x + 1;
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
      c.oh = (c.h + c.fir_top + c.fir_bottom - (c.fir_h - 1) - c.kh) / c.stride_y + 1;
      c.ow = (c.w + c.fir_left + c.fir_right - (c.fir_w - 1) - c.kw) / c.stride_x + 1;
      break;
  }
  if (c.oh < 1 || c.ow < 1) {
    throw std::invalid_argument("the kernel and the filter are larger than the padded input.");
  }
}

#define PYGAN_INSTANTIATE(T)                                                            \
  template void linear_forward<T>(T*, const T*, const T*, const T*, const Epilogue<T>&, \
                                  const LinearConv&);                                   \
  template void linear_input_grad<T>(T*, const T*, const T*, const LinearConv&);        \
  template void linear_weight_grad<T>(T*, const T*, const T*, const T*, const LinearConv&);
PYGAN_INSTANTIATE(float)
PYGAN_INSTANTIATE(double)

}  // namespace pygan
