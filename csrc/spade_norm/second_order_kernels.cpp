// The sweeps of the second-order gradients.
#include "spade_norm/sweep.h"

namespace pygan {
namespace PYGAN_ISA {

template <typename C>
NormSweep<C> norm_second_order_sweep(bool linear) {
  return linear ? second_order_sweep_of<C, true> : second_order_sweep_of<C, false>;
}
template NormSweep<float> norm_second_order_sweep(bool);
template NormSweep<double> norm_second_order_sweep(bool);

}  // namespace PYGAN_ISA
}  // namespace pygan
