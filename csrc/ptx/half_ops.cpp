// f16, bf16 and their pairs: add, sub, mul, fma, min, max, neg, abs. One rounding, to nearest even.
#include "decoder.h"
#include "elementwise.h"
#include "float_formats.h"

namespace ptxemu {
namespace {

struct Half {
  static float ToFloat(uint16_t bits) { return HalfToFloat(bits); }
  static uint16_t FromFloat(float value) { return FloatToHalf(value); }
  static constexpr uint16_t kExponent = 0x7c00, kOne = 0x3c00;
};
struct Brain {
  static float ToFloat(uint16_t bits) { return BFloatToFloat(bits); }
  static uint16_t FromFloat(float value) { return FloatToBFloat(value); }
  static constexpr uint16_t kExponent = 0x7f80, kOne = 0x3f80;
};

template <class Format>
bool IsNan(uint16_t bits) {
  return (bits & 0x7fff) > Format::kExponent;
}

// Sums and products of two halves are rounded twice, to float and to half, which is harmless:
// float has more than twice the bits. A bfloat16's sum may lose bits in float; see Fma.
template <class Format>
struct Add {
  static uint16_t Apply(uint16_t a, uint16_t b) {
    return Format::FromFloat(Format::ToFloat(a) + Format::ToFloat(b));
  }
};
template <class Format>
struct Sub {
  static uint16_t Apply(uint16_t a, uint16_t b) {
    return Format::FromFloat(Format::ToFloat(a) - Format::ToFloat(b));
  }
};
template <class Format>
struct Mul {
  static uint16_t Apply(uint16_t a, uint16_t b) {
    return Format::FromFloat(Format::ToFloat(a) * Format::ToFloat(b));
  }
};
template <class Format>
struct Fma {
  static uint16_t Apply(uint16_t a, uint16_t b, uint16_t c) {
    const double product = static_cast<double>(Format::ToFloat(a)) * Format::ToFloat(b);
    return Format::FromFloat(DoubleToFloatToOdd(AddToOdd(product, Format::ToFloat(c))));
  }
};
template <class Format>
struct Min {
  static uint16_t Apply(uint16_t a, uint16_t b) {
    if (IsNan<Format>(a) && IsNan<Format>(b)) return kHalfNan;
    return Format::FromFloat(MinimumNumber(Format::ToFloat(a), Format::ToFloat(b)));
  }
};
template <class Format>
struct Max {
  static uint16_t Apply(uint16_t a, uint16_t b) {
    if (IsNan<Format>(a) && IsNan<Format>(b)) return kHalfNan;
    return Format::FromFloat(MaximumNumber(Format::ToFloat(a), Format::ToFloat(b)));
  }
};
struct Neg {
  static uint16_t Apply(uint16_t a) { return a ^ 0x8000; }
};
struct Abs {
  static uint16_t Apply(uint16_t a) { return a & 0x7fff; }
};

// ---- modifiers

template <class Format, class F>
struct PropagateNan {
  static uint16_t Apply(uint16_t a, uint16_t b) {
    return IsNan<Format>(a) || IsNan<Format>(b) ? kHalfNan : F::Apply(a, b);
  }
};
template <class F>
struct XorSign {
  static uint16_t Apply(uint16_t a, uint16_t b) {
    return (F::Apply(a & 0x7fff, b & 0x7fff) & 0x7fff) | ((a ^ b) & 0x8000);
  }
};
template <class Format>
uint16_t Flush(uint16_t bits) {
  return bits & Format::kExponent ? bits : bits & 0x8000;
}
template <class Format, class F>
struct Flushed {
  template <class... T>
  static uint16_t Apply(T... operands) {
    return Flush<Format>(F::Apply(Flush<Format>(operands)...));
  }
};
// .sat: clamped to [0, 1], NaN to 0; .relu: negative to 0, NaN stays canonical.
template <class Format, class F>
struct Saturated {
  template <class... T>
  static uint16_t Apply(T... operands) {
    const uint16_t result = F::Apply(operands...);
    if (IsNan<Format>(result) || (result & 0x8000)) return 0;
    return result > Format::kOne ? Format::kOne : result;
  }
};
template <class Format, class F>
struct Rectified {
  template <class... T>
  static uint16_t Apply(T... operands) {
    const uint16_t result = F::Apply(operands...);
    if (IsNan<Format>(result)) return kHalfNan;
    return result & 0x8000 ? 0 : result;
  }
};

// Both halves of a pair.
template <class F>
struct Pair {
  template <class... T>
  static uint32_t Apply(T... operands) {
    return F::Apply(static_cast<uint16_t>(operands)...) |
           static_cast<uint32_t>(F::Apply(static_cast<uint16_t>(operands >> 16)...)) << 16;
  }
};

// f16x2 add, sub and mul, eight halves at a time.
enum VectorOperation { kVectorAdd, kVectorSub, kVectorMul };
template <VectorOperation kOperation>
void PairsOfHalves(Warp& warp, const Instruction& instruction, uint32_t mask) {
  uint32_t* d = Arg<uint32_t>(warp, instruction, 0);
  const uint32_t* a = Arg<uint32_t>(warp, instruction, 1);
  const uint32_t* b = Arg<uint32_t>(warp, instruction, 2);
  alignas(64) uint32_t result[kLanes];
  for (int i = 0; i < kLanes; i += 4) {
    const __m256 x = _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(a + i)));
    const __m256 y = _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(b + i)));
    const __m256 z = kOperation == kVectorAdd   ? _mm256_add_ps(x, y)
                     : kOperation == kVectorSub ? _mm256_sub_ps(x, y)
                                                : _mm256_mul_ps(x, y);
    _mm_store_si128(reinterpret_cast<__m128i*>(result + i),
                    _mm256_cvtps_ph(z, _MM_FROUND_TO_NEAREST_INT));
  }
  ForEachLane(mask, [&](int l) { d[l] = result[l]; });
}

// ---- selection

template <class F>
Handler BinaryOrPair(bool packed) {
  return packed ? Binary<uint32_t, Pair<F>> : Binary<uint16_t, F>;
}
template <class F>
Handler TernaryOrPair(bool packed) {
  return packed ? Ternary<uint32_t, Pair<F>> : Ternary<uint16_t, F>;
}

template <class Format, class F>
Handler SelectArithmetic(const Decoder& d, bool packed) {
  if (d.Has("ftz")) {
    return d.Has("sat") ? BinaryOrPair<Saturated<Format, Flushed<Format, F>>>(packed)
                        : BinaryOrPair<Flushed<Format, F>>(packed);
  }
  return d.Has("sat") ? BinaryOrPair<Saturated<Format, F>>(packed) : BinaryOrPair<F>(packed);
}
template <class Format, class F>
Handler SelectMinMax(const Decoder& d, bool packed) {
  if (d.Has("xorsign")) return d.Has("NaN") ? nullptr : BinaryOrPair<XorSign<F>>(packed);
  if (d.Has("NaN")) return BinaryOrPair<PropagateNan<Format, F>>(packed);
  return d.Has("ftz") ? BinaryOrPair<Flushed<Format, F>>(packed) : BinaryOrPair<F>(packed);
}
template <class Format>
Handler SelectFma(const Decoder& d, bool packed) {
  using F = Fma<Format>;
  if (d.Has("oob")) return nullptr;
  if (d.Has("relu")) return TernaryOrPair<Rectified<Format, F>>(packed);
  if (d.Has("sat")) return TernaryOrPair<Saturated<Format, F>>(packed);
  return d.Has("ftz") ? TernaryOrPair<Flushed<Format, F>>(packed) : TernaryOrPair<F>(packed);
}

template <class Format>
Handler Select(const Decoder& d, bool packed) {
  const std::string& base = d.base();
  if (base == "add") return SelectArithmetic<Format, Add<Format>>(d, packed);
  if (base == "sub") return SelectArithmetic<Format, Sub<Format>>(d, packed);
  if (base == "mul") return SelectArithmetic<Format, Mul<Format>>(d, packed);
  if (base == "min") return SelectMinMax<Format, Min<Format>>(d, packed);
  if (base == "max") return SelectMinMax<Format, Max<Format>>(d, packed);
  if (base == "fma") return SelectFma<Format>(d, packed);
  if (base == "neg") return packed ? Unary<uint32_t, Pair<Neg>> : Unary<uint16_t, Neg>;
  if (base == "abs") return packed ? Unary<uint32_t, Pair<Abs>> : Unary<uint16_t, Abs>;
  return nullptr;
}

}  // namespace

void DecodeHalf(Decoder& d) {
  const std::string& base = d.base();
  const Type type = d.type();
  const bool brain = type == Type::kBF16 || type == Type::kBF16x2, packed = IsPacked(type);
  const bool fused = base == "fma", unary = base == "neg" || base == "abs";
  d.out.category = Category::kF16;
  const size_t operands = fused ? 4 : unary ? 2 : 3;
  if (d.operand_count() != operands) return d.Unsupported();
  d.Simple(static_cast<int>(operands) - 1);
  d.out.flops = (fused ? 2 : unary ? 0 : 1) * (packed ? 2 : 1);
  if (base == "min" || base == "max") d.RequireArch(80);
  if (brain) d.RequireArch(base == "add" || base == "sub" || base == "mul" ? 90 : 80);
  if (type == Type::kF16x2 && !d.Has("ftz") && !d.Has("sat")) {
    if (base == "add") d.out.execute = PairsOfHalves<kVectorAdd>;
    if (base == "sub") d.out.execute = PairsOfHalves<kVectorSub>;
    if (base == "mul") d.out.execute = PairsOfHalves<kVectorMul>;
    if (d.out.execute) return;
  }
  d.out.execute = brain ? Select<Brain>(d, packed) : Select<Half>(d, packed);
}

}  // namespace ptxemu
