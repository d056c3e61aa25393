// The sweeps of y.
#include "spade_norm/sweep.h"

namespace pygan {
namespace PYGAN_ISA {

template <typename C>
NormSweep<C> norm_forward_sweep(bool linear) {
  return linear ? forward_sweep_of<C, true> : forward_sweep_of<C, false>;
}
template NormSweep<float> norm_forward_sweep(bool);
template NormSweep<double> norm_forward_sweep(bool);

}  // namespace PYGAN_ISA
}  // namespace pygan
