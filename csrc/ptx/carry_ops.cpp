// Extended precision: add.cc, addc, sub.cc, subc, mad.cc, madc. The carry is a bit per lane.
#include "decoder.h"
#include "elementwise.h"

namespace ptxemu {
namespace {

enum Flags : uint16_t { kReadsCarry = 1, kWritesCarry = 2, kSubtracts = 4, kHigh = 8 };

void SetCarry(Warp& warp, uint32_t mask, uint32_t carry) {
  warp.carry = (warp.carry & ~mask) | carry;
}

// a + b + carry, or a - b - borrow: GPUs keep the borrow in the same flag.
template <class T>
T AddWithCarry(const Instruction& instruction, T a, T b, bool carry_in, bool& carry_out) {
  const unsigned __int128 wide_a = a, wide_b = b;
  const bool carry = (instruction.flags & kReadsCarry) && carry_in;
  const unsigned __int128 sum =
      instruction.flags & kSubtracts ? wide_a - wide_b - carry : wide_a + wide_b + carry;
  carry_out = (sum >> (8 * sizeof(T))) & 1;
  return static_cast<T>(sum);
}

template <class T>
void Add(Warp& warp, const Instruction& instruction, uint32_t mask) {
  T* d = Arg<T>(warp, instruction, 0);
  const T* a = Arg<T>(warp, instruction, 1);
  const T* b = Arg<T>(warp, instruction, 2);
  uint32_t carries = 0;
  ForEachLaneInOrder(mask, [&](int l) {
    bool carry;
    d[l] = AddWithCarry<T>(instruction, a[l], b[l], warp.carry >> l & 1, carry);
    carries |= static_cast<uint32_t>(carry) << l;
  });
  if (instruction.flags & kWritesCarry) SetCarry(warp, mask, carries);
}

// The low or high half of a * b, plus c, plus carry. T tells whether the product is signed.
template <class T>
void MultiplyAdd(Warp& warp, const Instruction& instruction, uint32_t mask) {
  using Unsigned = typename std::make_unsigned<T>::type;
  T* d = Arg<T>(warp, instruction, 0);
  const T* a = Arg<T>(warp, instruction, 1);
  const T* b = Arg<T>(warp, instruction, 2);
  const T* c = Arg<T>(warp, instruction, 3);
  uint32_t carries = 0;
  ForEachLaneInOrder(mask, [&](int l) {
    using Wide =
        typename std::conditional<std::is_signed<T>::value, __int128, unsigned __int128>::type;
    const auto product =
        static_cast<unsigned __int128>(static_cast<Wide>(a[l]) * static_cast<Wide>(b[l]));
    const Unsigned half =
        static_cast<Unsigned>(instruction.flags & kHigh ? product >> (8 * sizeof(T)) : product);
    bool carry;
    d[l] = static_cast<T>(AddWithCarry<Unsigned>(instruction, half, static_cast<Unsigned>(c[l]),
                                                 warp.carry >> l & 1, carry));
    carries |= static_cast<uint32_t>(carry) << l;
  });
  if (instruction.flags & kWritesCarry) SetCarry(warp, mask, carries);
}

}  // namespace

void DecodeCarry(Decoder& d) {
  const std::string& base = d.base();
  const bool multiplies = base == "mad" || base == "madc";
  d.out.category = Category::kInteger;
  if (multiplies && d.Has("wide")) return d.Unsupported();
  d.Simple(multiplies ? 3 : 2);
  uint16_t flags = base.back() == 'c' ? kReadsCarry : 0;
  if (d.Has("cc")) flags |= kWritesCarry;
  if (base == "sub" || base == "subc") flags |= kSubtracts;
  if (d.Has("hi")) flags |= kHigh;
  d.out.flags = flags;
  switch (d.type()) {
    case Type::kU32:
    case Type::kB32:
      d.out.execute = multiplies ? MultiplyAdd<uint32_t> : Add<uint32_t>;
      break;
    case Type::kS32:
      d.out.execute = multiplies ? MultiplyAdd<int32_t> : Add<uint32_t>;
      break;
    case Type::kU64:
    case Type::kB64:
      d.out.execute = multiplies ? MultiplyAdd<uint64_t> : Add<uint64_t>;
      break;
    case Type::kS64:
      d.out.execute = multiplies ? MultiplyAdd<int64_t> : Add<uint64_t>;
      break;
    default:
      break;
  }
}

}  // namespace ptxemu
