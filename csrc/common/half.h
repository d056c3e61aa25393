// float16 and bfloat16 storage types: kernels read and write them and compute in float.
// Conversions are branch-light so that loops over them vectorise; rounding is to nearest even.
#pragma once

#include <cstdint>
#include <cstring>

namespace pygan {

struct float16 {
  uint16_t bits;
};
struct bfloat16 {
  uint16_t bits;
};

namespace {  // one copy per translation unit: see isa.h

inline float bits_to_float(uint32_t u) {
  float f;
  std::memcpy(&f, &u, sizeof(f));
  return f;
}
inline uint32_t float_to_bits(float f) {
  uint32_t u;
  std::memcpy(&u, &f, sizeof(u));
  return u;
}

inline float to_float(float v) { return v; }
inline double to_float(double v) { return v; }
inline float to_float(bfloat16 v) { return bits_to_float(uint32_t{v.bits} << 16); }
inline float to_float(float16 v) {
  // Shift the half's exponent and mantissa into a float's place, then fix the exponent bias by a
  // multiplication, which also normalises subnormals; infinity and NaN keep a full exponent.
  const uint32_t sign = uint32_t{v.bits & 0x8000u} << 16;
  const uint32_t magnitude = uint32_t{v.bits & 0x7fffu} << 13;
  const float scaled = bits_to_float(magnitude) * 0x1p+112f;
  const uint32_t special = magnitude >= 0x0f800000u ? 0x7f800000u : 0u;
  return bits_to_float(sign | special | float_to_bits(scaled));
}

inline void from_float(float f, float* out) { *out = f; }
inline void from_float(double f, double* out) { *out = f; }
inline void from_float(float f, bfloat16* out) {
  const uint32_t u = float_to_bits(f);
  const uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  const uint32_t nan = (u >> 16) | 0x40u;
  out->bits = static_cast<uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}
inline void from_float(float f, float16* out) {
  const uint32_t u = float_to_bits(f);
  const uint32_t sign = (u >> 16) & 0x8000u;
  const uint32_t magnitude = u & 0x7fffffffu;
  uint32_t half;
  if (magnitude > 0x7f800000u) {  // NaN stays NaN
    half = 0x7e00u;
  } else if (magnitude >= 0x477ff000u) {  // rounds to infinity
    half = 0x7c00u;
  } else if (magnitude < 0x38800000u) {  // subnormal: let the float adder round
    half = float_to_bits(bits_to_float(magnitude) + 0.5f) - 0x3f000000u;
  } else {
    half = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  }
  out->bits = static_cast<uint16_t>(sign | half);
}

}  // namespace

// The type in which a kernel computes on stored values of type T.
template <typename T>
struct Compute {
  typedef float type;
};
template <>
struct Compute<double> {
  typedef double type;
};

}  // namespace pygan
