// One run of consecutive elements of a bias_act call: what the launcher cuts the call into, and
// what the sweeps, compiled for several instruction sets, take.
#pragma once

#include <cstdint>

#include "common/activation.h"
#include "common/half.h"
#include "common/isa.h"

namespace pygan {

// A run lies either inside one plane (n, c), so that it has one bias and one scale but a noise
// value per element; or inside one row of channels with inner size 1, where it is the other way
// round.
enum class Run { plane, row };

// What varies along a run. S: storage type, or the type computed in. Null where absent.
template <typename S>
struct Elements {
  const S* x;
  const S* dy;
  const S* ddx;
  const S* noise;    // planes only
  const S* ddnoise;  // planes only
  S* out;            // y, or the gradient of dy
  S* gx;
  S* gscale;  // rows only
};

template <typename C>
struct Parameters {
  Activation act;
  C alpha, gain, clamp;  // clamp NaN: no limit
  C strength, ddstrength;
  // Planes: one value each.
  C scale, b, ddscale, ddb;
  // Rows: one value for each element (null: as the value above), and one noise for all.
  const C* scale_row;
  const C* b_row;
  const C* ddscale_row;
  const C* ddb_row;
  C noise, ddnoise;
};

// What a run adds to.
template <typename C>
struct Sums {
  C b, scale;         // planes only
  C strength, noise;  // noise: rows only
  C* b_elements;      // rows only; one sum for each element, null where not wanted
  C* noise_elements;  // planes only, likewise
};

// Sweeps one run of n elements of any alignment. stream: where `out` and `gx` are aligned, they
// bypass the cache.
template <typename C>
using Sweep = void (*)(const Parameters<C>&, const Elements<C>&, int64_t n, bool stream, Sums<C>*);

PYGAN_DECLARE_KERNELS(
    // C: float or double.
    template <typename C> Sweep<C> forward_sweep(Activation act, Run run);
    template <typename C> Sweep<C> backward_sweep(Activation act, Run run);
    template <typename C> Sweep<C> second_order_sweep(Activation act, Run run);
    // The same for the types that are stored but not computed in: float16 or bfloat16.
    template <typename T> void sweep_converted(Sweep<float> sweep, Parameters<float> p,
                                               Elements<T> e, int64_t n, Sums<float>* sums);)

namespace {  // one copy per translation unit: see isa.h

template <typename S>
inline void skip(S** p, int64_t n) {
  if (*p != nullptr) *p += n;
}

template <typename S>
inline void skip(Elements<S>* e, int64_t n) {
  skip(&e->x, n);
  skip(&e->dy, n);
  skip(&e->ddx, n);
  skip(&e->noise, n);
  skip(&e->ddnoise, n);
  skip(&e->out, n);
  skip(&e->gx, n);
  skip(&e->gscale, n);
}

template <typename C>
inline void skip(Parameters<C>* p, int64_t n) {
  skip(&p->scale_row, n);
  skip(&p->b_row, n);
  skip(&p->ddscale_row, n);
  skip(&p->ddb_row, n);
}

}  // namespace
}  // namespace pygan
