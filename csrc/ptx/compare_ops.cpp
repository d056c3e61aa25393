// setp and set: comparisons of every type, combined with a predicate.
#include <type_traits>

#include "decoder.h"
#include "elementwise.h"
#include "float_formats.h"

namespace ptxemu {
namespace {

enum Comparison : uint8_t {
  kEq,
  kNe,
  kLt,
  kLe,
  kGt,
  kGe,
  kEqu,
  kNeu,
  kLtu,
  kLeu,
  kGtu,
  kGeu,
  kNum,
  kNan
};
enum Combination : uint8_t { kAlone, kAnd, kOr, kXor };

// The suffix u means: or unordered (a NaN on either side).
template <Comparison kComparison, class T>
bool Compare(T a, T b) {
  switch (kComparison) {
    case kEq:
      return a == b;
    case kNe:
      return a < b || a > b;
    case kLt:
      return a < b;
    case kLe:
      return a <= b;
    case kGt:
      return a > b;
    case kGe:
      return a >= b;
    case kEqu:
      return !(a < b || a > b);
    case kNeu:
      return !(a == b);
    case kLtu:
      return !(a >= b);
    case kLeu:
      return !(a > b);
    case kGtu:
      return !(a <= b);
    case kGeu:
      return !(a < b);
    case kNum:
      return a == a && b == b;
    default:
      return !(a == a && b == b);
  }
}

uint32_t Combine(uint8_t combination, uint32_t value, uint32_t with) {
  return combination == kAnd ? value & with : combination == kOr ? value | with : value ^ with;
}

// Operands: p, a, b, combined predicate, q (the complement, combined as well).
template <class T, Comparison kComparison>
void SetPredicate(Warp& warp, const Instruction& instruction, uint32_t mask) {
  uint32_t* p = Arg<uint32_t>(warp, instruction, 0);
  const T* a = Arg<T>(warp, instruction, 1);
  const T* b = Arg<T>(warp, instruction, 2);
  if (instruction.variant == kAlone && instruction.operands[4] == kNoSlot) {
    ForEachLane(mask, [=](int l) { p[l] = Compare<kComparison>(a[l], b[l]) ? kTrue : 0; });
    return;
  }
  const uint32_t* with =
      instruction.variant == kAlone ? nullptr : Arg<uint32_t>(warp, instruction, 3);
  uint32_t* q = instruction.operands[4] == kNoSlot ? nullptr : Arg<uint32_t>(warp, instruction, 4);
  const uint32_t flip = instruction.negate ? kTrue : 0;
  ForEachLaneInOrder(mask, [&](int l) {
    uint32_t result = Compare<kComparison>(a[l], b[l]) ? kTrue : 0, complement = ~result;
    if (with) {
      const uint32_t other = with[l] ^ flip;
      result = Combine(instruction.variant, result, other);
      complement = Combine(instruction.variant, complement, other);
    }
    p[l] = result;
    if (q) q[l] = complement;
  });
}

template <class T>
Handler SelectSetPredicate(int comparison) {
  switch (comparison) {
    case kEq:
      return SetPredicate<T, kEq>;
    case kNe:
      return SetPredicate<T, kNe>;
    case kLt:
      return SetPredicate<T, kLt>;
    case kLe:
      return SetPredicate<T, kLe>;
    case kGt:
      return SetPredicate<T, kGt>;
    case kGe:
      return SetPredicate<T, kGe>;
  }
  if (!std::is_floating_point<T>::value) return nullptr;
  switch (comparison) {
    case kEqu:
      return SetPredicate<T, kEqu>;
    case kNeu:
      return SetPredicate<T, kNeu>;
    case kLtu:
      return SetPredicate<T, kLtu>;
    case kLeu:
      return SetPredicate<T, kLeu>;
    case kGtu:
      return SetPredicate<T, kGtu>;
    case kGeu:
      return SetPredicate<T, kGeu>;
    case kNum:
      return SetPredicate<T, kNum>;
    default:
      return SetPredicate<T, kNan>;
  }
}

// ---- the general path: the comparison is known at run time only

template <class T>
bool CompareAny(int comparison, T a, T b) {
  const bool ordered = a == a && b == b;
  switch (comparison) {
    case kEq:
      return a == b;
    case kNe:
      return ordered && a != b;
    case kLt:
      return a < b;
    case kLe:
      return a <= b;
    case kGt:
      return a > b;
    case kGe:
      return a >= b;
    case kNum:
      return ordered;
    case kNan:
      return !ordered;
    default:
      return !ordered || CompareAny(comparison - (kEqu - kEq), a, b);
  }
}

// immediate: the comparison; flags: 1 bfloat16.
bool CompareHalves(const Instruction& instruction, uint16_t a, uint16_t b) {
  const int comparison = static_cast<int>(instruction.immediate);
  return instruction.flags & 1 ? CompareAny(comparison, BFloatToFloat(a), BFloatToFloat(b))
                               : CompareAny(comparison, HalfToFloat(a), HalfToFloat(b));
}

uint32_t CombineIfAsked(Warp& warp, const Instruction& instruction, int lane, bool value) {
  uint32_t result = value ? kTrue : 0;
  if (instruction.variant == kAlone) return result;
  const uint32_t other =
      Arg<uint32_t>(warp, instruction, 3)[lane] ^ (instruction.negate ? kTrue : 0);
  return Combine(instruction.variant, result, other);
}

// A scalar sets p and its complement q; a pair sets p from the low and q from the high half.
void SetPredicateHalf(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const bool packed = IsPacked(instruction.type);
  const int size = packed ? 4 : 2;
  ForEachLaneInOrder(mask, [&](int l) {
    const uint64_t a = ReadLane(warp, instruction.operands[1], size, l);
    const uint64_t b = ReadLane(warp, instruction.operands[2], size, l);
    const bool low = CompareHalves(instruction, static_cast<uint16_t>(a), static_cast<uint16_t>(b));
    const bool second = packed ? CompareHalves(instruction, static_cast<uint16_t>(a >> 16),
                                               static_cast<uint16_t>(b >> 16))
                               : !low;
    const uint32_t p = CombineIfAsked(warp, instruction, l, low);
    const uint32_t q = CombineIfAsked(warp, instruction, l, second);
    if (instruction.operands[0] != kNoSlot) Arg<uint32_t>(warp, instruction, 0)[l] = p;
    if (instruction.operands[4] != kNoSlot) Arg<uint32_t>(warp, instruction, 4)[l] = q;
  });
}

// setp.ftz.f32: subnormals compare as zeros.
void SetPredicateFlushed(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const float* a = Arg<float>(warp, instruction, 1);
  const float* b = Arg<float>(warp, instruction, 2);
  ForEachLaneInOrder(mask, [&](int l) {
    const bool value = CompareAny(static_cast<int>(instruction.immediate), FlushSubnormal(a[l]),
                                  FlushSubnormal(b[l]));
    Arg<uint32_t>(warp, instruction, 0)[l] = CombineIfAsked(warp, instruction, l, value);
    if (instruction.operands[4] == kNoSlot) return;
    Arg<uint32_t>(warp, instruction, 4)[l] = CombineIfAsked(warp, instruction, l, !value);
  });
}

// set: the result is all ones or 1.0 of the destination's type. second_immediate: that value, of
// each half for a pair.
template <class T>
void SetValue(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const T* a = Arg<T>(warp, instruction, 1);
  const T* b = Arg<T>(warp, instruction, 2);
  ForEachLaneInOrder(mask, [&](int l) {
    const bool value = CompareAny(static_cast<int>(instruction.immediate), a[l], b[l]);
    const uint32_t result = CombineIfAsked(warp, instruction, l, value);
    WriteLane(warp, instruction.operands[0], instruction.register_size, l,
              result ? static_cast<uint64_t>(instruction.second_immediate) : 0);
  });
}

void SetValueHalf(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const bool packed = IsPacked(instruction.type);
  const int size = packed ? 4 : 2;
  const uint64_t one = static_cast<uint64_t>(instruction.second_immediate);
  ForEachLaneInOrder(mask, [&](int l) {
    const uint64_t a = ReadLane(warp, instruction.operands[1], size, l);
    const uint64_t b = ReadLane(warp, instruction.operands[2], size, l);
    uint64_t result = 0;
    for (int shift = 0; shift < 8 * size; shift += 16) {
      const bool value = CompareHalves(instruction, static_cast<uint16_t>(a >> shift),
                                       static_cast<uint16_t>(b >> shift));
      if (CombineIfAsked(warp, instruction, l, value)) result |= one << shift;
    }
    WriteLane(warp, instruction.operands[0], instruction.register_size, l, result);
  });
}

int ComparisonOf(const Decoder& d) {
  static const std::unordered_map<std::string, int> kComparisons = {
      {"eq", kEq},   {"ne", kNe},   {"lt", kLt},   {"le", kLe},   {"gt", kGt},   {"ge", kGe},
      {"lo", kLt},   {"ls", kLe},   {"hi", kGt},   {"hs", kGe},   {"equ", kEqu}, {"neu", kNeu},
      {"ltu", kLtu}, {"leu", kLeu}, {"gtu", kGtu}, {"geu", kGeu}, {"num", kNum}, {"nan", kNan}};
  return d.Lookup(kComparisons, -1);
}

// The predicate that the comparison is combined with, as operand 3.
void DecodeCombination(Decoder& d) {
  if (d.operand_count() <= 3) return;
  d.out.variant = d.Has("and") ? kAnd : d.Has("or") ? kOr : kXor;
  d.out.operands[3] = d.Predicate(d.operand(3));
  d.out.negate = d.operand(3).negated;
}

Handler SetPredicateHandler(Type type, int comparison) {
  if (type == Type::kF32) return SelectSetPredicate<float>(comparison);
  if (type == Type::kF64) return SelectSetPredicate<double>(comparison);
  return ForInteger(type,
                    [=](auto t) -> Handler { return SelectSetPredicate<decltype(t)>(comparison); });
}

Handler SetValueHandler(Type type) {
  if (type == Type::kF32) return SetValue<float>;
  if (type == Type::kF64) return SetValue<double>;
  return ForInteger(type, [](auto t) -> Handler { return SetValue<decltype(t)>; });
}

}  // namespace

void DecodeCompare(Decoder& d) {
  Instruction& out = d.out;
  const Type type = d.type();
  const int comparison = ComparisonOf(d);
  out.category = Category::kPredicate;
  out.type = type;
  out.immediate = comparison;
  out.flags = type == Type::kBF16 || type == Type::kBF16x2;
  if (comparison < 0 || type == Type::kNone || d.Has("BOOL")) return d.Unsupported();
  if (out.flags) d.RequireArch(90);
  out.operands[1] = d.Source(1, d.size());
  out.operands[2] = d.Source(2, d.size());
  DecodeCombination(d);
  if (d.base() == "setp") {
    out.operands[0] =
        d.PredicateDestination(d.operand(0).kind == Operand::kSink ? "_" : d.operand(0).name);
    if (out.operands[0] == kNoSlot) out.operands[0] = d.Scratch(4);
    if (!d.operand(0).second_name.empty()) {
      out.operands[4] = d.PredicateDestination(d.operand(0).second_name);
    }
    out.execute = IsHalf(type)                         ? SetPredicateHalf
                  : d.Has("ftz") && type == Type::kF32 ? SetPredicateFlushed
                                                       : SetPredicateHandler(type, comparison);
    return;
  }
  // set.cmp.dtype.stype
  const Type to = d.first_type();
  out.register_size = static_cast<uint8_t>(RegisterSize(to));
  out.operands[0] = d.Destination(0, out.register_size);
  switch (to) {
    case Type::kF32:
      out.second_immediate = 0x3f800000;
      break;
    case Type::kF16:
    case Type::kF16x2:
      out.second_immediate = 0x3c00;
      break;
    case Type::kBF16:
    case Type::kBF16x2:
      out.second_immediate = 0x3f80;
      break;
    default:
      out.second_immediate = IsPacked(type) || out.register_size == 2 ? 0xffff : 0xffffffff;
  }
  if (IsFloat(to) && IsPacked(to) != IsPacked(type)) return d.Unsupported();
  out.execute = IsHalf(type) ? SetValueHalf : SetValueHandler(type);
}

}  // namespace ptxemu
