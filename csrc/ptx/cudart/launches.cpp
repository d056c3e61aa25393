// Kernels: what nvcc's code registers, and its launches, which run in the emulator.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "cudart/state.h"

namespace {

using namespace ptxemu;  // NOLINT: the state behind these functions

struct Configuration {
  Dim3 grid, block;
  size_t shared;
  void* stream;
};
thread_local std::vector<Configuration> configurations;

// Attributes of cudaDeviceGetAttribute that this file asks for itself.
constexpr int kMajor = 75, kMinor = 76, kSharedMemoryOptin = 97;

int architecture() {
  return 10 * ptxemu_device_attribute(kMajor) + ptxemu_device_attribute(kMinor);
}

std::string triple(const Dim3& d) {
  return "[" + std::to_string(d.x) + ", " + std::to_string(d.y) + ", " + std::to_string(d.z) + "]";
}

int launch(const void* host_function, Dim3 grid, Dim3 block, void** arguments, size_t shared) {
  Runtime& r = runtime();
  const auto function = r.functions.find(host_function);
  if (function == r.functions.end()) {
    return fail(kInvalidDeviceFunction, "the kernel was never registered");
  }
  const std::string& name = function->second.name;
  std::string reason;
  const Kernel* const kernel = function->second.binary->find(name, architecture(), &reason);
  if (kernel == nullptr) return fail(kInvalidDeviceFunction, reason);
  const size_t allowed = function->second.dynamic_shared < 0
                             ? kDefaultShared - std::min(kernel->static_shared, kDefaultShared)
                             : static_cast<size_t>(function->second.dynamic_shared);
  if (shared > allowed) {
    return fail(kInvalidValue, name + " asks for " + std::to_string(shared) +
                                   " bytes of dynamic shared memory beside " +
                                   std::to_string(kernel->static_shared) + " static ones; " +
                                   std::to_string(allowed) +
                                   " are allowed. Raise it with cudaFuncSetAttribute");
  }
  std::vector<unsigned char> block_of_parameters(kernel->block_bytes);
  for (size_t i = 0; i < kernel->parameters.size(); ++i) {
    std::memcpy(block_of_parameters.data() + kernel->parameters[i].offset, arguments[i],
                kernel->parameters[i].size);
  }
  const char* const threads = std::getenv("PTXEMU_THREADS");
  const int result =
      ptxemu_launch(kernel->module, name.c_str(), grid.x, grid.y, grid.z, block.x, block.y, block.z,
                    static_cast<unsigned>(shared), block_of_parameters.data(),
                    block_of_parameters.size(), threads != nullptr ? std::atoi(threads) : 0);
  if (result == 0) {
    if (r.record) {
      r.launches.push_back("{\"kernel\": " + quoted(name) + ", \"grid\": " + triple(grid) +
                           ", \"block\": " + triple(block) +
                           ", \"shared\": " + std::to_string(shared) +
                           ", \"stats\": " + ptxemu_stats(r.per_instruction ? 1 : 0) + "}");
    }
    return kSuccess;
  }
  return fail(result == 2 ? kInvalidConfiguration : kLaunchFailure, ptxemu_error());
}

}  // namespace

extern "C" {

// ---- Registration, called by what nvcc generates.

void** __cudaRegisterFatBinary(void* wrapper) {
  return reinterpret_cast<void**>(new FatBinary(wrapper));
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
char __cudaInitModule(void**) { return 1; }
void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}
void __cudaRegisterFunction(void** binary, const char* host_function, char*, const char* name, int,
                            void*, void*, void*, void*, int*) {
  std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  runtime().functions[host_function] = {reinterpret_cast<FatBinary*>(binary), name};
}

// ---- Launches

unsigned __cudaPushCallConfiguration(Dim3 grid, Dim3 block, size_t shared, void* stream) {
  configurations.push_back({grid, block, shared, stream});
  return 0;
}
int __cudaPopCallConfiguration(Dim3* grid, Dim3* block, size_t* shared, void** stream) {
  if (configurations.empty()) return fail(kInvalidConfiguration, "a launch without <<<>>>");
  const Configuration c = configurations.back();
  configurations.pop_back();
  *grid = c.grid;
  *block = c.block;
  *shared = c.shared;
  *stream = c.stream;
  return kSuccess;
}
int cudaLaunchKernel(const void* function, Dim3 grid, Dim3 block, void** arguments, size_t shared,
                     void* /*stream*/) {
  const Call call("cudaLaunchKernel");
  return launch(function, grid, block, arguments, shared);
}
// CUDA 13's <<<>>> goes through handles of kernels; here they are the host functions themselves.
int __cudaGetKernel(void** kernel, const void* function) {
  *kernel = const_cast<void*>(function);
  return kSuccess;
}
int __cudaLaunchKernel(void* kernel, Dim3 grid, Dim3 block, void** arguments, size_t shared,
                       void* stream) {
  return cudaLaunchKernel(kernel, grid, block, arguments, shared, stream);
}
int cudaFuncSetAttribute(const void* function, int attribute, int value) {
  const Call call("cudaFuncSetAttribute");
  const auto found = runtime().functions.find(function);
  if (found == runtime().functions.end()) {
    return fail(kInvalidDeviceFunction, "the kernel was never registered");
  }
  constexpr int kMaxDynamicSharedMemorySize = 8;
  if (attribute != kMaxDynamicSharedMemorySize) return kSuccess;
  std::string reason;
  const Kernel* const kernel =
      found->second.binary->find(found->second.name, architecture(), &reason);
  if (kernel == nullptr) return fail(kInvalidDeviceFunction, reason);
  const int limit = ptxemu_device_attribute(kSharedMemoryOptin);
  if (value < 0 ||
      static_cast<size_t>(value) + kernel->static_shared > static_cast<size_t>(limit)) {
    return fail(kInvalidValue, found->second.name + ": " + std::to_string(value) +
                                   " bytes of dynamic shared memory beside " +
                                   std::to_string(kernel->static_shared) +
                                   " static ones; the device has " + std::to_string(limit));
  }
  found->second.dynamic_shared = value;
  return kSuccess;
}

}  // extern "C"
