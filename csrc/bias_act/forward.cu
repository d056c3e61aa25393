// y = clamp(gain * act(u)) on the GPU.
#include "bias_act/sweep.cuh"

namespace pygan {
namespace device {
PYGAN_DEFINE_LAUNCH_SWEEP(0)
}  // namespace device
}  // namespace pygan
