// The gradients of <dy, y> on the GPU.
#include "bias_act/sweep.cuh"

namespace pygan {
namespace device {
PYGAN_DEFINE_LAUNCH_SWEEP(1)
}  // namespace device
}  // namespace pygan
