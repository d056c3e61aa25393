// f32 and f64 arithmetic with directed rounding: .rz, .rm (down) and .rp (up). The host's rounding
// mode does the work, so this file must not be compiled as if it were to-nearest.
#pragma GCC optimize("rounding-math")

#include <cfenv>

#include "decoder.h"
#include "float_formats.h"
#include "lanes.h"
#include "rounding.h"

namespace ptxemu {
namespace {

enum Operation : uint8_t { kAdd, kSub, kMul, kDiv, kFma, kSqrt, kReciprocal };
enum Flags : uint16_t { kModeMask = 3, kFlush = 4, kSaturate = 8 };

template <class T>
T Compute(Operation operation, T a, T b, T c) {
  switch (operation) {
    case kAdd:
      return a + b;
    case kSub:
      return a - b;
    case kMul:
      return a * b;
    case kDiv:
      return a / b;
    case kFma:
      return std::fma(a, b, c);
    case kSqrt:
      return std::sqrt(a);
    default:
      return T{1} / a;
  }
}

float FlushIf(bool flush, float value) { return flush ? FlushSubnormal(value) : value; }
double FlushIf(bool, double value) { return value; }
float SaturateIf(bool saturate, float value) { return saturate ? Saturate(value) : value; }
double SaturateIf(bool, double value) { return value; }

template <class T>
void Directed(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const Operation operation = static_cast<Operation>(instruction.variant);
  const bool flush = instruction.flags & kFlush, saturate = instruction.flags & kSaturate;
  T* d = Arg<T>(warp, instruction, 0);
  const T* a = Arg<T>(warp, instruction, 1);
  const T* b = Arg<T>(warp, instruction, 2);
  const T* c = Arg<T>(warp, instruction, 3);
  ScopedRounding scope(static_cast<Rounding>(instruction.flags & kModeMask));
  ForEachLaneInOrder(mask, [&](int l) {
    const T result =
        Compute<T>(operation, FlushIf(flush, a[l]), FlushIf(flush, b[l]), FlushIf(flush, c[l]));
    d[l] = SaturateIf(saturate, FlushIf(flush, result));
  });
}

}  // namespace

Rounding RoundingOf(const Decoder& d) {
  if (d.Has("rz")) return Rounding::kTowardsZero;
  if (d.Has("rm")) return Rounding::kDown;
  if (d.Has("rp")) return Rounding::kUp;
  return Rounding::kNearest;
}

ScopedRounding::ScopedRounding(Rounding rounding) {
  static constexpr int kModes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};
  std::fesetround(kModes[static_cast<int>(rounding)]);
}
ScopedRounding::~ScopedRounding() { std::fesetround(FE_TONEAREST); }

void DecodeDirected(Decoder& d) {
  static const std::unordered_map<std::string, int> kOperations = {
      {"add", kAdd}, {"sub", kSub}, {"mul", kMul},   {"div", kDiv},
      {"fma", kFma}, {"mad", kFma}, {"sqrt", kSqrt}, {"rcp", kReciprocal}};
  const auto operation = kOperations.find(d.base());
  const bool is_single = d.type() == Type::kF32;
  if (operation == kOperations.end() || (!is_single && d.type() != Type::kF64)) {
    return d.Unsupported("directed rounding");
  }
  const bool special = operation->second >= kSqrt || operation->second == kDiv;
  d.out.category = special ? Category::kSpecial : is_single ? Category::kF32 : Category::kF64;
  const int sources = operation->second == kFma ? 3 : operation->second >= kSqrt ? 1 : 2;
  d.Simple(sources);
  for (int i = sources + 1; i <= 3; ++i) d.out.operands[i] = d.out.operands[1];
  d.out.variant = static_cast<uint8_t>(operation->second);
  d.out.flags = static_cast<uint16_t>(static_cast<int>(RoundingOf(d)) |
                                      (d.Has("ftz") ? kFlush : 0) | (d.Has("sat") ? kSaturate : 0));
  d.out.flops = operation->second == kFma ? 2 : 1;
  d.out.execute = is_single ? Directed<float> : Directed<double>;
}

}  // namespace ptxemu
