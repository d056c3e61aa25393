// The gradients of the contraction of all first-order gradients on the GPU.
#include "bias_act/sweep.cuh"

namespace pygan {
namespace device {
PYGAN_DEFINE_LAUNCH_SWEEP(2)
}  // namespace device
}  // namespace pygan
