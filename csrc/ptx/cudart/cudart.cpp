// A stand-in for libcudart: unmodified host code, compiled by nvcc with `-cudart shared`, runs on
// it. Device memory is the host's, streams are in order and done at once, and kernels run in the
// emulator. What CUDA forbids while a stream is captured fails here too.
#include "cudart/cudart.h"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "cudart/fat_binary.h"

namespace {

using ptxemu::FatBinary;
using ptxemu::Kernel;

// The codes of cudaError that occur here, with the names that CUDA gives them.
enum Error {
  kSuccess = 0,
  kInvalidValue = 1,
  kMemoryAllocation = 2,
  kInvalidConfiguration = 9,
  kInvalidDeviceFunction = 98,
  kLaunchFailure = 719,
  kCaptureUnsupported = 900,
};
const char* name_of(int error) {
  switch (error) {
    case kSuccess:
      return "cudaSuccess";
    case kInvalidValue:
      return "cudaErrorInvalidValue";
    case kMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case kInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case kInvalidDeviceFunction:
      return "cudaErrorInvalidDeviceFunction";
    case kLaunchFailure:
      return "cudaErrorLaunchFailure";
    case kCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    default:
      return "cudaErrorUnknown";
  }
}

struct Dim3 {
  unsigned x, y, z;
};
struct Configuration {
  Dim3 grid, block;
  size_t shared;
  void* stream;
};
constexpr size_t kDefaultShared = 48 * 1024;  // what a block gets without asking for more
struct Function {
  FatBinary* binary;
  std::string name;
  size_t dynamic_shared = kDefaultShared;
};
struct Event {
  std::chrono::steady_clock::time_point at;
};

// Attributes of cudaDeviceGetAttribute that this file asks for itself.
constexpr int kMajor = 75, kMinor = 76, kSharedMemoryOptin = 97;

struct Runtime {
  std::recursive_mutex mutex;
  std::map<const void*, Function> functions;
  std::map<void*, size_t> memory;
  std::map<std::string, long> calls;
  std::vector<std::string> launches;
  bool record = false, per_instruction = false;
  bool capturing = false;
  std::string text;  // what the last question was answered with
};
Runtime& runtime() {
  // Outlives the objects that unregister at exit.
  static Runtime* const instance = [] {
    const char* const arch = std::getenv("PTXEMU_ARCH");  // 70, 75, 80, ...
    if (arch != nullptr && ptxemu_set_device(std::atoi(arch)) != 0) {
      std::fprintf(stderr, "ptxemu: PTXEMU_ARCH=%s: %s\n", arch, ptxemu_error());
    }
    return new Runtime;
  }();
  return *instance;
}

thread_local int last_error = 0;
thread_local std::string last_message;
thread_local std::vector<Configuration> configurations;

int fail(int error, const std::string& message) {
  last_error = error;
  last_message = message;
  return error;
}

// Notes a call. The host waits, or memory is handed out, in calls that `waits`: a capture of the
// stream does not allow those.
class Call {
 public:
  explicit Call(const char* name, bool waits = false) : lock_(runtime().mutex) {
    ++runtime().calls[name];
    if (waits && runtime().capturing) {
      error_ = fail(kCaptureUnsupported,
                    std::string(name) + " is not permitted while a stream is captured");
    }
  }
  int error() const { return error_; }

 private:
  std::lock_guard<std::recursive_mutex> lock_;
  int error_ = 0;
};

int architecture() {
  return 10 * ptxemu_device_attribute(kMajor) + ptxemu_device_attribute(kMinor);
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
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
  if (shared > function->second.dynamic_shared) {
    return fail(kInvalidValue, name + " asks for " + std::to_string(shared) +
                                   " bytes of dynamic shared memory; " +
                                   std::to_string(function->second.dynamic_shared) +
                                   " are allowed. Raise it with cudaFuncSetAttribute");
  }
  std::string reason;
  const Kernel* const kernel = function->second.binary->find(name, architecture(), &reason);
  if (kernel == nullptr) return fail(kInvalidDeviceFunction, reason);
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

int allocate(void** pointer, size_t bytes) {
  constexpr size_t kAlignment = 256;
  *pointer = std::aligned_alloc(kAlignment, (bytes / kAlignment + 1) * kAlignment);
  if (*pointer == nullptr) return fail(kMemoryAllocation, "out of memory");
  ptxemu_register_fresh(*pointer, bytes, "cudaMalloc");
  runtime().memory[*pointer] = bytes;
  return kSuccess;
}
void copy(void* to, const void* from, size_t bytes) {
  std::memcpy(to, from, bytes);
  ptxemu_mark_written(to, bytes);
}
void fill(void* to, int value, size_t bytes) {
  std::memset(to, value, bytes);
  ptxemu_mark_written(to, bytes);
}
int release(void* pointer) {
  if (pointer == nullptr) return kSuccess;
  if (runtime().memory.erase(pointer) == 0) {
    return fail(kInvalidValue, "cudaFree of memory that cudaMalloc did not give");
  }
  ptxemu_unregister(pointer);
  std::free(pointer);
  return kSuccess;
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
  runtime().functions[host_function] = {reinterpret_cast<FatBinary*>(binary), name, kDefaultShared};
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
  const int limit = ptxemu_device_attribute(kSharedMemoryOptin);
  if (value < 0 || value > limit) {
    return fail(kInvalidValue, found->second.name + ": " + std::to_string(value) +
                                   " bytes of dynamic shared memory; the device has " +
                                   std::to_string(limit));
  }
  found->second.dynamic_shared = static_cast<size_t>(value);
  return kSuccess;
}

// ---- Memory

int cudaMalloc(void** pointer, size_t bytes) {
  const Call call("cudaMalloc", true);
  return call.error() != 0 ? call.error() : allocate(pointer, bytes);
}
int cudaFree(void* pointer) {
  const Call call("cudaFree", true);
  return call.error() != 0 ? call.error() : release(pointer);
}
int cudaMallocAsync(void** pointer, size_t bytes, void*) {
  const Call call("cudaMallocAsync");
  return allocate(pointer, bytes);
}
int cudaFreeAsync(void* pointer, void*) {
  const Call call("cudaFreeAsync");
  return release(pointer);
}
int cudaMemcpy(void* to, const void* from, size_t bytes, int) {
  const Call call("cudaMemcpy", true);
  if (call.error() == 0) copy(to, from, bytes);
  return call.error();
}
int cudaMemcpyAsync(void* to, const void* from, size_t bytes, int, void*) {
  const Call call("cudaMemcpyAsync");
  copy(to, from, bytes);
  return kSuccess;
}
int cudaMemset(void* to, int value, size_t bytes) {
  const Call call("cudaMemset", true);
  if (call.error() == 0) fill(to, value, bytes);
  return call.error();
}
int cudaMemsetAsync(void* to, int value, size_t bytes, void*) {
  const Call call("cudaMemsetAsync");
  fill(to, value, bytes);
  return kSuccess;
}

// ---- Errors

int cudaGetLastError() {
  const int error = last_error;
  last_error = kSuccess;
  return error;
}
int cudaPeekAtLastError() { return last_error; }
const char* cudaGetErrorName(int error) { return name_of(error); }
const char* cudaGetErrorString(int error) {
  return error == kSuccess ? "no error" : last_message.empty() ? "unknown" : last_message.c_str();
}

// ---- Devices, streams, events

int cudaGetDeviceCount(int* count) {
  *count = 1;
  return kSuccess;
}
int cudaGetDevice(int* device) {
  *device = 0;
  return kSuccess;
}
int cudaSetDevice(int device) {
  return device == 0 ? kSuccess : fail(kInvalidValue, "the emulator has one device, number 0");
}
int cudaDeviceGetAttribute(int* value, int attribute, int) {
  const Call call("cudaDeviceGetAttribute");
  *value = ptxemu_device_attribute(attribute);
  return kSuccess;
}
int cudaDriverGetVersion(int* version) {
  *version = 0;  // no driver
  return kSuccess;
}
int cudaRuntimeGetVersion(int* version) {
  *version = PTXEMU_CUDA_VERSION;
  return kSuccess;
}
int cudaDeviceSynchronize() {
  const Call call("cudaDeviceSynchronize", true);
  return call.error();
}
int cudaStreamSynchronize(void*) {
  const Call call("cudaStreamSynchronize", true);
  return call.error();
}
int cudaStreamCreate(void** stream) {
  *stream = nullptr;
  return kSuccess;
}
int cudaStreamDestroy(void*) { return kSuccess; }
int cudaStreamBeginCapture(void*, int) {
  const Call call("cudaStreamBeginCapture");
  runtime().capturing = true;
  return kSuccess;
}
int cudaStreamEndCapture(void*, void** graph) {
  const Call call("cudaStreamEndCapture");
  runtime().capturing = false;
  *graph = nullptr;
  return kSuccess;
}
int cudaEventCreate(void** event) {
  *event = new Event{std::chrono::steady_clock::now()};
  return kSuccess;
}
int cudaEventRecord(void* event, void*) {
  const Call call("cudaEventRecord");
  static_cast<Event*>(event)->at = std::chrono::steady_clock::now();
  return kSuccess;
}
int cudaEventSynchronize(void*) {
  const Call call("cudaEventSynchronize", true);
  return call.error();
}
int cudaEventElapsedTime(float* milliseconds, void* begin, void* end) {
  const std::chrono::duration<float, std::milli> elapsed =
      static_cast<Event*>(end)->at - static_cast<Event*>(begin)->at;
  *milliseconds = elapsed.count();
  return kSuccess;
}
int cudaEventDestroy(void* event) {
  delete static_cast<Event*>(event);
  return kSuccess;
}

// ---- What tests ask (cudart.h)

const char* ptxemu_runtime_calls() {
  Runtime& r = runtime();
  std::lock_guard<std::recursive_mutex> lock(r.mutex);
  r.text = "{";
  for (const auto& call : r.calls) {
    r.text +=
        (r.text.size() > 1 ? ", " : "") + quoted(call.first) + ": " + std::to_string(call.second);
  }
  r.text += "}";
  return r.text.c_str();
}
void ptxemu_record_launches(int on, int per_instruction) {
  std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  runtime().record = on != 0;
  runtime().per_instruction = per_instruction != 0;
}
const char* ptxemu_recorded_launches() {
  Runtime& r = runtime();
  std::lock_guard<std::recursive_mutex> lock(r.mutex);
  r.text = "[";
  for (const std::string& launch : r.launches) {
    r.text += (r.text.size() > 1 ? ",\n" : "") + launch;
  }
  r.text += "]";
  return r.text.c_str();
}
void ptxemu_runtime_reset() {
  std::lock_guard<std::recursive_mutex> lock(runtime().mutex);
  runtime().calls.clear();
  runtime().launches.clear();
}

}  // extern "C"
