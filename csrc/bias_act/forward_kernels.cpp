// The forward sweeps.
#include "bias_act/sweep.h"

namespace pygan {
namespace PYGAN_ISA {

template <typename C>
Sweep<C> forward_sweep(Activation act, Run run) {
  return sweep_of_order<0, C>(act, run);
}
template Sweep<float> forward_sweep(Activation, Run);
template Sweep<double> forward_sweep(Activation, Run);

}  // namespace PYGAN_ISA
}  // namespace pygan
