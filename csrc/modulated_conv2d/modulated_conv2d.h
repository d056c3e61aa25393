// The layer behind every convolution of pygan, and its first and second derivatives:
//
//   u = C(x * s, w)                                  C one of four linear maps (ConvMode)
//   z = d * u + strength * noise + bias
//   y = clamp(gain * act(z))                         act: linear, relu, lrelu
//
// C(x * s, w) is linear in x, s and w, so each derivative is again made of the three engines of
// conv2d.h with other operands. The activation is piecewise linear: its slope m is read off y, and
// m * z = y, which gives the gradient of d without u ever being stored.
#pragma once

#include <cstdint>
#include <vector>

#include "modulated_conv2d/conv_shape.h"
#include "modulated_conv2d/epilogue.h"

namespace pygan {

// The numbers of pygan/ops/_convolution.py.
enum class ConvMode {
  conv = 0,        // correlation with w [co, ci/groups, kh, kw]
  transposed = 1,  // transposed convolution with w [ci, co/groups, kh, kw]
  up = 2,          // insert zeros, correlate with w [co, ci/groups, kh, kw], FIR with gain up^2
  down = 3,        // FIR, then strided correlation with w [co, ci/groups, kh, kw]
};

// The linear map C from x [n, ci, h, w] to u [n, co, oh, ow].
struct LinearConv {
  ConvMode mode;
  bool flip;  // convolve instead of correlate: w mirrored
  int64_t n, ci, h, w, co, oh, ow;
  int kh, kw;
  int stride_y, stride_x;  // in mode up, the factor; in mode down, the decimation
  int dilation_y, dilation_x;
  int64_t pad_left, pad_right, pad_top, pad_bottom;  // of the correlation (modes conv, transposed)
  int64_t groups;
  // FIR of the modes up and down: [fir_h, fir_w] taps, or fir_w of them for both axes where it is
  // separable; and its padding in pixels of the larger image.
  std::vector<double> fir;
  bool fir_separable;
  int fir_h, fir_w;
  int64_t fir_left, fir_right, fir_top, fir_bottom;
  bool fir_flip;

  int64_t x_size() const { return n * ci * h * w; }
  int64_t u_size() const { return n * co * oh * ow; }
  int64_t w_size() const {
    return (mode == ConvMode::transposed ? ci * (co / groups) : co * (ci / groups)) * kh * kw;
  }
};

// Sets oh and ow from the rest. Throws std::invalid_argument when nothing is left.
void infer_output_size(LinearConv& conv);

template <typename T>
struct LayerInputs {
  const T* x;      // [n, ci, h, w]
  const T* w;      // see ConvMode
  const T* s;      // [n, ci] or null: ones
  const T* d;      // [n, co] or null: ones
  const T* noise;  // [n or 1, 1, oh, ow] or null
  bool noise_per_sample;
  const T* strength;  // [1] or null: one
  const T* bias;      // [co] or null
};

struct LayerActivation {
  int act;                    // 0 linear, 1 relu, 2 lrelu
  double alpha, gain, clamp;  // clamp < 0: none
};

// Gradients with respect to each input; null ones are not computed.
template <typename T>
struct LayerGrads {
  T* x;
  T* w;
  T* s;
  T* d;
  T* noise;
  T* strength;
  T* bias;
};

// Directions in the gradients of LayerGrads: what a second differentiation sends back to them.
// Null ones are zero.
template <typename T>
struct LayerDirections {
  const T* x;
  const T* w;
  const T* s;
  const T* d;
  const T* noise;
  const T* strength;
  const T* bias;
};

template <typename T>
void layer_forward(T* y, const LayerInputs<T>& in, const LinearConv& conv,
                   const LayerActivation& act);

// Gradients of <y, g>. Reads y, the output of layer_forward.
template <typename T>
void layer_backward(const LayerGrads<T>& grads, const LayerInputs<T>& in, const T* y, const T* g,
                    const LinearConv& conv, const LayerActivation& act);

// Gradients of the sum of <direction, gradient> over the gradients of layer_backward, with respect
// to the inputs (`grads`), to g (`grad_g`) and to y as layer_backward reads it (`grad_y`).
// The last flows on through the layer itself; both may be null.
template <typename T>
void layer_second_order(const LayerGrads<T>& grads, T* grad_g, T* grad_y,
                        const LayerDirections<T>& directions, const LayerInputs<T>& in, const T* y,
                        const T* g, const LinearConv& conv, const LayerActivation& act);

}  // namespace pygan
