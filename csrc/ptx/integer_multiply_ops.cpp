// Integer products: mul, mad (.lo, .hi, .wide), mul24, mad24, sad, dp4a, dp2a.
#include <type_traits>

#include "decoder.h"
#include "elementwise.h"

namespace ptxemu {
namespace {

template <class T>
T HighHalf(T a, T b) {
  constexpr int kBits = 8 * sizeof(T);
  using Wide = typename std::conditional<
      std::is_signed<T>::value, typename std::conditional<sizeof(T) == 8, __int128, int64_t>::type,
      typename std::conditional<sizeof(T) == 8, unsigned __int128, uint64_t>::type>::type;
  return static_cast<T>((static_cast<Wide>(a) * static_cast<Wide>(b)) >> kBits);
}

template <class T>
struct MulLow {
  static T Apply(T a, T b) {
    return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  }
};
template <class T>
struct MulHigh {
  static T Apply(T a, T b) { return HighHalf(a, b); }
};
template <class T>
struct MadLow {
  static T Apply(T a, T b, T c) {
    return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b) +
                          static_cast<uint64_t>(c));
  }
};
template <class T>
struct MadHigh {
  static T Apply(T a, T b, T c) {
    return static_cast<T>(static_cast<uint64_t>(HighHalf(a, b)) + static_cast<uint64_t>(c));
  }
};
// |a - b| + c
template <class T>
struct SumOfDifferences {
  static T Apply(T a, T b, T c) {
    const uint64_t difference = a < b ? static_cast<uint64_t>(b) - static_cast<uint64_t>(a)
                                      : static_cast<uint64_t>(a) - static_cast<uint64_t>(b);
    return static_cast<T>(difference + static_cast<uint64_t>(c));
  }
};

int64_t Low24(uint32_t value) { return value & 0xffffff; }
int64_t Low24(int32_t value) {
  return static_cast<int32_t>(static_cast<uint32_t>(value) << 8) >> 8;
}

// The low or high 32 bits of the 48-bit product.
template <class T>
struct Mul24Low {
  static T Apply(T a, T b) { return static_cast<T>(Low24(a) * Low24(b)); }
};
template <class T>
struct Mul24High {
  static T Apply(T a, T b) { return static_cast<T>((Low24(a) * Low24(b)) >> 16); }
};
template <class T>
struct Mad24Low {
  static T Apply(T a, T b, T c) {
    return static_cast<T>(Low24(a) * Low24(b) + static_cast<int64_t>(c));
  }
};

template <class T, class Wide>
void MultiplyWide(Warp& warp, const Instruction& instruction, uint32_t mask) {
  Wide* d = Arg<Wide>(warp, instruction, 0);
  const T* a = Arg<T>(warp, instruction, 1);
  const T* b = Arg<T>(warp, instruction, 2);
  ForEachLane(mask, [=](int l) { d[l] = static_cast<Wide>(a[l]) * static_cast<Wide>(b[l]); });
}
template <class T, class Wide>
void MultiplyAddWide(Warp& warp, const Instruction& instruction, uint32_t mask) {
  Wide* d = Arg<Wide>(warp, instruction, 0);
  const T* a = Arg<T>(warp, instruction, 1);
  const T* b = Arg<T>(warp, instruction, 2);
  const Wide* c = Arg<Wide>(warp, instruction, 3);
  ForEachLane(mask, [=](int l) {
    const Wide product = static_cast<Wide>(a[l]) * static_cast<Wide>(b[l]);
    d[l] = static_cast<Wide>(static_cast<uint64_t>(product) + static_cast<uint64_t>(c[l]));
  });
}

template <bool kAdd>
Handler WideHandler(Type type) {
  switch (type) {
    case Type::kU16:
      return kAdd ? MultiplyAddWide<uint16_t, uint32_t> : MultiplyWide<uint16_t, uint32_t>;
    case Type::kS16:
      return kAdd ? MultiplyAddWide<int16_t, int32_t> : MultiplyWide<int16_t, int32_t>;
    case Type::kU32:
      return kAdd ? MultiplyAddWide<uint32_t, uint64_t> : MultiplyWide<uint32_t, uint64_t>;
    case Type::kS32:
      return kAdd ? MultiplyAddWide<int32_t, int64_t> : MultiplyWide<int32_t, int64_t>;
    default:
      return nullptr;
  }
}

int64_t Piece(uint32_t value, int index, int bits, bool is_signed) {
  const uint32_t piece = value >> (index * bits) & ((1u << bits) - 1);
  return is_signed && (piece >> (bits - 1)) ? int64_t{piece} - (1 << bits) : int64_t{piece};
}

// dp4a: four bytes by four bytes; dp2a: two halves by the low or high two bytes of b.
// variant: index of b's first byte; elements: products; flags: 1 a is signed, 2 b is signed.
void DotProduct(Warp& warp, const Instruction& instruction, uint32_t mask) {
  uint32_t* d = Arg<uint32_t>(warp, instruction, 0);
  const uint32_t* a = Arg<uint32_t>(warp, instruction, 1);
  const uint32_t* b = Arg<uint32_t>(warp, instruction, 2);
  const uint32_t* c = Arg<uint32_t>(warp, instruction, 3);
  const int bits_of_a = 32 / instruction.elements;
  ForEachLane(mask, [&](int l) {
    int64_t sum = c[l];
    for (int i = 0; i < instruction.elements; ++i) {
      sum += Piece(a[l], i, bits_of_a, instruction.flags & 1) *
             Piece(b[l], instruction.variant + i, 8, instruction.flags & 2);
    }
    d[l] = static_cast<uint32_t>(sum);
  });
}

}  // namespace

void DecodeMultiplyAdd(Decoder& d) {
  const Type type = d.type();
  const std::string& base = d.base();
  d.out.category = Category::kInteger;
  if (base == "sad") {
    d.Simple(3);
    d.out.execute = TernaryInteger<SumOfDifferences>(type);
    return;
  }
  if (base == "mul24" || base == "mad24") {
    const bool is_signed = type == Type::kS32;
    d.Simple(base == "mul24" ? 2 : 3, 4);
    if (base == "mad24") {
      if (d.Has("hi")) return d.Unsupported();
      d.out.execute =
          is_signed ? Ternary<int32_t, Mad24Low<int32_t>> : Ternary<uint32_t, Mad24Low<uint32_t>>;
    } else if (d.Has("hi")) {
      d.out.execute =
          is_signed ? Binary<int32_t, Mul24High<int32_t>> : Binary<uint32_t, Mul24High<uint32_t>>;
    } else {
      d.out.execute =
          is_signed ? Binary<int32_t, Mul24Low<int32_t>> : Binary<uint32_t, Mul24Low<uint32_t>>;
    }
    return;
  }
  const bool adds = base == "mad";
  if (d.Has("sat")) return d.Unsupported("saturation");
  if (d.Has("wide")) {
    const int size = d.size();
    if (size > 4) return;
    d.out.operands[0] = d.Destination(0, 2 * size);
    d.out.operands[1] = d.Source(1, size);
    d.out.operands[2] = d.Source(2, size);
    if (adds) d.out.operands[3] = d.Source(3, 2 * size);
    d.out.execute = adds ? WideHandler<true>(type) : WideHandler<false>(type);
    return;
  }
  d.Simple(adds ? 3 : 2);
  if (d.Has("hi")) {
    d.out.execute = adds ? TernaryInteger<MadHigh>(type) : BinaryInteger<MulHigh>(type);
  } else {
    d.out.execute = adds ? TernaryInteger<MadLow>(type) : BinaryInteger<MulLow>(type);
  }
}

void DecodeDotProduct(Decoder& d) {
  d.out.category = Category::kInteger;
  d.Simple(3, 4);
  const bool four = d.base() == "dp4a";
  d.out.elements = four ? 4 : 2;
  d.out.variant = !four && d.Has("hi") ? 2 : 0;
  d.out.flags = (d.first_type() == Type::kS32 ? 1 : 0) | (d.type() == Type::kS32 ? 2 : 0);
  d.out.execute = DotProduct;
}

}  // namespace ptxemu
