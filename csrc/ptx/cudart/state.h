// The state behind the stand-in runtime's functions (cudart.h), and what all of them do.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "cudart/fat_binary.h"

namespace ptxemu {

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
struct Dim3 {
  unsigned x, y, z;
};
constexpr size_t kDefaultShared =
    48 * 1024;  // static and dynamic together, without asking for more
struct Function {
  FatBinary* binary;
  std::string name;
  long dynamic_shared = -1;  // what cudaFuncSetAttribute allows; negative: it was not asked
};
// A running total of what was asked of the runtime, and what it has to remember.
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
Runtime& runtime();

// Remembers an error for cudaGetLastError and returns it.
int fail(int error, const std::string& message);
// What the last error of this thread was; cleared if asked for.
int last_error(bool clear);
const std::string& last_message();

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

// Text as a JSON string.
std::string quoted(const std::string& text);

}  // namespace ptxemu
