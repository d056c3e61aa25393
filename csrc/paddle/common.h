// What every registration file needs: argument checks, dtype dispatch, and the guard that keeps C++
// exceptions from reaching Paddle (one that does ends the process).
#pragma once

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "common/half.h"
#include "common/storage.h"
#include "paddle/common/enforce.h"
#include "paddle/phi/api/all.h"

namespace pygan {
namespace binding {

using paddle::DataType;
using paddle::Tensor;
using OptionalTensor = paddle::optional<Tensor>;

// Attributes of type double exist only in Paddle 3, so a double travels as the int64 with its bits:
// float64 operators then have no rounded constants in them.
inline double double_of(int64_t bits) {
  double value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

// Runs `body`, turning any C++ exception into Paddle's error type (OSError in Python). The one that
// PD_THROW throws will not do in Paddle 3: where a saved program runs, it ends the process. Paddle
// 2.6 has no other for extensions.
template <typename Body>
auto guarded(const char* op, Body&& body) -> decltype(body()) {
  std::string message;
  try {
    return body();
  } catch (const std::bad_alloc&) {
    message = "not enough memory for the operator's workspace.";
  } catch (const std::exception& error) {
    message = error.what();
  }
#if defined(PADDLE_THROW)
  PADDLE_THROW(common::errors::External("pygan.%s: %s", op, message.c_str()));
#else
  PD_THROW("pygan.", op, ": ", message);
#endif
}

inline bool has(const OptionalTensor& x) { return x && x->initialized(); }

template <typename T>
const T* data_or_null(const OptionalTensor& x) {
  return has(x) ? reinterpret_cast<const T*>(x->data()) : nullptr;
}
template <typename T>
const T* data_of(const Tensor& x) {
  return reinterpret_cast<const T*>(x.data());
}
template <typename T>
T* mutable_data_of(Tensor& x) {
  return reinterpret_cast<T*>(x.data());
}

// Paddle drops the gradient of an input with stop_gradient=True, but insists on a tensor for it.
inline Tensor placeholder(const Tensor& like) {
  return paddle::empty({1}, like.dtype(), like.place());
}
inline Tensor zeros_like(const Tensor& like) {
  return paddle::full(like.shape(), 0, like.dtype(), like.place());
}

// Calls body(T{}) with the storage type of `dtype`: float, double, pygan::float16, pygan::bfloat16.
template <typename Body>
void dispatch_floating(const char* op, DataType dtype, Body&& body) {
  switch (dtype) {
    case DataType::FLOAT32:
      body(float{});
      break;
    case DataType::FLOAT64:
      body(double{});
      break;
    case DataType::FLOAT16:
      body(float16{});
      break;
    case DataType::BFLOAT16:
      body(bfloat16{});
      break;
    default:
      PD_THROW("pygan.", op, ": `x` must be float32, float64, float16 or bfloat16.");
  }
}

inline Storage storage_of(const char* op, DataType dtype) {
  switch (dtype) {
    case DataType::FLOAT32:
      return Storage::float32;
    case DataType::FLOAT64:
      return Storage::float64;
    case DataType::FLOAT16:
      return Storage::float16;
    case DataType::BFLOAT16:
      return Storage::bfloat16;
    default:
      PD_THROW("pygan.", op, ": `x` must be float32, float64, float16 or bfloat16.");
  }
}

}  // namespace binding
}  // namespace pygan
