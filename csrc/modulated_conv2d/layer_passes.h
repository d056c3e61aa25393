// Passes over activations that layer.cpp and layer_second_order.cpp share; internal to them.
#pragma once

#include <cstdint>
#include <vector>

#include "common/parallel.h"
#include "modulated_conv2d/epilogue_grad.h"
#include "modulated_conv2d/modulated_conv2d.h"

namespace pygan {
namespace {

template <typename T>
void grad_plane(T* q, const T* g, const T* y, const T* noise, int64_t count, T scale,
                Slope<T> slope, PlaneSums* sums) {
  PYGAN_DISPATCH(epilogue_grad_plane(q, g, y, noise, count, scale, slope, sums));
}
template <typename T>
void add_slope(T* out, const T* g, const T* y, int64_t count, T weight, Slope<T> slope) {
  PYGAN_DISPATCH(accumulate_slope(out, g, y, count, weight, slope));
}
template <typename T>
double scale_dot(T* x_grad, const T* dxs, const T* x, T s, int64_t count) {
  PYGAN_DISPATCH(scale_and_dot(x_grad, dxs, x, s, count));
}

template <typename T>
Slope<T> slope_of(const LayerActivation& act) {
  const double negative = act.act == 0 ? 1.0 : act.act == 1 ? 0.0 : act.alpha;
  return {static_cast<T>(act.gain), static_cast<T>(act.gain * negative), static_cast<T>(act.clamp)};
}

// Everything about planes (n, o) that the passes share.
template <typename T>
struct Planes {
  const LayerInputs<T>& in;
  const LinearConv& conv;
  Slope<T> slope;
  int64_t area, count;

  Planes(const LayerInputs<T>& inputs, const LinearConv& c, const LayerActivation& act)
      : in(inputs), conv(c), slope(slope_of<T>(act)), area(c.oh * c.ow), count(c.n * c.co) {}
  const T* noise(int64_t plane) const {
    if (in.noise == nullptr) return nullptr;
    return in.noise + (in.noise_per_sample ? plane / conv.co * area : 0);
  }
  T scale(int64_t plane) const { return in.d != nullptr ? in.d[plane] : T(1); }
  T bias(int64_t plane) const { return in.bias != nullptr ? in.bias[plane % conv.co] : T(0); }
  T strength() const { return in.strength != nullptr ? *in.strength : T(1); }
};

// q = d m g for all planes (or null), and the sums of each.
template <typename T>
void backward_pass(T* q, std::vector<PlaneSums>& sums, const Planes<T>& p, const T* y, const T* g) {
  sums.assign(p.count, PlaneSums{0, 0, 0});
#pragma omp parallel for schedule(static) if (p.count * p.area >= kSerialBelow)
  for (int64_t i = 0; i < p.count; ++i) {
    const int64_t at = i * p.area;
    grad_plane<T>(q != nullptr ? q + at : nullptr, g + at, y + at, p.noise(i), p.area, p.scale(i),
                  p.slope, &sums[i]);
  }
}

// out[n or 1, pixels] = sum over planes of weight[plane] * h.
template <typename T>
void noise_pass(T* out, const std::vector<double>& weight, const Planes<T>& p, const T* y,
                const T* g) {
  const int64_t samples = p.in.noise_per_sample ? p.conv.n : 1;
  constexpr int64_t kChunk = 4096;
  const int64_t chunks = (p.area + kChunk - 1) / kChunk;
#pragma omp parallel for collapse(2) schedule(static)
  for (int64_t n = 0; n < samples; ++n) {
    for (int64_t c = 0; c < chunks; ++c) {
      const int64_t begin = c * kChunk;
      const int64_t size = begin + kChunk < p.area ? kChunk : p.area - begin;
      T* to = out + n * p.area + begin;
      for (int64_t i = 0; i < size; ++i) to[i] = 0;
      const int64_t first = p.in.noise_per_sample ? n * p.conv.co : 0;
      const int64_t last = p.in.noise_per_sample ? first + p.conv.co : p.count;
      for (int64_t plane = first; plane < last; ++plane) {
        const int64_t at = plane * p.area + begin;
        add_slope<T>(to, g + at, y + at, size, static_cast<T>(weight[plane]), p.slope);
      }
    }
  }
}

// Sum of h * u - the gradient of the scale - where d is not zero: from the sums, since
// h z = g y and u = (z - bias - strength noise) / d.
template <typename T>
double scale_grad(const Planes<T>& p, int64_t plane, const PlaneSums& sums) {
  const double rest = static_cast<double>(p.bias(plane)) * sums.h +
                      static_cast<double>(p.strength()) * sums.h_noise;
  return (sums.g_y - rest) / static_cast<double>(p.scale(plane));
}

template <typename T>
bool any_zero_scale(const Planes<T>& p) {
  if (p.in.d == nullptr) return false;
  for (int64_t i = 0; i < p.count; ++i) {
    if (p.in.d[i] == T(0)) return true;
  }
  return false;
}

// x = s dxs and ds = sum of x_in dxs; dxs may be x_grad itself.
template <typename T>
void unscale(T* x_grad, T* s_grad, const T* dxs, const LayerInputs<T>& in, const LinearConv& conv) {
  const int64_t area = conv.h * conv.w;
#pragma omp parallel for schedule(static) if (conv.x_size() >= kSerialBelow)
  for (int64_t i = 0; i < conv.n * conv.ci; ++i) {
    const int64_t at = i * area;
    const double dot = scale_dot<T>(x_grad != nullptr ? x_grad + at : nullptr, dxs + at, in.x + at,
                                    in.s != nullptr ? in.s[i] : T(1), area);
    if (s_grad != nullptr) s_grad[i] = static_cast<T>(dot);
  }
}

}  // namespace
}  // namespace pygan
