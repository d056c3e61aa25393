// Energy of convolution weights over their taps, from which demodulation is computed:
//
//   e[r] = sum over k of w[r, k]^2            r: a pair of output and input channel
//
// The operator is quadratic; its derivatives are these three loops.
#pragma once

#include <cstdint>

#include "common/isa.h"

namespace pygan {

// e[r] = sum_k a[r, k] b[r, k], times `factor`.
template <typename T>
void tap_dot(T* e, const T* a, const T* b, T factor, int64_t rows, int64_t taps);

// out[r, k] = factor * w[r, k] * e[r].
template <typename T>
void tap_scale(T* out, const T* w, const T* e, T factor, int64_t rows, int64_t taps);

}  // namespace pygan
