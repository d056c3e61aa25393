// Integer add, sub, min, max, div, rem, neg, abs, bitwise logic and shifts, of 16, 32 and 64 bits.
#include <type_traits>

#include "decoder.h"
#include "elementwise.h"

namespace ptxemu {
namespace {

// Arithmetic wraps: it is done on unsigned values wide enough not to be promoted to int.
template <class T>
T Wrap(uint64_t value) {
  return static_cast<T>(value);
}

template <class T>
struct Add {
  static T Apply(T a, T b) { return Wrap<T>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b)); }
};
template <class T>
struct Sub {
  static T Apply(T a, T b) { return Wrap<T>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b)); }
};
template <class T>
struct Min {
  static T Apply(T a, T b) { return a < b ? a : b; }
};
template <class T>
struct Max {
  static T Apply(T a, T b) { return a > b ? a : b; }
};
// Division by zero gives all ones, as GPUs do.
template <class T>
struct Div {
  static T Apply(T a, T b) {
    if (b == 0) return Wrap<T>(~0ull);
    if (std::is_signed<T>::value && b == static_cast<T>(-1)) {
      return Wrap<T>(0 - static_cast<uint64_t>(a));
    }
    return static_cast<T>(a / b);
  }
};
template <class T>
struct Rem {
  static T Apply(T a, T b) {
    if (b == 0) return a;
    if (std::is_signed<T>::value && b == static_cast<T>(-1)) return 0;
    return static_cast<T>(a % b);
  }
};
template <class T>
struct And {
  static T Apply(T a, T b) { return static_cast<T>(a & b); }
};
template <class T>
struct Or {
  static T Apply(T a, T b) { return static_cast<T>(a | b); }
};
template <class T>
struct Xor {
  static T Apply(T a, T b) { return static_cast<T>(a ^ b); }
};
template <class T>
struct Neg {
  static T Apply(T a) { return Wrap<T>(0 - static_cast<uint64_t>(a)); }
};
template <class T>
struct Abs {
  static T Apply(T a) { return a < 0 ? Wrap<T>(0 - static_cast<uint64_t>(a)) : a; }
};
template <class T>
struct Not {
  static T Apply(T a) { return static_cast<T>(~a); }
};
template <class T>
struct LogicalNot {
  static T Apply(T a) { return a == 0; }
};

int32_t Clamp(int64_t value) {
  return value > INT32_MAX   ? INT32_MAX
         : value < INT32_MIN ? INT32_MIN
                             : static_cast<int32_t>(value);
}
struct AddClamped {
  static int32_t Apply(int32_t a, int32_t b) { return Clamp(int64_t{a} + b); }
};
struct SubClamped {
  static int32_t Apply(int32_t a, int32_t b) { return Clamp(int64_t{a} - b); }
};

// Amounts beyond the width shift everything out.
template <class T>
void ShiftLeft(Warp& warp, const Instruction& instruction, uint32_t mask) {
  constexpr uint32_t kBits = 8 * sizeof(T);
  T* d = Arg<T>(warp, instruction, 0);
  const T* a = Arg<T>(warp, instruction, 1);
  const uint32_t* amount = Arg<uint32_t>(warp, instruction, 2);
  ForEachLane(mask, [=](int l) {
    d[l] = amount[l] >= kBits ? T{0} : Wrap<T>(static_cast<uint64_t>(a[l]) << amount[l]);
  });
}
template <class T>
void ShiftRight(Warp& warp, const Instruction& instruction, uint32_t mask) {
  constexpr uint32_t kBits = 8 * sizeof(T);
  T* d = Arg<T>(warp, instruction, 0);
  const T* a = Arg<T>(warp, instruction, 1);
  const uint32_t* amount = Arg<uint32_t>(warp, instruction, 2);
  ForEachLane(mask, [=](int l) {
    const T emptied = a[l] < 0 ? static_cast<T>(-1) : T{0};
    d[l] = amount[l] >= kBits ? emptied : static_cast<T>(a[l] >> amount[l]);
  });
}

}  // namespace

void DecodeInteger(Decoder& d) {
  const std::string& base = d.base();
  const Type type = d.type();
  d.out.category = Category::kInteger;
  d.Simple(2);
  if (d.Has("sat")) {
    if (type == Type::kS32) {
      d.out.execute = base == "add"   ? Binary<int32_t, AddClamped>
                      : base == "sub" ? Binary<int32_t, SubClamped>
                                      : Handler{};
    }
    return;
  }
  if (d.Has("relu")) return d.Unsupported();
  if (base == "add") d.out.execute = BinaryInteger<Add>(type);
  if (base == "sub") d.out.execute = BinaryInteger<Sub>(type);
  if (base == "min") d.out.execute = BinaryInteger<Min>(type);
  if (base == "max") d.out.execute = BinaryInteger<Max>(type);
  if (base == "div") d.out.execute = BinaryInteger<Div>(type);
  if (base == "rem") d.out.execute = BinaryInteger<Rem>(type);
  if (base == "and") d.out.execute = BinaryInteger<And>(type);
  if (base == "or") d.out.execute = BinaryInteger<Or>(type);
  if (base == "xor") d.out.execute = BinaryInteger<Xor>(type);
}

void DecodeIntegerUnary(Decoder& d) {
  const std::string& base = d.base();
  d.out.category = Category::kInteger;
  d.Simple(1);
  if (base == "neg") d.out.execute = UnaryInteger<Neg>(d.type());
  if (base == "abs") d.out.execute = UnaryInteger<Abs>(d.type());
  if (base == "not") d.out.execute = UnaryInteger<Not>(d.type());
  if (base == "cnot") d.out.execute = UnaryInteger<LogicalNot>(d.type());
}

void DecodeShift(Decoder& d) {
  d.out.category = Category::kInteger;
  d.out.operands[0] = d.Destination(0, d.size());
  d.out.operands[1] = d.Source(1, d.size());
  d.out.operands[2] = d.Source(2, 4);
  const bool left = d.base() == "shl";
  d.out.execute = ForInteger(d.type(), [left](auto t) -> Handler {
    return left ? ShiftLeft<decltype(t)> : ShiftRight<decltype(t)>;
  });
}

}  // namespace ptxemu
