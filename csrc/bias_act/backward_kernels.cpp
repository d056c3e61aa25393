// The sweeps of the first-order gradients.
#include "bias_act/sweep.h"

namespace pygan {
namespace PYGAN_ISA {

template <typename C>
Sweep<C> backward_sweep(Activation act, Run run) {
  return sweep_of_order<1, C>(act, run);
}
template Sweep<float> backward_sweep(Activation, Run);
template Sweep<double> backward_sweep(Activation, Run);

}  // namespace PYGAN_ISA
}  // namespace pygan
