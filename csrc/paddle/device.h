// Where a call runs: on the CPU, on the GPU where its tensors lie, or, asked for by tests, in the
// emulator of GPUs, where tensors on the CPU play device memory.
#pragma once

#include <vector>

#include "common/cuda_backend.h"
#include "paddle/common.h"

namespace pygan {
namespace binding {

// The kernels of this process' emulator; null unless emulation is switched on.
const CudaBackend* emulated_backend();
// Loads the library at `path` and switches the emulator on; null, or why that is not possible.
const char* load_emulator(const char* path);
// Switches a loaded emulator on or off; returns whether it was on.
bool set_emulated(bool on);

// Whether the GPU's float32 convolutions may use TF32 (10 bits of mantissa) tensor cores.
bool tf32_allowed();
bool set_tf32_allowed(bool on);

// One call of an operator. Lives as long as the kernel function that made it, and with it the
// temporary memory of its launches.
class Device {
 public:
  // For the operator `op` on tensors that lie where `x` does.
  Device(const char* op, const Tensor& x);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // Null: on the CPU.
  const CudaBackend* backend() const { return backend_; }
  bool is_cuda() const { return backend_ != nullptr; }

  // Checks that a tensor lies where `x` does, in a layout that kernels can read, and makes it known
  // to the emulator. Absent tensors pass.
  void use(const char* name, const Tensor& t);
  void use(const char* name, const OptionalTensor& t) {
    if (has(t)) use(name, *t);
  }
  // The same for a tensor that this call made: an operator's result.
  void made(const char* name, const Tensor& t);

  CudaContext context();

 private:
  static void* allocate(void* self, size_t bytes);
  void know(const char* name, const void* data, size_t bytes, bool fresh);

  const char* op_;
  const Tensor& x_;
  const CudaBackend* backend_ = nullptr;
  bool emulated_ = false;
  std::vector<Tensor> workspace_;
  std::vector<const void*> known_;  // to the emulator
};

}  // namespace binding
}  // namespace pygan
