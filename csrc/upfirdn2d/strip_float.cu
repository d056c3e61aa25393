// The strip kernels of upfirdn2d for float.
#include "upfirdn2d/strip.cuh"

namespace pygan {
namespace device {
PYGAN_DEFINE_LAUNCH_STRIP(float)
}  // namespace device
}  // namespace pygan
