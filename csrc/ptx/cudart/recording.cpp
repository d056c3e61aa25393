// What tests ask the stand-in runtime (cudart.h).
#include "cudart/cudart.h"
#include "cudart/state.h"

namespace {

using namespace ptxemu;  // NOLINT: the state behind these functions

}  // namespace

extern "C" {

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
