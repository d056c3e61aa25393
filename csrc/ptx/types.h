// PTX's fundamental types and state spaces.
#pragma once
#include <cstdint>
#include <string>

namespace ptxemu {

// The order matters: integers, bit strings, then floating-point types from kF16 to kTF32.
enum class Type : uint8_t {
  kNone,
  kU8,
  kU16,
  kU32,
  kU64,
  kS8,
  kS16,
  kS32,
  kS64,
  kB8,
  kB16,
  kB32,
  kB64,
  kF16,
  kF16x2,
  kBF16,
  kBF16x2,
  kF32,
  kF64,
  kTF32,
  kPred,
};

// kNone when `name` (without a dot) is no type that the emulator knows.
Type ParseType(const std::string& name);

constexpr int SizeOf(Type type) {
  switch (type) {
    case Type::kU8:
    case Type::kS8:
    case Type::kB8:
    case Type::kPred:
      return 1;
    case Type::kU16:
    case Type::kS16:
    case Type::kB16:
    case Type::kF16:
    case Type::kBF16:
      return 2;
    case Type::kU64:
    case Type::kS64:
    case Type::kB64:
    case Type::kF64:
      return 8;
    default:
      return 4;
  }
}

constexpr bool IsSigned(Type type) { return type >= Type::kS8 && type <= Type::kS64; }
constexpr bool IsFloat(Type type) { return type >= Type::kF16 && type <= Type::kTF32; }
constexpr bool IsHalf(Type type) { return type >= Type::kF16 && type <= Type::kBF16x2; }
constexpr bool IsPacked(Type type) { return type == Type::kF16x2 || type == Type::kBF16x2; }

// Registers hold at least 16 bits; predicates are kept as 32-bit lane masks (0 or ~0).
constexpr int RegisterSize(Type type) {
  return type == Type::kPred ? 4 : SizeOf(type) < 2 ? 2 : SizeOf(type);
}

enum class Space : uint8_t { kGeneric, kGlobal, kShared, kLocal, kParam, kConst };

// Generic addresses: host addresses (global, const), or an offset inside one of these windows. Host
// addresses in user space leave the top byte clear.
constexpr uint64_t kSharedWindow = 1ull << 56;
constexpr uint64_t kLocalWindow = 2ull << 56;
constexpr uint64_t kParamWindow = 3ull << 56;
constexpr uint64_t kWindowMask = 0xffull << 56;

}  // namespace ptxemu
