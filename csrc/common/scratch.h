// Workspace for kernels: a growing per-thread arena, so that no operator asks the system for
// memory on every call (a fresh 100 MB block costs more page faults than the kernel computes).
//
//   Scratch scratch;                       // remembers the arena's level
//   float* tile = scratch.get<float>(n);   // 64-byte aligned, uninitialised
//                                          // released when `scratch` leaves its scope
#pragma once

#include <cstddef>

namespace pygan {

class Scratch {
 public:
  Scratch();
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  // Throws std::bad_alloc when the system has no memory left.
  void* bytes(size_t count);
  template <typename T>
  T* get(size_t count) {
    return static_cast<T*>(bytes(count * sizeof(T)));
  }

 private:
  size_t block_;
  size_t used_;
};

// Bytes held by the arenas of all threads, and a call that gives the unused ones of the calling
// thread back to the system.
size_t scratch_bytes_held();
void scratch_release();

}  // namespace pygan
