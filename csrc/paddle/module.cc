// Facts about the build and process-wide switches, as a plain C interface (pygan/ops/_native.py
// reads it through ctypes).
#include "paddle/module.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "common/isa.h"
#include "common/parallel.h"
#include "common/scratch.h"
#include "modulated_conv2d/linear_conv.h"
#include "modulated_conv2d/onednn.h"
#include "modulated_conv2d/plan.h"
#include "paddle/device.h"
#include "paddle/phi/api/all.h"

#define PYGAN_EXPORT extern "C" __attribute__((visibility("default")))

namespace pygan {
namespace {
std::atomic<bool> g_skip_weight_gradients{false};
}
bool skip_weight_gradients() { return g_skip_weight_gradients; }

namespace {
// The operators of Paddle's registry that are pygan's, sorted, joined with commas.
std::string registered_operators() {
  const std::string prefix = "pg_";
  std::vector<std::string> names;
  for (const auto& entry : paddle::OpMetaInfoMap::Instance().GetMap()) {
    if (entry.first.compare(0, prefix.size(), prefix) == 0) {
      names.push_back(entry.first.substr(prefix.size()));
    }
  }
  std::sort(names.begin(), names.end());
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ",") + name;
  return list;
}
}  // namespace
}  // namespace pygan

PYGAN_EXPORT const char* pygan_paddle_version() { return PYGAN_PADDLE_VERSION; }
PYGAN_EXPORT const char* pygan_operators() {
  static const std::string list = pygan::registered_operators();
  return list.c_str();
}
PYGAN_EXPORT const char* pygan_cpu_isa() { return pygan::isa_name(pygan::cpu_isa()); }
PYGAN_EXPORT int pygan_max_threads() { return pygan::max_threads(); }
PYGAN_EXPORT uint64_t pygan_scratch_bytes() { return pygan::scratch_bytes_held(); }
PYGAN_EXPORT void pygan_scratch_release() { pygan::scratch_release(); }
PYGAN_EXPORT int pygan_set_skip_weight_gradients(int value) {
  return pygan::g_skip_weight_gradients.exchange(value != 0) ? 1 : 0;
}
PYGAN_EXPORT const char* pygan_last_conv_path() { return pygan::linear_last_path(); }
PYGAN_EXPORT const char* pygan_asked_conv_path() { return pygan::asked_conv_path(); }
PYGAN_EXPORT int pygan_set_conv_path(const char* name) {
  return pygan::set_conv_path(name) ? 1 : 0;
}
PYGAN_EXPORT const char* pygan_onednn_status() { return pygan::onednn_status(); }
// Why the emulator cannot be loaded from `path`, or null; it is on afterwards.
PYGAN_EXPORT const char* pygan_load_emulator(const char* path) {
  return pygan::binding::load_emulator(path);
}
PYGAN_EXPORT int pygan_set_emulated(int on) {
  return pygan::binding::set_emulated(on != 0) ? 1 : 0;
}
PYGAN_EXPORT int pygan_set_tf32(int on) {
  return pygan::binding::set_tf32_allowed(on != 0) ? 1 : 0;
}
// 1 when the operators run on tensors of a GPU.
PYGAN_EXPORT int pygan_with_cuda() {
#ifdef PYGAN_WITH_CUDA
  return 1;
#else
  return 0;
#endif
}
