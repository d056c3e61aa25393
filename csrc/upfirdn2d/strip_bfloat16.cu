// The strip kernels of upfirdn2d for bfloat16.
#include "upfirdn2d/strip.cuh"

namespace pygan {
namespace device {
PYGAN_DEFINE_LAUNCH_STRIP(__nv_bfloat16)
}  // namespace device
}  // namespace pygan
