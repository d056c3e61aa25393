#include "cudart/state.h"

#include <cstdio>
#include <cstdlib>

namespace ptxemu {
namespace {

thread_local int t_error = 0;
thread_local std::string t_message;

}  // namespace

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

int fail(int error, const std::string& message) {
  t_error = error;
  t_message = message;
  return error;
}

int last_error(bool clear) {
  const int error = t_error;
  if (clear) t_error = kSuccess;
  return error;
}
const std::string& last_message() { return t_message; }

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

}  // namespace ptxemu
