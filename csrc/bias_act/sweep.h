// The arithmetic of bias_act on one run of consecutive elements: reads every operand once, writes
// every result once, and adds to the sums that the parameters' gradients are made of.
//
// With t the tangent of u, t = scale ddx + ddscale x + ddb + strength ddnoise + ddstrength noise,
// k1 = gain act'(u) and k2 = gain act''(u), both zero where the clamp cuts:
//
//   order 1:  du = k1 dy                    dx = scale du                ("gradient of x" below)
//             db, dscale, dstrength, dnoise = sums of du, du x, du noise, strength du
//   order 2:  du = k1 dy,  e = k2 t dy      gradient of dy = k1 t
//             gradient of x = scale e + ddscale du
//             gradients of b, scale, strength, noise = sums of
//             e,  e x + du ddx,  e noise + du ddnoise,  strength e + ddstrength du
#pragma once

#include "bias_act/activations.h"
#include "bias_act/run.h"
#include "common/simd_access.h"

namespace pygan {
namespace PYGAN_ISA {

// kPlane: runs may lie inside planes; kRow: they may lie inside rows. At least one is true.
template <typename Act, typename C, int kOrder, bool kPlane, bool kRow>
void sweep(const Parameters<C>& p, const Elements<C>& e, int64_t n, bool stream, Sums<C>* sums) {
  typedef typename Vec<C>::type V;
  // A run that starts off alignment is not worth streaming: the ordinary stores at its ends share
  // cache lines with the streaming ones.
  stream = stream && n >= kStreamRun && is_aligned(e.out) && is_aligned(e.gx);
  // Copies, because the compiler must assume that what is stored below overlaps `p`.
  const Act act = activation_of(p.act, Act());
  const C alpha = p.alpha;
  const V gain = splat(p.gain), clamp = splat(p.clamp), strength = splat(p.strength);
  const V ddstrength = splat(p.ddstrength), zero = {};
  const Operand<C, kRow> scale_e(p.scale_row, p.scale), ddscale_e(p.ddscale_row, p.ddscale);
  const Operand<C, kRow> b_e(p.b_row, p.b), ddb_e(p.ddb_row, p.ddb);
  const Operand<C, kPlane> noise_e(e.noise, p.noise), ddnoise_e(e.ddnoise, p.ddnoise);
  const Operand<C, true> ddx_e(e.ddx, C(0));
  const C* const x_e = e.x;
  const C* const dy_e = e.dy;
  C* const out_e = e.out;
  C* const gx_e = e.gx;
  C* const gscale_e = kRow ? e.gscale : nullptr;
  C* const b_sums_e = kRow ? sums->b_elements : nullptr;
  C* const noise_sums_e = kPlane ? sums->noise_elements : nullptr;
  V sum_b = zero, sum_scale = zero, sum_strength = zero, sum_noise = zero;

  const auto step = [&](int64_t i, auto access) __attribute__((always_inline)) {
    const V x = access.load(x_e + i);
    const V scale = scale_e.at(i, access);
    const V b = b_e.at(i, access);
    const V noise = noise_e.at(i, access);
    const Jet<C> a = act.template eval<C>(scale * x + (strength * noise + b), alpha);
    const V y = a.f * gain;
    if constexpr (kOrder == 0) {
      const V low = y < -clamp ? -clamp : y;
      access.put(out_e + i, low > clamp ? clamp : low);
    } else {
      const auto cut = (y > clamp) | (y < -clamp);
      const V dy = access.load(dy_e + i);
      const V du = cut ? zero : dy * (a.f1 * gain);
      V gx = scale * du, gb = du, gscale = du * x, gstrength = du * noise, gnoise = strength * du;
      if constexpr (kOrder == 2) {
        const V ddx = ddx_e.at(i, access);
        const V ddscale = ddscale_e.at(i, access);
        const V ddb = ddb_e.at(i, access);
        const V ddnoise = ddnoise_e.at(i, access);
        const V t = scale * ddx + ddscale * x + ddb + strength * ddnoise + ddstrength * noise;
        const V curved = cut ? zero : dy * t * (a.f2 * gain);
        access.put(out_e + i, cut ? zero : t * (a.f1 * gain));
        gx = scale * curved + ddscale * du;
        gb = curved;
        gscale = curved * x + du * ddx;
        gstrength = curved * noise + du * ddnoise;
        gnoise = strength * curved + ddstrength * du;
      }
      if (gx_e != nullptr) access.put(gx_e + i, gx);
      sum_strength += gstrength;
      if constexpr (kPlane) {
        sum_b += gb;
        sum_scale += gscale;
        if (noise_sums_e != nullptr) access.add(noise_sums_e + i, gnoise);
      }
      if constexpr (kRow) {
        sum_noise += gnoise;
        if (gscale_e != nullptr) access.store(gscale_e + i, gscale);
        if (b_sums_e != nullptr) access.add(b_sums_e + i, gb);
      }
    }
  };
  const int64_t rest = n % lanes<C>();
  for (int64_t i = 0; i < n - rest; i += lanes<C>()) step(i, Whole<C>{stream});
  if (rest > 0) step(n - rest, First<C>{static_cast<int>(rest)});
  if constexpr (kOrder > 0) {
    sums->strength += sum_lanes<C>(sum_strength);
    if constexpr (kPlane) {
      sums->b += sum_lanes<C>(sum_b);
      sums->scale += sum_lanes<C>(sum_scale);
    }
    if constexpr (kRow) sums->noise += sum_lanes<C>(sum_noise);
  }
}

// What is called most has the most specialised loops.
template <int kOrder, typename C>
constexpr bool kCommon = kOrder < 2 && sizeof(C) == sizeof(float);

// Piecewise linear activations run at the speed of memory, and so each kind of run has its loop.
template <int kOrder, typename C, typename Act>
Sweep<C> linear_sweep(Run run) {
  return run == Run::plane ? sweep<Act, C, kOrder, true, false>
                           : sweep<Act, C, kOrder, false, true>;
}

// Beside an exponential it costs little to choose the activation in the loop, or to read what does
// not vary from the first-level cache, so that one loop serves both kinds of run.
template <int kOrder, typename C, typename Act>
Sweep<C> smooth_sweep(Run run) {
  if constexpr (kCommon<kOrder, C>) {
    if (run == Run::plane) return sweep<Act, C, kOrder, true, false>;
  }
  return sweep<AnySmooth, C, kOrder, true, true>;
}

template <int kOrder, typename C>
Sweep<C> sweep_of_order(Activation act, Run run) {
  switch (act) {
    case Activation::tanh:
      return smooth_sweep<kOrder, C, Tanh>(run);
    case Activation::sigmoid:
      return smooth_sweep<kOrder, C, Sigmoid>(run);
    case Activation::elu:
      return smooth_sweep<kOrder, C, Elu>(run);
    case Activation::selu:
      return smooth_sweep<kOrder, C, Selu>(run);
    case Activation::softplus:
      return smooth_sweep<kOrder, C, Softplus>(run);
    case Activation::swish:
      return smooth_sweep<kOrder, C, Swish>(run);
    case Activation::linear:
      if constexpr (kCommon<kOrder, C>) return linear_sweep<kOrder, C, Linear>(run);
      [[fallthrough]];
    default:
      return linear_sweep<kOrder, C, PiecewiseLinear>(run);
  }
}

}  // namespace PYGAN_ISA
}  // namespace pygan
