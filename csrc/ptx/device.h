// The emulated GPU: limits of its architecture, and the properties that programs ask for.
#pragma once
#include <cstddef>
#include <string>

namespace ptxemu {

struct Device {
  int arch;  // 10 * major + minor
  const char* name;
  int multiprocessors;
  int shared_per_block_optin, shared_per_multiprocessor;  // bytes
  int threads_per_multiprocessor, blocks_per_multiprocessor;
  int clock_khz, memory_clock_khz, memory_bus_bits;
  int l2_bytes;
  int single_to_double_ratio;
  size_t memory_bytes;
};

constexpr int kMaxStaticShared = 48 * 1024;
constexpr int kMaxThreadsPerBlock = 1024;

const Device& CurrentDevice();
bool SelectDevice(int arch);  // false when unknown

// By the number of a cudaDeviceAttr; -1 when it is not known.
int DeviceAttribute(const Device& device, int attribute);

}  // namespace ptxemu
