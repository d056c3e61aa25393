// Forward and backward pass of the layer described in modulated_conv2d.h.
#include <vector>

#include "common/scratch.h"
#include "modulated_conv2d/layer_passes.h"
#include "modulated_conv2d/linear_conv.h"

namespace pygan {
namespace {

template <typename T>
Epilogue<T> epilogue_of(const LayerInputs<T>& in, const LinearConv& conv,
                        const LayerActivation& act) {
  Epilogue<T> e;
  e.scale = in.d;
  e.bias = in.bias;
  e.noise = in.noise;
  e.noise_sample_stride = in.noise_per_sample ? conv.oh * conv.ow : 0;
  e.strength = in.strength != nullptr ? *in.strength : T(1);
  e.act = static_cast<EpilogueAct>(act.act);
  e.alpha = static_cast<T>(act.alpha);
  e.gain = static_cast<T>(act.gain);
  e.clamp = static_cast<T>(act.clamp);
  return e;
}

bool is_plain(const LayerActivation& act) {
  return act.act == 0 && act.gain == 1.0 && act.clamp < 0;
}

}  // namespace

template <typename T>
void layer_forward(T* y, const LayerInputs<T>& in, const LinearConv& conv,
                   const LayerActivation& act) {
  linear_forward<T>(y, in.x, in.w, in.s, epilogue_of(in, conv, act), conv);
}

template <typename T>
void layer_backward(const LayerGrads<T>& grads, const LayerInputs<T>& in, const T* y, const T* g,
                    const LinearConv& conv, const LayerActivation& act) {
  const Planes<T> p(in, conv, act);
  Scratch scratch;
  const bool need_q = grads.x != nullptr || grads.s != nullptr || grads.w != nullptr;
  const bool need_sums = grads.d != nullptr || grads.strength != nullptr || grads.bias != nullptr;
  const T* q = g;
  std::vector<PlaneSums> sums;
  if (need_sums || (need_q && !(is_plain(act) && in.d == nullptr))) {
    T* slopes = need_q ? scratch.get<T>(conv.u_size()) : nullptr;
    backward_pass<T>(slopes, sums, p, y, g);
    if (need_q) q = slopes;
  }
  if (grads.bias != nullptr) {
    for (int64_t o = 0; o < conv.co; ++o) {
      double total = 0;
      for (int64_t n = 0; n < conv.n; ++n) total += sums[n * conv.co + o].h;
      grads.bias[o] = static_cast<T>(total);
    }
  }
  if (grads.strength != nullptr) {
    double total = 0;
    for (const PlaneSums& s : sums) total += s.h_noise;
    *grads.strength = static_cast<T>(total);
  }
  if (grads.noise != nullptr) {
    noise_pass<T>(grads.noise, std::vector<double>(p.count, p.strength()), p, y, g);
  }
  if (grads.d != nullptr) {
    for (int64_t i = 0; i < p.count; ++i) {
      if (p.scale(i) != T(0)) grads.d[i] = static_cast<T>(scale_grad(p, i, sums[i]));
    }
    if (any_zero_scale(p)) {  // u cannot be read off y there: compute it
      Scratch inner;
      T* u = inner.get<T>(conv.u_size());
      T* h = inner.get<T>(p.area);
      linear_forward<T>(u, in.x, in.w, in.s, Epilogue<T>{}, conv);
      PlaneSums unused;
      for (int64_t i = 0; i < p.count; ++i) {
        if (p.scale(i) != T(0)) continue;
        const int64_t at = i * p.area;
        grad_plane<T>(h, g + at, y + at, nullptr, p.area, T(1), p.slope, &unused);
        grads.d[i] = static_cast<T>(scale_dot<T>(nullptr, h, u + at, T(1), p.area));
      }
    }
  }
  if (need_q) {
    Scratch inner;
    T* dxs = grads.x != nullptr   ? grads.x
             : grads.s != nullptr ? inner.get<T>(conv.x_size())
                                  : nullptr;
    linear_grads<T>(dxs, grads.w, in.x, in.w, in.s, q, conv);
    if (dxs != nullptr && in.s != nullptr) unscale<T>(grads.x, grads.s, dxs, in, conv);
  }
}

#define PYGAN_INSTANTIATE(T)                                                                       \
  template void layer_forward<T>(T*, const LayerInputs<T>&, const LinearConv&,                     \
                                 const LayerActivation&);                                          \
  template void layer_backward<T>(const LayerGrads<T>&, const LayerInputs<T>&, const T*, const T*, \
                                  const LinearConv&, const LayerActivation&);
PYGAN_INSTANTIATE(float)
PYGAN_INSTANTIATE(double)

}  // namespace pygan
