// Second order of the layer described in modulated_conv2d.h.
#include <vector>

#include "common/scratch.h"
#include "modulated_conv2d/layer_passes.h"
#include "modulated_conv2d/linear_conv.h"

namespace pygan {
namespace {

template <typename T>
void second_order_plane(T* grad_g, T* grad_y, const T* g, const T* y, const T* du, const T* noise,
                        const T* ddnoise, int64_t count, const SecondOrderPlane<T>& plane,
                        Slope<T> slope, double* h_du, double* h_ddnoise) {
  PYGAN_DISPATCH(epilogue_second_order_plane(grad_g, grad_y, g, y, du, noise, ddnoise, count, plane,
                                             slope, h_du, h_ddnoise));
}
template <typename T>
void combine_rows(T* out, const T* a, T fa, const T* b, T fb, int64_t count) {
  PYGAN_DISPATCH(combine(out, a, fa, b, fb, count));
}
// out = a * fa[n, c] + b * fb[n, c] by planes; null factors are ones, null tensors are left out.
template <typename T>
void combine_planes(T* out, const T* a, const T* fa, const T* b, const T* fb, int64_t planes,
                    int64_t area) {
#pragma omp parallel for schedule(static) if (planes * area >= kSerialBelow)
  for (int64_t i = 0; i < planes; ++i) {
    const int64_t at = i * area;
    combine_rows<T>(out + at, a != nullptr ? a + at : nullptr, fa != nullptr ? fa[i] : T(1),
                    b != nullptr ? b + at : nullptr, fb != nullptr ? fb[i] : T(1), area);
  }
}

template <typename T>
void fill_zero(T* out, int64_t count) {
  for (int64_t i = 0; i < count; ++i) out[i] = 0;
}

template <typename T>
void add_into(T* out, const T* in, int64_t count) {
  combine_planes<T>(out, out, nullptr, in, nullptr, 1, count);
}

}  // namespace

template <typename T>
void layer_second_order(const LayerGrads<T>& grads, T* grad_g, T* grad_y,
                        const LayerDirections<T>& dir, const LayerInputs<T>& in, const T* y,
                        const T* g, const LinearConv& conv, const LayerActivation& act) {
  const Planes<T> p(in, conv, act);
  Scratch scratch;
  const int64_t x_area = conv.h * conv.w;
  // h and its products: q = d h, and the sums that the explicit terms of the scale's gradient need.
  T* q = scratch.get<T>(conv.u_size());
  std::vector<PlaneSums> sums;
  backward_pass<T>(q, sums, p, y, g);
  // Where some d is zero, u cannot be read off y: the scale's direction then acts through
  // explicit convolutions instead of through y.
  const bool explicit_scale = dir.d != nullptr && any_zero_scale(p);

  // A = direction of x * s, and du = C(A, w) + C(x s, direction of w).
  const bool has_a = dir.x != nullptr || (dir.s != nullptr && in.s != nullptr);
  const T* a = dir.x;
  const T* a_scale = in.s;  // A = a * a_scale
  if (dir.s != nullptr && in.s != nullptr) {
    T* sum = scratch.get<T>(conv.x_size());
    combine_planes<T>(sum, dir.x, in.s, in.x, dir.s, conv.n * conv.ci, x_area);
    a = sum;
    a_scale = nullptr;
  }
  T* du = nullptr;
  if (has_a || dir.w != nullptr) {
    du = scratch.get<T>(conv.u_size());
    if (has_a) linear_forward<T>(du, a, in.w, a_scale, Epilogue<T>{}, conv);
    if (dir.w != nullptr) {
      Scratch inner;
      T* other = has_a ? inner.get<T>(conv.u_size()) : du;
      linear_forward<T>(other, in.x, dir.w, in.s, Epilogue<T>{}, conv);
      if (has_a) add_into<T>(du, other, conv.u_size());
    }
  }

  // Gradients of g and y, and the reductions over du.
  std::vector<double> h_du(p.count, 0.0), h_ddnoise(p.count, 0.0);
  std::vector<double> ratio(p.count, 0.0);
  if (dir.d != nullptr && !explicit_scale) {
    for (int64_t i = 0; i < p.count; ++i) {
      ratio[i] = static_cast<double>(dir.d[i]) / static_cast<double>(p.scale(i));
    }
  }
#pragma omp parallel for schedule(static) if (conv.u_size() >= kSerialBelow)
  for (int64_t i = 0; i < p.count; ++i) {
    const int64_t at = i * p.area;
    const int64_t noise_at = in.noise_per_sample ? i / conv.co * p.area : 0;
    SecondOrderPlane<T> plane;
    plane.d = p.scale(i);
    plane.ratio = static_cast<T>(ratio[i]);
    plane.constant = dir.bias != nullptr ? dir.bias[i % conv.co] : T(0);
    plane.noise = dir.strength != nullptr ? *dir.strength : T(0);
    plane.strength = dir.noise != nullptr ? p.strength() : T(0);
    plane.bias = p.bias(i);
    plane.noise_scale = p.strength();
    second_order_plane<T>(grad_g != nullptr ? grad_g + at : nullptr,
                          grad_y != nullptr ? grad_y + at : nullptr, g + at, y + at,
                          du != nullptr ? du + at : nullptr, p.noise(i),
                          dir.noise != nullptr ? dir.noise + noise_at : nullptr, p.area, plane,
                          p.slope, &h_du[i], &h_ddnoise[i]);
  }

  if (grads.d != nullptr) {
    for (int64_t i = 0; i < p.count; ++i) {
      double value = h_du[i];
      if (ratio[i] != 0.0) value -= ratio[i] * scale_grad(p, i, sums[i]);
      grads.d[i] = static_cast<T>(value);
    }
  }
  if (grads.bias != nullptr) {
    for (int64_t o = 0; o < conv.co; ++o) {
      double total = 0;
      for (int64_t n = 0; n < conv.n; ++n) {
        total -= ratio[n * conv.co + o] * sums[n * conv.co + o].h;
      }
      grads.bias[o] = static_cast<T>(total);
    }
  }
  if (grads.strength != nullptr) {
    double total = 0;
    for (int64_t i = 0; i < p.count; ++i) total += h_ddnoise[i] - ratio[i] * sums[i].h_noise;
    *grads.strength = static_cast<T>(total);
  }
  if (grads.noise != nullptr) {
    std::vector<double> weight(p.count);
    const double direction = dir.strength != nullptr ? static_cast<double>(*dir.strength) : 0.0;
    for (int64_t i = 0; i < p.count; ++i) {
      weight[i] = direction - static_cast<double>(p.strength()) * ratio[i];
    }
    noise_pass<T>(grads.noise, weight, p, y, g);
  }

  // Gradients of x, s and w: from <q, C(A, w)> and from <q, C(x s, direction of w)>.
  if (grads.x != nullptr) fill_zero<T>(grads.x, conv.x_size());
  if (grads.s != nullptr) fill_zero<T>(grads.s, conv.n * conv.ci);
  if (grads.w != nullptr) fill_zero<T>(grads.w, conv.w_size());
  const bool need_xs = grads.x != nullptr || (grads.s != nullptr && in.s != nullptr);
  // `towards` is the gradient of x * s; it reaches x through s, and s through x.
  const auto add_xs_grad = [&](const T* towards) {
    Scratch inner;
    T* ds = inner.get<T>(conv.n * conv.ci);
    T* dx = inner.get<T>(conv.x_size());
    unscale<T>(dx, ds, towards, in, conv);
    if (grads.x != nullptr) add_into<T>(grads.x, dx, conv.x_size());
    if (grads.s != nullptr) add_into<T>(grads.s, ds, conv.n * conv.ci);
  };
  if (has_a) {
    Scratch inner;
    T* da = need_xs && in.s != nullptr ? inner.get<T>(conv.x_size()) : nullptr;
    if (da != nullptr || grads.w != nullptr) {
      linear_grads<T>(da, grads.w, a, in.w, a_scale, q, conv);
    }
    if (da != nullptr && grads.x != nullptr && dir.s != nullptr) {
      combine_planes<T>(grads.x, da, dir.s, static_cast<const T*>(nullptr), nullptr,
                        conv.n * conv.ci, x_area);
    }
    if (da != nullptr && grads.s != nullptr && dir.x != nullptr) {
      LayerInputs<T> directions = in;
      directions.x = dir.x;
      unscale<T>(nullptr, grads.s, da, directions, conv);
    }
  }
  if (dir.w != nullptr && need_xs) {
    Scratch inner;
    T* dxs = inner.get<T>(conv.x_size());
    linear_grads<T>(dxs, nullptr, in.x, dir.w, in.s, q, conv);
    add_xs_grad(dxs);
  }
  if (explicit_scale) {
    Scratch inner;
    // <direction of d, sum of h u>: h times the direction acts like one more gradient of u.
    T* ph = inner.get<T>(conv.u_size());
    LayerInputs<T> scaled = in;
    scaled.d = dir.d;
    std::vector<PlaneSums> unused;
    backward_pass<T>(ph, unused, Planes<T>(scaled, conv, act), y, g);
    if (grad_g != nullptr) {
      T* u = inner.get<T>(conv.u_size());
      T* zero = inner.get<T>(p.area);
      fill_zero<T>(zero, p.area);
      linear_forward<T>(u, in.x, in.w, in.s, Epilogue<T>{}, conv);
      T* slopes = inner.get<T>(p.area);
      PlaneSums ignored;
      for (int64_t i = 0; i < p.count; ++i) {
        const int64_t at = i * p.area;
        // m * direction * u, through the pass that multiplies its second operand by m.
        grad_plane<T>(slopes, u + at, y + at, nullptr, p.area, dir.d[i], p.slope, &ignored);
        add_into<T>(grad_g + at, slopes, p.area);
      }
    }
    T* dxs = need_xs ? inner.get<T>(conv.x_size()) : nullptr;
    T* dw = grads.w != nullptr ? inner.get<T>(conv.w_size()) : nullptr;
    if (dxs != nullptr || dw != nullptr) linear_grads<T>(dxs, dw, in.x, in.w, in.s, ph, conv);
    if (dxs != nullptr) add_xs_grad(dxs);
    if (dw != nullptr) add_into<T>(grads.w, dw, conv.w_size());
  }
}

#define PYGAN_INSTANTIATE(T)                                                                   \
  template void layer_second_order<T>(const LayerGrads<T>&, T*, T*, const LayerDirections<T>&, \
                                      const LayerInputs<T>&, const T*, const T*,               \
                                      const LinearConv&, const LayerActivation&);
PYGAN_INSTANTIATE(float)
PYGAN_INSTANTIATE(double)

}  // namespace pygan
