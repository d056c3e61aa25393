// Device memory, which is the host's.
#include <cstdlib>
#include <cstring>

#include "cudart/state.h"

namespace {

using namespace ptxemu;  // NOLINT: the state behind these functions

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

}  // extern "C"
