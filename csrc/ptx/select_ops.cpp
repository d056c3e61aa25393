// selp, slct, testp, copysign, and logic on predicates.
#include "decoder.h"
#include "elementwise.h"
#include "float_formats.h"

namespace ptxemu {
namespace {

template <class T>
void SelectByPredicate(Warp& warp, const Instruction& instruction, uint32_t mask) {
  T* d = Arg<T>(warp, instruction, 0);
  const T* a = Arg<T>(warp, instruction, instruction.negate ? 2 : 1);
  const T* b = Arg<T>(warp, instruction, instruction.negate ? 1 : 2);
  const uint32_t* p = Arg<uint32_t>(warp, instruction, 3);
  ForEachLane(mask, [=](int l) { d[l] = p[l] ? a[l] : b[l]; });
}

// slct: a where c >= 0, else b. -0 is >= 0, a NaN is not.
template <class T, class C>
void SelectBySign(Warp& warp, const Instruction& instruction, uint32_t mask) {
  T* d = Arg<T>(warp, instruction, 0);
  const T* a = Arg<T>(warp, instruction, 1);
  const T* b = Arg<T>(warp, instruction, 2);
  const C* c = Arg<C>(warp, instruction, 3);
  ForEachLane(mask, [=](int l) { d[l] = c[l] >= C{0} ? a[l] : b[l]; });
}

enum Property : uint8_t { kFinite, kInfinite, kNumber, kNotANumber, kNormal, kSubnormal };

template <class T>
bool TestProperty(Property property, T value) {
  switch (property) {
    case kFinite:
      return std::isfinite(value);
    case kInfinite:
      return std::isinf(value);
    case kNumber:
      return !std::isnan(value);
    case kNotANumber:
      return std::isnan(value);
    case kNormal:
      return std::isnormal(value);
    default:
      return std::fpclassify(value) == FP_SUBNORMAL;
  }
}

template <class T>
void TestClass(Warp& warp, const Instruction& instruction, uint32_t mask) {
  uint32_t* p = Arg<uint32_t>(warp, instruction, 0);
  const T* a = Arg<T>(warp, instruction, 1);
  ForEachLaneInOrder(mask, [&](int l) {
    p[l] = TestProperty(static_cast<Property>(instruction.variant), a[l]) ? kTrue : 0;
  });
}

// The sign of a with the magnitude of b.
template <class T, T kSign>
struct CopySign {
  static T Apply(T a, T b) { return (a & kSign) | (b & ~kSign); }
};

enum Logic : uint8_t { kAnd, kOr, kXor, kNot, kCopy };

// flags: 1 the first operand is negated, 2 the second.
void PredicateLogic(Warp& warp, const Instruction& instruction, uint32_t mask) {
  uint32_t* d = Arg<uint32_t>(warp, instruction, 0);
  const uint32_t* a = Arg<uint32_t>(warp, instruction, 1);
  const uint32_t* b = Arg<uint32_t>(warp, instruction, 2);
  const uint32_t flip_a = instruction.flags & 1 ? kTrue : 0;
  const uint32_t flip_b = instruction.flags & 2 ? kTrue : 0;
  const auto apply = [=](auto operation) {
    ForEachLane(mask, [=](int l) { d[l] = operation(a[l] ^ flip_a, b[l] ^ flip_b); });
  };
  switch (instruction.variant) {
    case kAnd:
      return apply([](uint32_t x, uint32_t y) { return x & y; });
    case kOr:
      return apply([](uint32_t x, uint32_t y) { return x | y; });
    case kXor:
      return apply([](uint32_t x, uint32_t y) { return x ^ y; });
    case kNot:
      return apply([](uint32_t x, uint32_t) { return ~x; });
    default:
      return apply([](uint32_t x, uint32_t) { return x; });
  }
}

template <class C>
Handler SelectBySignHandler(int size) {
  return size == 2   ? SelectBySign<uint16_t, C>
         : size == 4 ? SelectBySign<uint32_t, C>
                     : SelectBySign<uint64_t, C>;
}

}  // namespace

void DecodeSelect(Decoder& d) {
  const std::string& base = d.base();
  Instruction& out = d.out;
  out.category = Category::kPredicate;
  if (base == "selp") {
    d.Simple(2);
    out.operands[3] = d.Predicate(d.operand(3));
    out.negate = d.operand(3).negated;
    out.execute = d.size() == 2   ? SelectByPredicate<uint16_t>
                  : d.size() == 4 ? SelectByPredicate<uint32_t>
                                  : SelectByPredicate<uint64_t>;
  } else if (base == "slct") {
    const int size = RegisterSize(d.first_type());
    d.Simple(2, size);
    out.operands[3] = d.Source(3, 4);
    out.execute = d.type() == Type::kF32   ? SelectBySignHandler<float>(size)
                  : d.type() == Type::kS32 ? SelectBySignHandler<int32_t>(size)
                                           : nullptr;
  } else if (base == "testp") {
    static const std::unordered_map<std::string, int> kProperties = {
        {"finite", kFinite},         {"infinite", kInfinite}, {"number", kNumber},
        {"notanumber", kNotANumber}, {"normal", kNormal},     {"subnormal", kSubnormal}};
    out.operands[0] = d.Predicate(d.operand(0));
    out.operands[1] = d.Source(1, d.size());
    out.variant = static_cast<uint8_t>(d.Lookup(kProperties, kFinite));
    out.execute = d.type() == Type::kF32   ? TestClass<float>
                  : d.type() == Type::kF64 ? TestClass<double>
                                           : nullptr;
  } else if (base == "copysign") {
    d.Simple(2);
    out.execute = d.type() == Type::kF32   ? Binary<uint32_t, CopySign<uint32_t, 1u << 31>>
                  : d.type() == Type::kF64 ? Binary<uint64_t, CopySign<uint64_t, 1ull << 63>>
                                           : nullptr;
  }
}

void DecodePredicateLogic(Decoder& d) {
  const std::string& base = d.base();
  Instruction& out = d.out;
  const bool binary = base == "and" || base == "or" || base == "xor";
  if (!binary && base != "not" && base != "mov") return d.Unsupported();
  out.category = base == "mov" ? Category::kMove : Category::kPredicate;
  out.operands[0] = d.Predicate(d.operand(0));
  out.operands[1] = d.Predicate(d.operand(1));
  out.operands[2] = binary ? d.Predicate(d.operand(2)) : out.operands[1];
  out.flags = (d.operand(1).negated ? 1 : 0) | (binary && d.operand(2).negated ? 2 : 0);
  out.variant = base == "and"   ? kAnd
                : base == "or"  ? kOr
                : base == "xor" ? kXor
                : base == "not" ? kNot
                                : kCopy;
  out.execute = PredicateLogic;
}

}  // namespace ptxemu
