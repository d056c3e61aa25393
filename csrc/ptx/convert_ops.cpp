// cvt: between all integer and floating-point types, with every rounding, saturation and flushing.
#include "decoder.h"
#include "elementwise.h"
#include "float_formats.h"
#include "rounding.h"

namespace ptxemu {
namespace {

// flags of the general conversion.
enum Flags : uint16_t {
  kModeMask = 3,   // Rounding
  kToInteger = 4,  // .rni and so on: round to an integral value
  kAway = 8,       // .rna
  kSaturates = 16,
  kFlushes = 32,
  kRectifies = 64,
  kSaturatesFinite = 128,
};

// ---- vectorised: the usual ones

template <class From, class To>
void Cast(Warp& warp, const Instruction& instruction, uint32_t mask) {
  To* d = Arg<To>(warp, instruction, 0);
  const From* a = Arg<From>(warp, instruction, 1);
  ForEachLane(mask, [=](int l) { d[l] = static_cast<To>(a[l]); });
}
void HalfToSingle(Warp& warp, const Instruction& instruction, uint32_t mask) {
  float* d = Arg<float>(warp, instruction, 0);
  const uint16_t* a = Arg<uint16_t>(warp, instruction, 1);
  ForEachLane(mask, [=](int l) { d[l] = HalfToFloat(a[l]); });
}
void SingleToHalf(Warp& warp, const Instruction& instruction, uint32_t mask) {
  uint16_t* d = Arg<uint16_t>(warp, instruction, 0);
  const float* a = Arg<float>(warp, instruction, 1);
  ForEachLane(mask, [=](int l) { d[l] = FloatToHalf(a[l]); });
}

// ---- general: by way of a value that holds every source exactly

struct Value {
  bool is_float;
  double number;     // floats
  __int128 integer;  // integers
};

Value Decode(Type type, uint64_t bits, bool flush) {
  const auto number = [](double value) { return Value{true, value, 0}; };
  const auto integer = [](__int128 value) { return Value{false, 0, value}; };
  switch (type) {
    case Type::kU8:
    case Type::kB8:
      return integer(static_cast<uint8_t>(bits));
    case Type::kU16:
    case Type::kB16:
      return integer(static_cast<uint16_t>(bits));
    case Type::kU32:
    case Type::kB32:
      return integer(static_cast<uint32_t>(bits));
    case Type::kS8:
      return integer(static_cast<int8_t>(bits));
    case Type::kS16:
      return integer(static_cast<int16_t>(bits));
    case Type::kS32:
      return integer(static_cast<int32_t>(bits));
    case Type::kS64:
      return integer(static_cast<int64_t>(bits));
    case Type::kF16:
      return number(HalfToFloat(static_cast<uint16_t>(bits)));
    case Type::kBF16:
      return number(BFloatToFloat(static_cast<uint16_t>(bits)));
    case Type::kF32:
    case Type::kTF32: {
      const float value = BitsFloat(static_cast<uint32_t>(bits));
      return number(flush ? FlushSubnormal(value) : value);
    }
    case Type::kF64:
      return number(BitsDouble(bits));
    default:
      return integer(bits);
  }
}

double RoundToIntegral(double value, Rounding rounding) {
  switch (rounding) {
    case Rounding::kTowardsZero:
      return std::trunc(value);
    case Rounding::kDown:
      return std::floor(value);
    case Rounding::kUp:
      return std::ceil(value);
    default:
      return std::nearbyint(value);
  }
}

// Rounds to a 16-bit format: nearest or, from there, one step in the direction asked for. The bits
// of adjacent magnitudes are adjacent numbers.
uint16_t ToSixteenBits(double value, bool brain, Rounding rounding) {
  uint16_t bits = brain ? DoubleToBFloat(value) : DoubleToHalf(value);
  if (std::isnan(value)) return kHalfNan;
  if (rounding == Rounding::kNearest || std::isinf(value)) return bits;
  const double rounded = brain ? BFloatToFloat(bits) : HalfToFloat(bits);
  const bool towards_zero =
      rounding == Rounding::kTowardsZero || (rounding == Rounding::kDown) == (value > 0);
  if (towards_zero && std::fabs(rounded) > std::fabs(value)) return bits - 1;
  if (!towards_zero && std::fabs(rounded) < std::fabs(value)) return bits + 1;
  return bits;
}

// Rounds an integer or a double to float under the host's rounding mode.
[[gnu::noinline]] float ToSingle(const Value& value, Rounding rounding) {
  ScopedRounding scope(rounding);
  volatile float result;
  if (value.is_float) {
    volatile double number = value.number;
    result = static_cast<float>(number);
  } else if (value.integer < 0 || value.integer <= INT64_MAX) {
    volatile int64_t integer = static_cast<int64_t>(value.integer);
    result = static_cast<float>(integer);
  } else {
    volatile uint64_t integer = static_cast<uint64_t>(value.integer);
    result = static_cast<float>(integer);
  }
  return result;
}
[[gnu::noinline]] double ToDouble(const Value& value, Rounding rounding) {
  if (value.is_float) return value.number;
  ScopedRounding scope(rounding);
  volatile double result;
  if (value.integer <= INT64_MAX) {
    volatile int64_t integer = static_cast<int64_t>(value.integer);
    result = static_cast<double>(integer);
  } else {
    volatile uint64_t integer = static_cast<uint64_t>(value.integer);
    result = static_cast<double>(integer);
  }
  return result;
}

uint32_t ToTf32(float value, uint16_t flags) {
  uint32_t bits;
  if (std::isnan(value)) return 0x7fffffff;
  if (flags & kAway) {
    bits = FloatToTf32Away(value);
  } else if (static_cast<Rounding>(flags & kModeMask) == Rounding::kTowardsZero) {
    bits = FloatBits(value) & kTf32Mask;
  } else {
    bits = FloatToTf32(value);
  }
  if ((flags & kSaturatesFinite) && !IsFinite(bits)) bits = (bits & 0x80000000) | 0x7f7fe000;
  return bits;
}

uint64_t EncodeFloat(Type type, Value value, uint16_t flags) {
  const Rounding rounding = static_cast<Rounding>(flags & kModeMask);
  if (value.is_float && (flags & kToInteger)) {
    value.number = RoundToIntegral(value.number, rounding);
  }
  if (value.is_float && (flags & kRectifies) && value.number <= 0) value.number = 0;
  if (flags & kSaturates) {
    const double number = ToDouble(value, Rounding::kNearest);
    value = {true, number > 0 ? (number < 1 ? number : 1) : 0, 0};
  }
  switch (type) {
    case Type::kF64:
      return DoubleBits(ToDouble(value, rounding));
    case Type::kF32: {
      const float result = ToSingle(value, rounding);
      return FloatBits(flags & kFlushes ? FlushSubnormal(result) : result);
    }
    case Type::kTF32:
      return ToTf32(ToSingle(value, Rounding::kNearest), flags);
    default: {
      // Integers beyond 2^53 lose bits here only where 16-bit formats have none.
      const bool brain = type == Type::kBF16;
      const double number = value.is_float ? value.number : ToDouble(value, Rounding::kTowardsZero);
      const bool inexact = !value.is_float && static_cast<__int128>(number) != value.integer;
      const double odd = inexact ? BitsDouble(DoubleBits(number) | 1) : number;
      const uint16_t bits = ToSixteenBits(odd, brain, rounding);
      const uint16_t largest = brain ? 0x7f7f : 0x7bff;
      if ((flags & kSaturatesFinite) && (bits & 0x7fff) == largest + 1) {
        return (bits & 0x8000) | largest;
      }
      return bits;
    }
  }
}

// Floats are rounded to an integral value and clamped to the range; NaN becomes 0. Integers are
// truncated, or clamped with .sat.
uint64_t EncodeInteger(Type type, const Value& value, uint16_t flags) {
  const int bits = 8 * SizeOf(type);
  const bool is_signed = IsSigned(type);
  const __int128 high = (static_cast<__int128>(1) << (is_signed ? bits - 1 : bits)) - 1;
  const __int128 low = is_signed ? -high - 1 : 0;
  __int128 result = value.integer;
  if (value.is_float) {
    if (std::isnan(value.number)) return 0;
    const double number = RoundToIntegral(value.number, static_cast<Rounding>(flags & kModeMask));
    constexpr double kBeyond = 1e30;  // every integer type, and safe to convert
    result = static_cast<__int128>(number > kBeyond    ? kBeyond
                                   : number < -kBeyond ? -kBeyond
                                                       : number);
  }
  if (value.is_float || (flags & kSaturates)) {
    result = result > high ? high : result < low ? low : result;
  }
  uint64_t encoded = static_cast<uint64_t>(result);
  if (bits < 64) {  // a wider register is sign- or zero-extended
    const int unused = 64 - bits;
    encoded = is_signed ? static_cast<uint64_t>(static_cast<int64_t>(encoded << unused) >> unused)
                        : encoded << unused >> unused;
  }
  return encoded;
}

// type: of the source; immediate: type of the destination; element_size and register_size: of the
// source's and of the destination's register.
void ConvertAny(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const Type from = instruction.type, to = static_cast<Type>(instruction.immediate);
  ForEachLaneInOrder(mask, [&](int l) {
    const uint64_t bits = ReadLane(warp, instruction.operands[1], instruction.element_size, l);
    const Value value = Decode(from, bits, instruction.flags & kFlushes);
    const uint64_t result = IsFloat(to) ? EncodeFloat(to, value, instruction.flags)
                                        : EncodeInteger(to, value, instruction.flags);
    WriteLane(warp, instruction.operands[0], instruction.register_size, l, result);
  });
}

// cvt.f16x2.f32 d, a, b: a goes to the upper half.
void ConvertPair(Warp& warp, const Instruction& instruction, uint32_t mask) {
  uint32_t* d = Arg<uint32_t>(warp, instruction, 0);
  const float* a = Arg<float>(warp, instruction, 1);
  const float* b = Arg<float>(warp, instruction, 2);
  const Type half = static_cast<Type>(instruction.immediate);
  ForEachLaneInOrder(mask, [&](int l) {
    const uint64_t high = EncodeFloat(half, {true, a[l], 0}, instruction.flags);
    const uint64_t low = EncodeFloat(half, {true, b[l], 0}, instruction.flags);
    d[l] = static_cast<uint32_t>(high << 16 | low);
  });
}
template <bool kBrain>
void ConvertPairToNearest(Warp& warp, const Instruction& instruction, uint32_t mask) {
  uint32_t* d = Arg<uint32_t>(warp, instruction, 0);
  const float* a = Arg<float>(warp, instruction, 1);
  const float* b = Arg<float>(warp, instruction, 2);
  ForEachLane(mask, [=](int l) {
    d[l] = kBrain ? static_cast<uint32_t>(FloatToBFloat(a[l])) << 16 | FloatToBFloat(b[l])
                  : static_cast<uint32_t>(FloatToHalf(a[l])) << 16 | FloatToHalf(b[l]);
  });
}

void BrainToSingle(Warp& warp, const Instruction& instruction, uint32_t mask) {
  uint32_t* d = Arg<uint32_t>(warp, instruction, 0);
  const uint16_t* a = Arg<uint16_t>(warp, instruction, 1);
  ForEachLane(mask, [=](int l) { d[l] = static_cast<uint32_t>(a[l]) << 16; });
}
void SingleToBrain(Warp& warp, const Instruction& instruction, uint32_t mask) {
  uint16_t* d = Arg<uint16_t>(warp, instruction, 0);
  const float* a = Arg<float>(warp, instruction, 1);
  ForEachLane(mask, [=](int l) { d[l] = FloatToBFloat(a[l]); });
}

Handler FastHandler(Type from, Type to, int from_bytes, int to_bytes) {
  if (from == Type::kF16 && to == Type::kF32) return HalfToSingle;
  if (from == Type::kF32 && to == Type::kF16) return SingleToHalf;
  if (from == Type::kBF16 && to == Type::kF32) return BrainToSingle;
  if (from == Type::kF32 && to == Type::kBF16) return SingleToBrain;
  if (from == Type::kS32 && to == Type::kF32) return Cast<int32_t, float>;
  if (from == Type::kU32 && to == Type::kF32) return Cast<uint32_t, float>;
  if (from == Type::kF32 && to == Type::kF64) return Cast<float, double>;
  if (from == Type::kF64 && to == Type::kF32) return Cast<double, float>;
  const bool word_to_pair = from_bytes == 4 && to_bytes == 8;
  if (from == Type::kS32 && to == Type::kS64 && word_to_pair) return Cast<int32_t, int64_t>;
  if (from == Type::kU32 && to == Type::kU64 && word_to_pair) return Cast<uint32_t, uint64_t>;
  const bool pair_to_word = from_bytes == 8 && to_bytes == 4;
  if (!IsFloat(from) && !IsFloat(to) && SizeOf(from) == 8 && SizeOf(to) == 4 && pair_to_word) {
    return Cast<uint64_t, uint32_t>;
  }
  const bool narrow = from_bytes == 4 && to_bytes == 2 && SizeOf(from) == 4 && SizeOf(to) == 2;
  if (!IsFloat(from) && !IsFloat(to) && narrow) return Cast<uint32_t, uint16_t>;
  return nullptr;
}

uint16_t FlagsOf(const Decoder& d) {
  uint16_t flags = static_cast<uint16_t>(RoundingOf(d));
  static const std::unordered_map<std::string, int> kIntegral = {
      {"rni", static_cast<int>(Rounding::kNearest)},
      {"rzi", static_cast<int>(Rounding::kTowardsZero)},
      {"rmi", static_cast<int>(Rounding::kDown)},
      {"rpi", static_cast<int>(Rounding::kUp)}};
  const int integral = d.Lookup(kIntegral, -1);
  if (integral >= 0) flags = static_cast<uint16_t>(integral | kToInteger);
  if (d.Has("rna")) flags |= kAway;
  if (d.Has("sat")) flags |= kSaturates;
  if (d.Has("ftz")) flags |= kFlushes;
  if (d.Has("relu")) flags |= kRectifies;
  if (d.Has("satfinite")) flags |= kSaturatesFinite;
  return flags;
}

}  // namespace

void DecodeConvert(Decoder& d) {
  Instruction& out = d.out;
  out.category = Category::kConvert;
  if (d.types().size() != 2 || d.Has("pack") || d.Has("rs")) return d.Unsupported();
  const Type to = d.types()[0], from = d.types()[1];
  out.flags = FlagsOf(d);
  out.type = from;
  if (to == Type::kTF32) d.RequireArch(80);
  if (IsPacked(to)) {
    if (from != Type::kF32) return d.Unsupported();
    d.RequireArch(80);
    d.Simple(2, 4);
    const bool brain = to == Type::kBF16x2;
    out.immediate = static_cast<int64_t>(brain ? Type::kBF16 : Type::kF16);
    out.execute = out.flags ? ConvertPair
                  : brain   ? ConvertPairToNearest<true>
                            : ConvertPairToNearest<false>;
    return;
  }
  if (IsPacked(from) || from == Type::kPred || to == Type::kPred) return d.Unsupported();
  if (to == Type::kBF16 || from == Type::kBF16) d.RequireArch(from == Type::kF32 ? 80 : 90);
  // Registers may be wider than the types.
  const int from_bytes =
      d.RegisterBytes(d.operand(1)) ? d.RegisterBytes(d.operand(1)) : RegisterSize(from);
  const int to_bytes = d.RegisterBytes(d.operand(0));
  if (from_bytes < SizeOf(from) || to_bytes < SizeOf(to)) return d.Unsupported("narrow register");
  out.operands[0] = d.Destination(0, to_bytes);
  out.operands[1] = d.Source(1, from_bytes);
  out.element_size = static_cast<uint8_t>(from_bytes);
  out.register_size = static_cast<uint8_t>(to_bytes);
  out.immediate = static_cast<int64_t>(to);
  // A float becomes an integer by truncation unless told otherwise.
  if (out.flags == 0) out.execute = FastHandler(from, to, from_bytes, to_bytes);
  if (!out.execute) out.execute = ConvertAny;
}

}  // namespace ptxemu
