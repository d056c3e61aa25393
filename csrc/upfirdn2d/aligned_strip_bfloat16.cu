// The aligned strip kernels of upfirdn2d for bfloat16.
#include "upfirdn2d/aligned_strip.cuh"

namespace pygan {
namespace device {
PYGAN_DEFINE_LAUNCH_ALIGNED_STRIP(__nv_bfloat16)
}  // namespace device
}  // namespace pygan
