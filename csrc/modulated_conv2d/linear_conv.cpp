// The four modes of the linear map C, in terms of the engines of conv2d.h, of upfirdn2d, and, for
// the layers of StyleGAN2, of the polyphase Winograd convolution, which does both at once.
#include "modulated_conv2d/linear_conv.h"

#include <cmath>
#include <stdexcept>

#include "common/parallel.h"
#include "common/scratch.h"
#include "modulated_conv2d/conv2d.h"
#include "modulated_conv2d/epilogue_pass.h"
#include "modulated_conv2d/plan.h"
#include "modulated_conv2d/winograd.h"
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

// The filter as an outer product of four taps by four; false where it is none.
bool separable_taps(const LinearConv& c, double y[4], double x[4]) {
  if (c.fir_h != 4 || c.fir_w != 4) return false;
  if (c.fir_separable) {
    for (int k = 0; k < 4; ++k) y[k] = x[k] = c.fir[k];
    return true;
  }
  int pivot = 0;
  for (int i = 1; i < 16; ++i) {
    if (std::fabs(c.fir[i]) > std::fabs(c.fir[pivot])) pivot = i;
  }
  const double largest = c.fir[pivot];
  if (largest == 0) return false;
  const double root = std::sqrt(std::fabs(largest));
  for (int k = 0; k < 4; ++k) {
    x[k] = c.fir[pivot / 4 * 4 + k] / root;
    y[k] = c.fir[k * 4 + pivot % 4] / largest * root;
  }
  for (int i = 0; i < 16; ++i) {
    if (std::fabs(y[i / 4] * x[i % 4] - c.fir[i]) > 1e-7 * std::fabs(largest)) return false;
  }
  return true;
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

// The polyphase form of StyleGAN2's up and down layers, where it applies and pays.
struct Polyphase {
  WinogradShape shape;  // of the forward pass
  PolyphaseFilter filter;
};

// Where it pays: it needs as many multiplications as a transposed convolution, and gains by writing
// the large side once, filter and epilogue included. Against transposed or strided convolution and
// FIR (batch 4, one thread): an up layer's forward pass takes 0.77 of the time at 128 -> 64
// channels on 128x128, 0.94 at 256 -> 128 on 64x64, 1.05 at 512 -> 256 on 32x32; a down layer's
// input gradient 0.74 at 64 -> 128 on 256x256, 0.94 at 128 -> 256, 1.2 at 256 -> 512. Reading the
// large side polyphase (the other direction, and weight gradients) takes 1.0 to 1.5 times as long.
bool polyphase_is_faster(ConvOp op, const LinearConv& c) {
  const bool up = c.mode == ConvMode::up;
  const int64_t pixels = c.n * (up ? c.h * c.w : c.oh * c.ow);
  if (pixels < 4 * 16 * 16) return false;
  return up ? op == ConvOp::forward && c.ci <= 256 : op == ConvOp::input_grad && c.co <= 256;
}

template <typename T>
bool polyphase_of(ConvOp, const LinearConv&, Polyphase*) {
  return false;
}
template <>
bool polyphase_of<float>(ConvOp op, const LinearConv& c, Polyphase* p) {
  const bool up = c.mode == ConvMode::up;
  if (!up && c.mode != ConvMode::down) return false;
  const int64_t around = up ? 1 : 2;
  if (c.kh != 3 || c.kw != 3 || c.stride_y != 2 || c.stride_x != 2 || c.groups != 1 ||
      c.fir_left != around || c.fir_right != around || c.fir_top != around ||
      c.fir_bottom != around || (!up && (c.h % 2 != 0 || c.w % 2 != 0))) {
    return false;
  }
  double taps_y[4], taps_x[4];
  if (!separable_taps(c, taps_y, taps_x)) return false;
  p->shape.n = c.n;
  p->shape.ci = c.ci;
  p->shape.co = c.co;
  p->shape.h = up ? c.h : c.oh;
  p->shape.w = up ? c.w : c.ow;
  p->shape.input_space_to_depth = !up;
  p->shape.output_depth_to_space = up;
  if (!winograd_supports(p->shape)) return false;
  if (!path_is_wanted(ConvPath::winograd, polyphase_is_faster(op, c))) return false;
  for (int k = 0; k < 4; ++k) {
    const int tap = c.fir_flip ? k : 3 - k;
    p->filter.y[k] = static_cast<float>(taps_y[tap] * (up ? 2 : 1));
    p->filter.x[k] = static_cast<float>(taps_x[tap] * (up ? 2 : 1));
  }
  return true;
}

// The polyphase engine correlates with the weights as they are stored; a true convolution has them
// mirrored.
const float* polyphase_weights(const float* w, const LinearConv& c, Scratch& scratch) {
  if (!c.flip) return w;
  float* out = scratch.get<float>(c.w_size());
  arrange_weights<float>(out, w, c.co, c.ci, 9, 1, false, true);
  return out;
}

void polyphase_forward(float* y, const float* x, const float* w, const float* s,
                       const Epilogue<float>& epilogue, const LinearConv& c, const Polyphase& p) {
  Scratch scratch;
  winograd_forward(y, x, polyphase_weights(w, c, scratch), false, s, epilogue, p.shape, &p.filter);
}
void polyphase_input_grad(float* dx, const float* dy, const float* w, const LinearConv& c,
                          const Polyphase& p) {
  Scratch scratch;
  WinogradShape shape = p.shape;
  shape.ci = p.shape.co;
  shape.co = p.shape.ci;
  shape.input_space_to_depth = p.shape.output_depth_to_space;
  shape.output_depth_to_space = p.shape.input_space_to_depth;
  winograd_forward(dx, dy, polyphase_weights(w, c, scratch), true, nullptr, Epilogue<float>{},
                   shape, &p.filter);
}
void polyphase_weight_grad(float* dw, const float* x, const float* s, const float* dy,
                           const LinearConv& c, const Polyphase& p) {
  Scratch scratch;
  float* out = c.flip ? scratch.get<float>(c.w_size()) : dw;
  winograd_weight_grad(out, x, dy, s, nullptr, p.shape, &p.filter);
  if (c.flip) arrange_weights<float>(dw, out, c.co, c.ci, 9, 1, false, true);
}
// Never called: polyphase_of<double> is false.
void polyphase_forward(double*, const double*, const double*, const double*,
                       const Epilogue<double>&, const LinearConv&, const Polyphase&) {}
void polyphase_input_grad(double*, const double*, const double*, const LinearConv&,
                          const Polyphase&) {}
void polyphase_weight_grad(double*, const double*, const double*, const double*, const LinearConv&,
                           const Polyphase&) {}

}  // namespace

const char* linear_last_path() { return t_last_path; }

template <typename T>
void linear_forward(T* y, const T* x, const T* w, const T* s, const Epilogue<T>& epilogue,
                    const LinearConv& c) {
  Polyphase polyphase;
  if (polyphase_of<T>(ConvOp::forward, c, &polyphase)) {
    polyphase_forward(y, x, w, s, epilogue, c, polyphase);
    t_last_path = "winograd";
    return;
  }
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
  Polyphase polyphase;
  if (polyphase_of<T>(ConvOp::input_grad, c, &polyphase)) {
    polyphase_input_grad(dx, dy, w, c, polyphase);
    t_last_path = "winograd";
    return;
  }
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
  Polyphase polyphase;
  if (polyphase_of<T>(ConvOp::weight_grad, c, &polyphase)) {
    polyphase_weight_grad(dw, x, s, dy, c, polyphase);
    t_last_path = "winograd";
    return;
  }
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
