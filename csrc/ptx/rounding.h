// Rounding modes other than to-nearest, by way of the host's floating-point environment.
#pragma once
#include <cstdint>

namespace ptxemu {

class Decoder;

enum class Rounding : uint8_t { kNearest, kTowardsZero, kDown, kUp };

// The mode that .rz, .rm or .rp name.
Rounding RoundingOf(const Decoder& d);

// Sets the mode of this thread, and to-nearest again at the end.
class ScopedRounding {
 public:
  explicit ScopedRounding(Rounding rounding);
  ~ScopedRounding();
  ScopedRounding(const ScopedRounding&) = delete;
  ScopedRounding& operator=(const ScopedRounding&) = delete;
};

}  // namespace ptxemu
