// The sweeps of the second-order gradients.
#include "bias_act/sweep.h"

namespace pygan {
namespace PYGAN_ISA {

template <typename C>
Sweep<C> second_order_sweep(Activation act, Run run) {
  return sweep_of_order<2, C>(act, run);
}
template Sweep<float> second_order_sweep(Activation, Run);
template Sweep<double> second_order_sweep(Activation, Run);

}  // namespace PYGAN_ISA
}  // namespace pygan
