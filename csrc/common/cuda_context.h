// What a CUDA launcher is given besides its arguments. No CUDA header: code that is compiled
// without one passes it on.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pygan {

// Launchers queue work on `stream` and return; they never wait for it, so that everything can be
// captured in a CUDA graph. Temporary memory comes from the framework's allocator, which knows the
// stream: it stays valid until the caller drops it after the launcher has returned.
struct CudaContext {
  void* stream = nullptr;  // cudaStream_t
  // Device memory of at least `bytes` bytes, 256-byte aligned; throws std::bad_alloc.
  void* (*allocate)(void* owner, size_t bytes) = nullptr;
  void* owner = nullptr;

  template <typename T>
  T* get(int64_t count) const {
    return static_cast<T*>(allocate(owner, static_cast<size_t>(count) * sizeof(T)));
  }
};

}  // namespace pygan
