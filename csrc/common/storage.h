// The element types that operators read and write. Halves are computed in float, doubles in double.
#pragma once

#include <cstdint>

namespace pygan {

enum class Storage : int { float32, float64, float16, bfloat16 };

inline int64_t size_of(Storage storage) {
  return storage == Storage::float64 ? 8 : storage == Storage::float32 ? 4 : 2;
}

}  // namespace pygan
