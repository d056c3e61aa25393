// The strip kernels of upfirdn2d for double.
#include "upfirdn2d/strip.cuh"

namespace pygan {
namespace device {
PYGAN_DEFINE_LAUNCH_STRIP(double)
}  // namespace device
}  // namespace pygan
