#include "paddle/device.h"

#include <dlfcn.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <string>

#ifdef PYGAN_WITH_CUDA
extern "C" const pygan::CudaBackend* pygan_cuda_backend();
#endif

namespace pygan {
namespace binding {
namespace {

constexpr size_t kAlignment = 256;  // of cudaMalloc

struct Emulator {
  const CudaBackend* backend = nullptr;
  void (*know)(const void*, size_t, const char*) = nullptr;
  void (*know_fresh)(const void*, size_t, const char*) = nullptr;
  void (*forget)(const void*) = nullptr;
  void (*set_strict)(int) = nullptr;
};
Emulator g_emulator;
std::atomic<bool> g_emulated{false};

bool environment_allows_tf32() {
  const char* const value = std::getenv("PYGAN_TF32");
  return value != nullptr && value[0] == '1';
}
std::atomic<bool>& tf32() {
  static std::atomic<bool> instance{environment_allows_tf32()};
  return instance;
}

template <typename Function>
bool find(void* library, const char* name, Function* function) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  return *function != nullptr;
}

}  // namespace

const CudaBackend* emulated_backend() { return g_emulated ? g_emulator.backend : nullptr; }

const char* load_emulator(const char* path) {
  static std::string error;
  if (g_emulator.backend == nullptr) {
    void* const library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      error = dlerror();
      return error.c_str();
    }
    const CudaBackend* (*backend)() = nullptr;
    Emulator e;
    if (!find(library, "pygan_cuda_backend", &backend) ||
        !find(library, "ptxemu_register", &e.know) ||
        !find(library, "ptxemu_register_fresh", &e.know_fresh) ||
        !find(library, "ptxemu_unregister", &e.forget) ||
        !find(library, "ptxemu_set_strict", &e.set_strict)) {
      error = std::string(path) + " is not pygan's emulator";
      return error.c_str();
    }
    e.set_strict(1);  // races and reads of unwritten memory are errors
    e.backend = backend();
    g_emulator = e;
  }
  g_emulated = true;
  return nullptr;
}

bool set_emulated(bool on) { return g_emulated.exchange(on && g_emulator.backend != nullptr); }

bool tf32_allowed() { return tf32(); }
bool set_tf32_allowed(bool on) { return tf32().exchange(on); }

Device::Device(const char* op, const Tensor& x) : op_(op), x_(x) {
  if (x.is_cpu()) {
    backend_ = emulated_backend();
    emulated_ = backend_ != nullptr;
    return;
  }
#ifdef PYGAN_WITH_CUDA
  if (x.is_gpu()) {
    backend_ = pygan_cuda_backend();
    return;
  }
#endif
  PD_THROW("pygan.", op, ": `x` is not on the CPU, and this build of pygan has no kernels for ",
           "where it is. Move it with .cpu(), or use impl='ref'.");
}

Device::~Device() {
  for (const void* data : known_) g_emulator.forget(data);
}

void Device::know(const char* name, const void* data, size_t bytes, bool fresh) {
  if (!emulated_ || data == nullptr || bytes == 0) return;
  (fresh ? g_emulator.know_fresh : g_emulator.know)(data, bytes, name);
  known_.push_back(data);
}

void Device::use(const char* name, const Tensor& t) {
  PD_CHECK(t.layout() != phi::DataLayout::ONEDNN, "pygan.", op_, ": `", name,
           "` arrived in a oneDNN-blocked layout, which pygan cannot read. "
           "Call config.disable_mkldnn() on the inference configuration.");
  PD_CHECK(t.place() == x_.place(), "pygan.", op_, ": `", name,
           "` is on another device than `x`. Move both to one, with .cpu() or .cuda().");
  know(name, t.data(), static_cast<size_t>(t.numel()) * phi::SizeOf(t.dtype()), false);
}

void Device::made(const char* name, const Tensor& t) {
  know(name, t.data(), static_cast<size_t>(t.numel()) * phi::SizeOf(t.dtype()), true);
}

void* Device::allocate(void* self, size_t bytes) {
  Device* const device = static_cast<Device*>(self);
  if (bytes == 0) bytes = 1;
  const size_t room = bytes + (device->emulated_ ? kAlignment : 0);
  Tensor memory = paddle::empty({static_cast<int64_t>(room)}, DataType::UINT8, device->x_.place());
  device->workspace_.push_back(memory);
  void* data = memory.data();
  if (device->emulated_) {
    data = reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(data) + kAlignment - 1) /
                                   kAlignment * kAlignment);
    device->know("workspace", data, bytes, true);
  }
  return data;
}

CudaContext Device::context() {
  CudaContext context;
#ifdef PYGAN_WITH_CUDA
  if (!emulated_) context.stream = x_.stream();
#endif
  context.allocate = &Device::allocate;
  context.owner = this;
  return context;
}

}  // namespace binding
}  // namespace pygan
