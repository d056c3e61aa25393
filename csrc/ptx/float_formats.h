// Conversions between the floating-point formats of PTX, and rounding helpers.
#pragma once
#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstring>

namespace ptxemu {

inline uint32_t FloatBits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline float BitsFloat(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline uint64_t DoubleBits(double value) {
  uint64_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline double BitsDouble(uint64_t bits) {
  double value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// ---- binary16

inline float HalfToFloat(uint16_t half) { return _cvtsh_ss(half); }
inline uint16_t FloatToHalf(float value) { return _cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT); }
inline uint16_t FloatToHalfTowardsZero(float value) { return _cvtss_sh(value, _MM_FROUND_TO_ZERO); }

// ---- bfloat16: the upper half of a float

constexpr uint16_t kHalfNan = 0x7fff;  // the canonical NaN of both 16-bit formats

inline float BFloatToFloat(uint16_t bits) { return BitsFloat(static_cast<uint32_t>(bits) << 16); }
inline uint16_t FloatToBFloat(float value) {
  const uint32_t bits = FloatBits(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return kHalfNan;
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
inline uint16_t FloatToBFloatTowardsZero(float value) {
  const uint32_t bits = FloatBits(value);
  return (bits & 0x7fffffff) > 0x7f800000 ? kHalfNan : static_cast<uint16_t>(bits >> 16);
}

// ---- tf32: a float with 10 bits of fraction

constexpr uint32_t kTf32Mask = 0xffffe000;

inline bool IsFinite(uint32_t bits) { return (bits & 0x7f800000) != 0x7f800000; }
inline uint32_t FloatToTf32Away(float value) {  // ties away from zero
  const uint32_t bits = FloatBits(value);
  return (IsFinite(bits) ? bits + 0x1000 : bits) & kTf32Mask;
}
inline uint32_t FloatToTf32(float value) {  // ties to even
  const uint32_t bits = FloatBits(value);
  return (IsFinite(bits) ? bits + 0xfff + ((bits >> 13) & 1) : bits) & kTf32Mask;
}

// ---- rounding to odd: what is rounded again to fewer bits later is as if it had been rounded once

inline double AddToOdd(double a, double b) {
  const double sum = a + b;
  if (!std::isfinite(sum)) return sum;
  const double shadow = sum - a;
  const double error = (a - (sum - shadow)) + (b - shadow);
  if (error == 0 || (DoubleBits(sum) & 1)) return sum;
  return BitsDouble(DoubleBits(sum) + ((error > 0) == (sum > 0) ? 1 : -1));
}
inline float DoubleToFloatToOdd(double value) {
  const float rounded = static_cast<float>(value);
  if (!std::isfinite(rounded) || static_cast<double>(rounded) == value) return rounded;
  uint32_t bits = FloatBits(rounded);
  if (std::fabs(static_cast<double>(rounded)) > std::fabs(value)) --bits;
  return BitsFloat(bits | 1);
}

inline uint16_t DoubleToHalf(double value) { return FloatToHalf(DoubleToFloatToOdd(value)); }
inline uint16_t DoubleToBFloat(double value) { return FloatToBFloat(DoubleToFloatToOdd(value)); }

// ---- subnormals, saturation, minimum and maximum

inline float FlushSubnormal(float value) {
  const uint32_t bits = FloatBits(value);
  return bits & 0x7f800000 ? value : BitsFloat(bits & 0x80000000);
}
inline float Saturate(float value) { return value > 0.f ? (value < 1.f ? value : 1.f) : 0.f; }

// The operand that is a number, if one is not; -0 is less than +0.
template <class T>
inline T MinimumNumber(T a, T b) {
  return a != a ? b : b != b ? a : (a < b || (a == b && std::signbit(a))) ? a : b;
}
template <class T>
inline T MaximumNumber(T a, T b) {
  return a != a ? b : b != b ? a : (a > b || (a == b && !std::signbit(a))) ? a : b;
}

}  // namespace ptxemu
