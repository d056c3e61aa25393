// The aligned strip kernels of upfirdn2d for float.
#include "upfirdn2d/aligned_strip.cuh"

namespace pygan {
namespace device {
PYGAN_DEFINE_LAUNCH_ALIGNED_STRIP(float)
}  // namespace device
}  // namespace pygan
