#include "modulated_conv2d/onednn_abi.h"

#include <dlfcn.h>

#include <atomic>
#include <cstdio>
#include <mutex>

namespace pygan {
namespace dnnl {
namespace {

Functions g_functions;
std::atomic<bool> g_found{false};
char g_status[96] = "oneDNN is not loaded: import paddle first";

template <typename F>
bool find(void* library, const char* name, F* function) {
  *function = reinterpret_cast<F>(dlsym(library, name));
  if (*function != nullptr) return true;
  std::snprintf(g_status, sizeof(g_status), "the oneDNN in this process lacks %s", name);
  return false;
}

bool find_all(void* library, Functions* f) {
#define PYGAN_FIND(name) find(library, "dnnl_" #name, &f->name)
  if (!PYGAN_FIND(version)) return false;
  const Version* v = f->version();
  if (v->major != 3 || v->minor < 1) {
    std::snprintf(g_status, sizeof(g_status), "oneDNN %d.%d.%d is not a version 3.1 or later",
                  v->major, v->minor, v->patch);
    return false;
  }
  const bool all =
      PYGAN_FIND(engine_create) && PYGAN_FIND(stream_create) && PYGAN_FIND(stream_wait) &&
      PYGAN_FIND(memory_desc_create_with_strides) && PYGAN_FIND(memory_desc_create_with_tag) &&
      PYGAN_FIND(memory_desc_clone) && PYGAN_FIND(memory_desc_equal) &&
      PYGAN_FIND(memory_desc_get_size) && PYGAN_FIND(memory_desc_destroy) &&
      PYGAN_FIND(memory_create) && PYGAN_FIND(memory_destroy) &&
      PYGAN_FIND(primitive_attr_create) && PYGAN_FIND(primitive_attr_set_scratchpad_mode) &&
      PYGAN_FIND(primitive_attr_destroy) && PYGAN_FIND(convolution_forward_primitive_desc_create) &&
      PYGAN_FIND(convolution_backward_data_primitive_desc_create) &&
      PYGAN_FIND(convolution_backward_weights_primitive_desc_create) &&
      PYGAN_FIND(reorder_primitive_desc_create) && PYGAN_FIND(primitive_desc_query_md) &&
      PYGAN_FIND(primitive_desc_destroy) && PYGAN_FIND(primitive_create) &&
      PYGAN_FIND(primitive_destroy) && PYGAN_FIND(primitive_execute);
#undef PYGAN_FIND
  if (all) {
    std::snprintf(g_status, sizeof(g_status), "%d.%d.%d", v->major, v->minor, v->patch);
  }
  return all;
}

}  // namespace

const Functions* functions(const char** status) {
  static std::mutex mutex;
  static bool refused = false;
  if (status != nullptr) *status = g_status;
  if (g_found.load(std::memory_order_acquire)) return &g_functions;
  const std::lock_guard<std::mutex> lock(mutex);
  if (g_found.load(std::memory_order_relaxed)) return &g_functions;
  if (refused) return nullptr;
  // Only the copy that Paddle has loaded: a second one would bring its own caches and threads.
  // While there is none, the next call looks again.
  void* library = dlopen("libdnnl.so.3", RTLD_NOLOAD | RTLD_LAZY);
  if (library == nullptr) return nullptr;
  if (!find_all(library, &g_functions)) {
    refused = true;
    return nullptr;
  }
  g_found.store(true, std::memory_order_release);
  return &g_functions;
}

}  // namespace dnnl
}  // namespace pygan
