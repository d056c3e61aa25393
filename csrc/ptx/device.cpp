#include "device.h"

#include <atomic>

namespace ptxemu {
namespace {

// Shared memory, threads and blocks per multiprocessor: CUDA C++ Programming Guide, "Technical
// Specifications per Compute Capability". Multiprocessors, clocks, L2 and memory: the architecture
// whitepapers and datasheets of the Tesla V100 SXM2, Tesla T4, A100 SXM4 40 GB, GeForce RTX 3080,
// GeForce RTX 4090 and H100 SXM5.
constexpr size_t kGiB = size_t{1} << 30;
constexpr int kKiB = 1024, kMiB = 1024 * 1024;
constexpr Device kDevices[] = {
    {70, "Tesla V100-SXM2-16GB (emulated)", 80, 96 * kKiB, 96 * kKiB, 2048, 32, 1530000, 877000,
     4096, 6 * kMiB, 2, 16 * kGiB},
    {75, "Tesla T4 (emulated)", 40, 64 * kKiB, 64 * kKiB, 1024, 16, 1590000, 5001000, 256, 4 * kMiB,
     32, 15 * kGiB},
    {80, "NVIDIA A100-SXM4-40GB (emulated)", 108, 163 * kKiB, 164 * kKiB, 2048, 32, 1410000,
     1215000, 5120, 40 * kMiB, 2, 40 * kGiB},
    {86, "NVIDIA GeForce RTX 3080 (emulated)", 68, 99 * kKiB, 100 * kKiB, 1536, 16, 1710000,
     9501000, 320, 5 * kMiB, 32, 10 * kGiB},
    {89, "NVIDIA GeForce RTX 4090 (emulated)", 128, 99 * kKiB, 100 * kKiB, 1536, 24, 2520000,
     10501000, 384, 72 * kMiB, 64, 24 * kGiB},
    {90, "NVIDIA H100 80GB HBM3 (emulated)", 132, 227 * kKiB, 228 * kKiB, 2048, 32, 1980000,
     2619000, 5120, 50 * kMiB, 2, 80 * kGiB},
};
constexpr int kDefaultDevice = 2;

std::atomic<const Device*> current{&kDevices[kDefaultDevice]};

}  // namespace

const Device& CurrentDevice() { return *current; }

bool SelectDevice(int arch) {
  for (const Device& device : kDevices) {
    if (device.arch != arch) continue;
    current = &device;
    return true;
  }
  return false;
}

int DeviceAttribute(const Device& device, int attribute) {
  switch (attribute) {  // enum cudaDeviceAttr
    case 1:             // MaxThreadsPerBlock
    case 2:             // MaxBlockDimX
    case 3:             // MaxBlockDimY
      return kMaxThreadsPerBlock;
    case 4:  // MaxBlockDimZ
      return 64;
    case 5:  // MaxGridDimX
      return 0x7fffffff;
    case 6:  // MaxGridDimY
    case 7:  // MaxGridDimZ
      return 65535;
    case 8:  // MaxSharedMemoryPerBlock
      return kMaxStaticShared;
    case 9:  // TotalConstantMemory
      return 64 * kKiB;
    case 10:  // WarpSize
      return 32;
    case 11:  // MaxPitch
      return 0x7fffffff;
    case 12:  // MaxRegistersPerBlock
    case 82:  // MaxRegistersPerMultiprocessor
      return 65536;
    case 13:  // ClockRate
      return device.clock_khz;
    case 14:  // TextureAlignment
      return 512;
    case 16:  // MultiProcessorCount
      return device.multiprocessors;
    case 15:  // GpuOverlap
    case 19:  // CanMapHostMemory
    case 31:  // ConcurrentKernels
    case 41:  // UnifiedAddressing
    case 78:  // StreamPrioritiesSupported
    case 79:  // GlobalL1CacheSupported
    case 80:  // LocalL1CacheSupported
      return 1;
    case 17:   // KernelExecTimeout
    case 18:   // Integrated
    case 20:   // ComputeMode
    case 32:   // EccEnabled
    case 33:   // PciBusId
    case 34:   // PciDeviceId
    case 35:   // TccDriver
    case 50:   // PciDomainId
    case 83:   // ManagedMemory
    case 84:   // IsMultiGpuBoard
    case 86:   // HostNativeAtomicSupported
    case 88:   // PageableMemoryAccess
    case 89:   // ConcurrentManagedAccess
    case 90:   // ComputePreemptionSupported
    case 95:   // CooperativeLaunch
    case 115:  // MemoryPoolsSupported
      return 0;
    case 36:  // MemoryClockRate
      return device.memory_clock_khz;
    case 37:  // GlobalMemoryBusWidth
      return device.memory_bus_bits;
    case 38:  // L2CacheSize
      return device.l2_bytes;
    case 39:  // MaxThreadsPerMultiProcessor
      return device.threads_per_multiprocessor;
    case 40:  // AsyncEngineCount
      return 2;
    case 75:  // ComputeCapabilityMajor
      return device.arch / 10;
    case 76:  // ComputeCapabilityMinor
      return device.arch % 10;
    case 81:  // MaxSharedMemoryPerMultiprocessor
      return device.shared_per_multiprocessor;
    case 87:  // SingleToDoublePrecisionPerfRatio
      return device.single_to_double_ratio;
    case 97:  // MaxSharedMemoryPerBlockOptin
      return device.shared_per_block_optin;
    case 106:  // MaxBlocksPerMultiprocessor
      return device.blocks_per_multiprocessor;
    case 111:  // ReservedSharedMemoryPerBlock
      return device.arch >= 80 ? kKiB : 0;
    default:
      return -1;
  }
}

}  // namespace ptxemu
