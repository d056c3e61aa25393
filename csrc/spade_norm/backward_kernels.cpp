// The sweeps of the first-order gradients.
#include "spade_norm/sweep.h"

namespace pygan {
namespace PYGAN_ISA {

template <typename C>
NormSweep<C> norm_backward_sweep(bool linear) {
  return linear ? backward_sweep_of<C, true> : backward_sweep_of<C, false>;
}
template NormSweep<float> norm_backward_sweep(bool);
template NormSweep<double> norm_backward_sweep(bool);

}  // namespace PYGAN_ISA
}  // namespace pygan
