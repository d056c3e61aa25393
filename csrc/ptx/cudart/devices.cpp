// Devices, streams, events and errors. Streams are in order and done at once.
#include <chrono>

#include "cudart/state.h"

namespace {

using namespace ptxemu;  // NOLINT: the state behind these functions

const char* name_of(int error) {
  switch (error) {
    case kSuccess:
      return "cudaSuccess";
    case kInvalidValue:
      return "cudaErrorInvalidValue";
    case kMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case kInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case kInvalidDeviceFunction:
      return "cudaErrorInvalidDeviceFunction";
    case kLaunchFailure:
      return "cudaErrorLaunchFailure";
    case kCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    default:
      return "cudaErrorUnknown";
  }
}

struct Event {
  std::chrono::steady_clock::time_point at;
};

}  // namespace

extern "C" {

// ---- Errors

int cudaGetLastError() { return last_error(true); }
int cudaPeekAtLastError() { return last_error(false); }
const char* cudaGetErrorName(int error) { return name_of(error); }
const char* cudaGetErrorString(int error) {
  return error == kSuccess        ? "no error"
         : last_message().empty() ? "unknown"
                                  : last_message().c_str();
}

// ---- Devices, streams, events

int cudaGetDeviceCount(int* count) {
  *count = 1;
  return kSuccess;
}
int cudaGetDevice(int* device) {
  *device = 0;
  return kSuccess;
}
int cudaSetDevice(int device) {
  return device == 0 ? kSuccess : fail(kInvalidValue, "the emulator has one device, number 0");
}
int cudaDeviceGetAttribute(int* value, int attribute, int) {
  const Call call("cudaDeviceGetAttribute");
  *value = ptxemu_device_attribute(attribute);
  return kSuccess;
}
int cudaDriverGetVersion(int* version) {
  *version = 0;  // no driver
  return kSuccess;
}
int cudaRuntimeGetVersion(int* version) {
  *version = PTXEMU_CUDA_VERSION;
  return kSuccess;
}
int cudaDeviceSynchronize() {
  const Call call("cudaDeviceSynchronize", true);
  return call.error();
}
int cudaStreamSynchronize(void*) {
  const Call call("cudaStreamSynchronize", true);
  return call.error();
}
int cudaStreamCreate(void** stream) {
  *stream = nullptr;
  return kSuccess;
}
int cudaStreamDestroy(void*) { return kSuccess; }
int cudaStreamBeginCapture(void*, int) {
  const Call call("cudaStreamBeginCapture");
  runtime().capturing = true;
  return kSuccess;
}
int cudaStreamEndCapture(void*, void** graph) {
  const Call call("cudaStreamEndCapture");
  runtime().capturing = false;
  *graph = nullptr;
  return kSuccess;
}
int cudaEventCreate(void** event) {
  *event = new Event{std::chrono::steady_clock::now()};
  return kSuccess;
}
int cudaEventRecord(void* event, void*) {
  const Call call("cudaEventRecord");
  static_cast<Event*>(event)->at = std::chrono::steady_clock::now();
  return kSuccess;
}
int cudaEventSynchronize(void*) {
  const Call call("cudaEventSynchronize", true);
  return call.error();
}
int cudaEventElapsedTime(float* milliseconds, void* begin, void* end) {
  const std::chrono::duration<float, std::milli> elapsed =
      static_cast<Event*>(end)->at - static_cast<Event*>(begin)->at;
  *milliseconds = elapsed.count();
  return kSuccess;
}
int cudaEventDestroy(void* event) {
  delete static_cast<Event*>(event);
  return kSuccess;
}

}  // extern "C"
