// The strip kernels of upfirdn2d for half.
#include "upfirdn2d/strip.cuh"

namespace pygan {
namespace device {
PYGAN_DEFINE_LAUNCH_STRIP(__half)
}  // namespace device
}  // namespace pygan
