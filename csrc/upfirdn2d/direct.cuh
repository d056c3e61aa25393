// upfirdn2d output by output, straight from global memory: any factors, any filter, any padding.
#pragma once

#include "common/device_epilogue.cuh"
#include "upfirdn2d/taps.cuh"
#include "upfirdn2d/upfirdn2d.h"

namespace pygan {
namespace device {

void launch_direct(const Upfirdn2dCudaCall& call, const Taps& taps, cudaStream_t stream);

}  // namespace device
}  // namespace pygan
