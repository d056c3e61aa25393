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
#include "common/simd_partial.h"

namespace pygan {
namespace PYGAN_ISA {

// A run lies either inside one plane (n, c), so that it has one bias and one scale but a noise
// value per element; or inside one row of channels with inner size 1, where it is the other way
// round.
enum class Run { plane, row };

// What varies along a run. S: storage type, or the type computed in. Null where absent.
template <typename S>
struct Elements {
  const S* x = nullptr;
  const S* dy = nullptr;
  const S* ddx = nullptr;
  const S* noise = nullptr;    // planes only
  const S* ddnoise = nullptr;  // planes only
  S* out = nullptr;            // y, or the gradient of dy
  S* gx = nullptr;
  S* gscale = nullptr;  // rows only
};

template <typename C>
struct Parameters {
  C alpha, gain, clamp;  // clamp NaN: no limit
  C strength = 1, ddstrength = 0;
  // Planes: one value each.
  C scale = 1, b = 0, ddscale = 0, ddb = 0;
  // Rows: one value for each element (null: as the value above), and one noise for all.
  const C* scale_row = nullptr;
  const C* b_row = nullptr;
  const C* ddscale_row = nullptr;
  const C* ddb_row = nullptr;
  C noise = 0, ddnoise = 0;
};

// Sums over a run, lane by lane, and the sums kept for each element.
template <typename C>
struct Sums {
  typedef typename Vec<C>::type V;
  V b = {}, scale = {}, strength = {}, noise = {};
  C* b_elements = nullptr;      // rows: added to
  C* noise_elements = nullptr;  // planes: added to
};

// An operand that has one value for the run, or (kVaries) may have one for each element.
template <typename C, bool kVaries>
class Operand {
 public:
  typedef typename Vec<C>::type V;

  inline __attribute__((always_inline)) Operand(const C* elements, C value) : value_(splat(value)) {
    store(repeated_, value_);
    p_ = elements != nullptr ? elements : repeated_;
    mask_ = elements != nullptr ? -1 : 0;
  }
  template <typename Access>
  inline __attribute__((always_inline)) V at(int64_t i, Access access) const {
    return kVaries ? access.load(p_ + (i & mask_)) : value_;
  }

 private:
  V value_;
  const C* p_;
  int64_t mask_;
  C repeated_[lanes<C>()];
};

// How a vector of elements is read and written: whole, or the first `count` lanes of it. The lanes
// that a partial vector lacks read as zeros and add nothing to any sum, because each of their terms
// has dy for a factor.
template <typename C>
struct Whole {
  typedef typename Vec<C>::type V;
  bool stream;
  inline __attribute__((always_inline)) V load(const C* p) const { return PYGAN_ISA::load(p); }
  inline __attribute__((always_inline)) void store(C* p, V v) const { PYGAN_ISA::store(p, v); }
  inline __attribute__((always_inline)) void put(C* p, V v) const {
    if (stream) {
      store_stream(p, v);
    } else {
      PYGAN_ISA::store(p, v);
    }
  }
};
template <typename C>
struct First {
  typedef typename Vec<C>::type V;
  int count;
  inline __attribute__((always_inline)) V load(const C* p) const { return load_first(p, count); }
  inline __attribute__((always_inline)) void store(C* p, V v) const { store_first(p, v, count); }
  inline __attribute__((always_inline)) void put(C* p, V v) const { store_first(p, v, count); }
};

// stream: `out` and `gx` are aligned to vectors and bypass the cache.
template <typename Act, typename C, int kOrder, Run kRun>
void sweep(const Parameters<C>& p, const Elements<C>& e, Sums<C>* sums, int64_t n, bool stream) {
  typedef typename Vec<C>::type V;
  constexpr bool kPlane = kRun == Run::plane;
  // Copies, because the compiler must assume that what is stored below overlaps `p`.
  const C alpha = p.alpha;
  const V gain = splat(p.gain), clamp = splat(p.clamp), strength = splat(p.strength);
  const V ddstrength = splat(p.ddstrength), zero = {};
  const Operand<C, !kPlane> scale_e(p.scale_row, p.scale), ddscale_e(p.ddscale_row, p.ddscale);
  const Operand<C, !kPlane> b_e(p.b_row, p.b), ddb_e(p.ddb_row, p.ddb);
  const Operand<C, kPlane> noise_e(e.noise, p.noise), ddnoise_e(e.ddnoise, p.ddnoise);
  const Operand<C, true> ddx_e(e.ddx, C(0));
  const C* const x_e = e.x;
  const C* const dy_e = e.dy;
  C* const out_e = e.out;
  C* const gx_e = e.gx;
  C* const gscale_e = e.gscale;
  C* const sums_e = kPlane ? sums->noise_elements : sums->b_elements;
  V sum_b = sums->b, sum_scale = sums->scale;
  V sum_strength = sums->strength, sum_noise = sums->noise;

  const auto step = [&](int64_t i, auto access) __attribute__((always_inline)) {
    const V x = access.load(x_e + i);
    const V scale = scale_e.at(i, access);
    const V b = b_e.at(i, access);
    const V noise = noise_e.at(i, access);
    const Jet<C> a = Act::template eval<C>(scale * x + (strength * noise + b), alpha);
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
        if (sums_e != nullptr) {
          access.store(sums_e + i, access.load(sums_e + i) + gnoise);
        }
      } else {
        sum_noise += gnoise;
        if (gscale_e != nullptr) access.store(gscale_e + i, gscale);
        if (sums_e != nullptr) {
          access.store(sums_e + i, access.load(sums_e + i) + gb);
        }
      }
    }
  };
  const int64_t rest = n % lanes<C>();
  for (int64_t i = 0; i < n - rest; i += lanes<C>()) step(i, Whole<C>{stream});
  if (rest > 0) step(n - rest, First<C>{static_cast<int>(rest)});
  sums->b = sum_b;
  sums->scale = sum_scale;
  sums->strength = sum_strength;
  sums->noise = sum_noise;
}

template <typename C>
using Sweep = void (*)(const Parameters<C>&, const Elements<C>&, Sums<C>*, int64_t, bool);

template <typename Act, typename C>
Sweep<C> sweep_of(int order, Run run) {
  static const Sweep<C> table[2][3] = {
      {sweep<Act, C, 0, Run::plane>, sweep<Act, C, 1, Run::plane>, sweep<Act, C, 2, Run::plane>},
      {sweep<Act, C, 0, Run::row>, sweep<Act, C, 1, Run::row>, sweep<Act, C, 2, Run::row>}};
  return table[run == Run::row][order];
}

template <typename C>
Sweep<C> choose_sweep(Activation act, int order, Run run) {
  switch (act) {
    case Activation::relu:
      return sweep_of<Relu, C>(order, run);
    case Activation::lrelu:
      return sweep_of<LeakyRelu, C>(order, run);
    case Activation::tanh:
      return sweep_of<Tanh, C>(order, run);
    case Activation::sigmoid:
      return sweep_of<Sigmoid, C>(order, run);
    case Activation::elu:
      return sweep_of<Elu, C>(order, run);
    case Activation::selu:
      return sweep_of<Selu, C>(order, run);
    case Activation::softplus:
      return sweep_of<Softplus, C>(order, run);
    case Activation::swish:
      return sweep_of<Swish, C>(order, run);
    default:
      return sweep_of<Linear, C>(order, run);
  }
}

}  // namespace PYGAN_ISA
}  // namespace pygan
