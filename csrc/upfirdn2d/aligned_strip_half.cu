// The aligned strip kernels of upfirdn2d for half.
#include "upfirdn2d/aligned_strip.cuh"

namespace pygan {
namespace device {
PYGAN_DEFINE_LAUNCH_ALIGNED_STRIP(__half)
}  // namespace device
}  // namespace pygan
