// Bit manipulation: bfe, bfi, bfind, popc, clz, brev, bmsk, szext, shf, lop3, prmt.
#include <type_traits>

#include "decoder.h"
#include "elementwise.h"

namespace ptxemu {
namespace {

// Extracts `length` bits from `position` on; the sign bit of the field extends it.
template <class T>
void ExtractField(Warp& warp, const Instruction& instruction, uint32_t mask) {
  using Unsigned = typename std::make_unsigned<T>::type;
  constexpr uint32_t kBits = 8 * sizeof(T);
  T* d = Arg<T>(warp, instruction, 0);
  const T* a = Arg<T>(warp, instruction, 1);
  const uint32_t* positions = Arg<uint32_t>(warp, instruction, 2);
  const uint32_t* lengths = Arg<uint32_t>(warp, instruction, 3);
  ForEachLane(mask, [=](int l) {
    const uint32_t position = positions[l] & 255, length = lengths[l] & 255;
    const Unsigned value = static_cast<Unsigned>(a[l]);
    const Unsigned shifted = position < kBits ? static_cast<Unsigned>(value >> position) : 0;
    Unsigned field = 0;
    if (length != 0) {
      field = length < kBits ? shifted & ((Unsigned{1} << length) - 1) : shifted;
      if (std::is_signed<T>::value) {
        const uint32_t last = position + length - 1 < kBits - 1 ? position + length - 1 : kBits - 1;
        const bool negative = value >> last & 1;
        if (negative && position >= kBits) {
          field = ~Unsigned{0};
        } else if (negative) {
          const uint32_t kept = last - position + 1;
          if (kept < kBits) field |= static_cast<Unsigned>(~0ull << kept);
        }
      }
    }
    d[l] = static_cast<T>(field);
  });
}

// Inserts the low `length` bits of a into b at `position`.
template <class T>
void InsertField(Warp& warp, const Instruction& instruction, uint32_t mask) {
  constexpr uint32_t kBits = 8 * sizeof(T);
  T* d = Arg<T>(warp, instruction, 0);
  const T* a = Arg<T>(warp, instruction, 1);
  const T* b = Arg<T>(warp, instruction, 2);
  const uint32_t* positions = Arg<uint32_t>(warp, instruction, 3);
  const uint32_t* lengths = Arg<uint32_t>(warp, instruction, 4);
  ForEachLane(mask, [=](int l) {
    const uint32_t position = positions[l] & 255, length = lengths[l] & 255;
    const T field = length >= kBits ? ~T{0} : (T{1} << length) - 1;
    d[l] = position >= kBits
               ? b[l]
               : static_cast<T>((b[l] & ~(field << position)) | ((a[l] & field) << position));
  });
}

// Position of the most significant bit that differs from the sign.
template <class T>
void FindLeadingBit(Warp& warp, const Instruction& instruction, uint32_t mask) {
  uint32_t* d = Arg<uint32_t>(warp, instruction, 0);
  const T* a = Arg<T>(warp, instruction, 1);
  const bool as_shift = instruction.variant;
  ForEachLane(mask, [=](int l) {
    const T folded = a[l] < 0 ? static_cast<T>(~a[l]) : a[l];
    const uint64_t value = static_cast<typename std::make_unsigned<T>::type>(folded);
    const uint32_t position = value ? 63 - __builtin_clzll(value) : ~0u;
    d[l] = as_shift && value ? 8 * sizeof(T) - 1 - position : position;
  });
}

template <class T>
void CountBits(Warp& warp, const Instruction& instruction, uint32_t mask) {
  uint32_t* d = Arg<uint32_t>(warp, instruction, 0);
  const T* a = Arg<T>(warp, instruction, 1);
  ForEachLane(mask, [=](int l) { d[l] = __builtin_popcountll(a[l]); });
}
template <class T>
void CountLeadingZeros(Warp& warp, const Instruction& instruction, uint32_t mask) {
  constexpr int kBits = 8 * sizeof(T);
  uint32_t* d = Arg<uint32_t>(warp, instruction, 0);
  const T* a = Arg<T>(warp, instruction, 1);
  ForEachLane(mask, [=](int l) { d[l] = a[l] ? __builtin_clzll(a[l]) - (64 - kBits) : kBits; });
}

template <class T>
struct Reverse {
  static T Apply(T a) {
    uint64_t v = a;
    v = (v >> 1 & 0x5555555555555555ull) | (v & 0x5555555555555555ull) << 1;
    v = (v >> 2 & 0x3333333333333333ull) | (v & 0x3333333333333333ull) << 2;
    v = (v >> 4 & 0x0f0f0f0f0f0f0f0full) | (v & 0x0f0f0f0f0f0f0f0full) << 4;
    return static_cast<T>(__builtin_bswap64(v) >> (64 - 8 * sizeof(T)));
  }
};

// A mask of b bits from bit a on. kWrap: both count modulo 32.
template <bool kWrap>
struct BitMask {
  static uint32_t Apply(uint32_t a, uint32_t b) {
    const uint32_t position = kWrap ? a & 31 : a, length = kWrap ? b & 31 : b;
    if (position >= 32) return 0;
    const uint32_t ones = length >= 32 ? ~0u : (1u << length) - 1;
    return ones << position;
  }
};

// The low b bits of a, extended to 32.
template <class T, bool kWrap>
struct ExtendBits {
  static T Apply(T a, T b) {
    const uint32_t length = kWrap ? static_cast<uint32_t>(b) & 31 : static_cast<uint32_t>(b);
    if (length == 0) return 0;
    if (length >= 32) return a;
    const int unused = 32 - static_cast<int>(length);
    return static_cast<T>(static_cast<T>(static_cast<uint32_t>(a) << unused) >> unused);
  }
};

// variant: 1 to the right; flags: 1 amounts wrap.
void FunnelShift(Warp& warp, const Instruction& instruction, uint32_t mask) {
  uint32_t* d = Arg<uint32_t>(warp, instruction, 0);
  const uint32_t* low = Arg<uint32_t>(warp, instruction, 1);
  const uint32_t* high = Arg<uint32_t>(warp, instruction, 2);
  const uint32_t* amounts = Arg<uint32_t>(warp, instruction, 3);
  const bool right = instruction.variant, wrap = instruction.flags & 1;
  ForEachLane(mask, [=](int l) {
    const uint32_t amount = wrap ? amounts[l] & 31 : amounts[l] > 32 ? 32 : amounts[l];
    const uint64_t pair = low[l] | static_cast<uint64_t>(high[l]) << 32;
    d[l] = static_cast<uint32_t>(right ? pair >> amount : (pair << amount) >> 32);
  });
}

// Bit i of the table is the result for (a, b, c) = the bits of i.
void Logic3(Warp& warp, const Instruction& instruction, uint32_t mask) {
  uint32_t* d = Arg<uint32_t>(warp, instruction, 0);
  const uint32_t* a = Arg<uint32_t>(warp, instruction, 1);
  const uint32_t* b = Arg<uint32_t>(warp, instruction, 2);
  const uint32_t* c = Arg<uint32_t>(warp, instruction, 3);
  uint32_t select[8];
  for (int i = 0; i < 8; ++i) select[i] = instruction.immediate >> i & 1 ? ~0u : 0;
  ForEachLane(mask, [=](int l) {
    const uint32_t na = ~a[l], nb = ~b[l], nc = ~c[l];
    d[l] = (select[0] & na & nb & nc) | (select[1] & na & nb & c[l]) |
           (select[2] & na & b[l] & nc) | (select[3] & na & b[l] & c[l]) |
           (select[4] & a[l] & nb & nc) | (select[5] & a[l] & nb & c[l]) |
           (select[6] & a[l] & b[l] & nc) | (select[7] & a[l] & b[l] & c[l]);
  });
}

enum PermuteMode : uint8_t {
  kAny,
  kForward4,
  kBackward4,
  kReplicate8,
  kClampLeft,
  kClampRight,
  kReplicate16
};

// Which of the eight bytes of {b, a} goes to byte i of the result; bit 3: its sign, replicated.
uint32_t Selector(PermuteMode mode, uint32_t control, uint32_t i) {
  const uint32_t c = control & 3;
  switch (mode) {
    case kForward4:
      return (c + i) & 7;
    case kBackward4:
      return (c - i) & 7;
    case kReplicate8:
      return c;
    case kClampLeft:
      return i > c ? i : c;
    case kClampRight:
      return i < c ? i : c;
    case kReplicate16:
      return (control & 1) * 2 + (i & 1);
    default:
      return control >> (4 * i) & 15;
  }
}

void Permute(Warp& warp, const Instruction& instruction, uint32_t mask) {
  uint32_t* d = Arg<uint32_t>(warp, instruction, 0);
  const uint32_t* a = Arg<uint32_t>(warp, instruction, 1);
  const uint32_t* b = Arg<uint32_t>(warp, instruction, 2);
  const uint32_t* c = Arg<uint32_t>(warp, instruction, 3);
  const PermuteMode mode = static_cast<PermuteMode>(instruction.variant);
  ForEachLane(mask, [=](int l) {
    const uint64_t bytes = a[l] | static_cast<uint64_t>(b[l]) << 32;
    uint32_t result = 0;
    for (uint32_t i = 0; i < 4; ++i) {
      const uint32_t selector = Selector(mode, c[l], i);
      uint32_t byte = bytes >> (8 * (selector & 7)) & 255;
      if (selector & 8) byte = byte & 128 ? 255 : 0;
      result |= byte << (8 * i);
    }
    d[l] = result;
  });
}

}  // namespace

void DecodeBits(Decoder& d) {
  const std::string& base = d.base();
  const Type type = d.type();
  const int size = d.size();
  Instruction& out = d.out;
  out.category = Category::kInteger;
  if (base == "bfe" || base == "bfi") {
    const int values = base == "bfe" ? 1 : 2;
    out.operands[0] = d.Destination(0, size);
    for (int i = 1; i <= values; ++i) out.operands[i] = d.Source(i, size);
    for (int i = values + 1; i <= values + 2; ++i) out.operands[i] = d.Source(i, 4);
    if (base == "bfi") {
      out.execute = size == 4   ? InsertField<uint32_t>
                    : size == 8 ? InsertField<uint64_t>
                                : Handler{};
    } else if (size >= 4) {
      out.execute = ForInteger(type, [](auto t) -> Handler { return ExtractField<decltype(t)>; });
    }
  } else if (base == "bfind" || base == "popc" || base == "clz") {
    out.operands[0] = d.Destination(0, 4);
    out.operands[1] = d.Source(1, size);
    out.variant = d.Has("shiftamt");
    if (base == "bfind") {
      out.execute = ForInteger(type, [](auto t) -> Handler { return FindLeadingBit<decltype(t)>; });
    } else if (base == "popc") {
      out.execute = size == 4 ? CountBits<uint32_t> : CountBits<uint64_t>;
    } else {
      out.execute = size == 4 ? CountLeadingZeros<uint32_t> : CountLeadingZeros<uint64_t>;
    }
  } else if (base == "brev") {
    d.Simple(1);
    out.execute =
        size == 4 ? Unary<uint32_t, Reverse<uint32_t>> : Unary<uint64_t, Reverse<uint64_t>>;
  } else if (base == "bmsk") {
    d.Simple(2, 4);
    out.execute =
        d.Has("wrap") ? Binary<uint32_t, BitMask<true>> : Binary<uint32_t, BitMask<false>>;
  } else if (base == "szext") {
    d.Simple(2, 4);
    const bool wrap = d.Has("wrap");
    out.execute = type == Type::kS32 ? (wrap ? Binary<int32_t, ExtendBits<int32_t, true>>
                                             : Binary<int32_t, ExtendBits<int32_t, false>>)
                                     : (wrap ? Binary<uint32_t, ExtendBits<uint32_t, true>>
                                             : Binary<uint32_t, ExtendBits<uint32_t, false>>);
  }
}

void DecodePermute(Decoder& d) {
  const std::string& base = d.base();
  Instruction& out = d.out;
  out.category = Category::kInteger;
  if (base == "lop3") {
    if (d.operand_count() != 5) return d.Unsupported("predicate output");
    d.Simple(3, 4);
    out.immediate = d.Immediate(4);
    out.execute = Logic3;
  } else if (base == "shf") {
    d.Simple(3, 4);
    out.variant = d.Has("r");
    out.flags = d.Has("wrap");
    out.execute = FunnelShift;
  } else {
    static const std::unordered_map<std::string, int> kModes = {
        {"f4e", kForward4},  {"b4e", kBackward4},  {"rc8", kReplicate8},
        {"ecl", kClampLeft}, {"ecr", kClampRight}, {"rc16", kReplicate16}};
    d.Simple(3, 4);
    out.variant = static_cast<uint8_t>(d.Lookup(kModes, kAny));
    out.execute = Permute;
  }
}

}  // namespace ptxemu
