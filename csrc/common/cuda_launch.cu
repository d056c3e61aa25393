#include <mutex>
#include <vector>

#include "common/cuda_launch.cuh"

namespace pygan {
namespace {

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  cuda_check(cudaDeviceGetAttribute(&value, which, device), "cudaDeviceGetAttribute");
  return value;
}

}  // namespace

const DeviceLimits& device_limits() {
  constexpr int kMaxDevices = 64;
  static DeviceLimits limits[kMaxDevices];
  static std::once_flag asked[kMaxDevices];
  int device = 0;
  cuda_check(cudaGetDevice(&device), "cudaGetDevice");
  if (device < 0 || device >= kMaxDevices) {
    throw std::runtime_error("CUDA: device " + std::to_string(device) + "; pygan knows up to 64.");
  }
  std::call_once(asked[device], [device] {
    DeviceLimits& l = limits[device];
    l.arch = 10 * attribute(cudaDevAttrComputeCapabilityMajor, device) +
             attribute(cudaDevAttrComputeCapabilityMinor, device);
    l.processors = attribute(cudaDevAttrMultiProcessorCount, device);
    l.shared_optin = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  });
  return limits[device];
}

}  // namespace pygan
