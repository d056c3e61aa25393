// atom and red on global and shared memory. Lanes take effect in ascending order; operations of
// different host threads on the same global address exclude each other.
#include "atomics.h"

#include <algorithm>
#include <mutex>

#include "decoder.h"
#include "float_formats.h"
#include "launch.h"
#include "memory.h"
#include "text.h"

namespace ptxemu {
namespace {

std::mutex locks[64];

template <class T>
T As(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
template <class T>
uint64_t Bits(T value) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}

// Halves: `combine` acts on floats, which hold their sums before rounding exactly enough.
template <class Combine>
uint64_t CombineHalves(Type type, uint64_t a, uint64_t b, Combine combine) {
  const bool brain = type == Type::kBF16 || type == Type::kBF16x2;
  const auto one = [&](uint16_t x, uint16_t y) -> uint16_t {
    return brain ? FloatToBFloat(combine(BFloatToFloat(x), BFloatToFloat(y)))
                 : FloatToHalf(combine(HalfToFloat(x), HalfToFloat(y)));
  };
  const uint64_t low = one(static_cast<uint16_t>(a), static_cast<uint16_t>(b));
  if (!IsPacked(type)) return low;
  return low |
         static_cast<uint64_t>(one(static_cast<uint16_t>(a >> 16), static_cast<uint16_t>(b >> 16)))
             << 16;
}

uint64_t Add(Type type, uint64_t a, uint64_t b) {
  if (type == Type::kF32) return Bits(As<float>(a) + As<float>(b));
  if (type == Type::kF64) return Bits(As<double>(a) + As<double>(b));
  if (IsHalf(type)) return CombineHalves(type, a, b, [](float x, float y) { return x + y; });
  return a + b;
}

uint64_t MinMax(Type type, uint64_t a, uint64_t b, bool max) {
  if (IsHalf(type)) {
    return CombineHalves(type, a, b, [max](float x, float y) {
      return max ? MaximumNumber(x, y) : MinimumNumber(x, y);
    });
  }
  bool less;  // b < a
  if (type == Type::kS32) {
    less = static_cast<int32_t>(b) < static_cast<int32_t>(a);
  } else if (type == Type::kS64) {
    less = static_cast<int64_t>(b) < static_cast<int64_t>(a);
  } else {
    less = b < a;
  }
  return less != max ? b : a;
}

void Atomic(Warp& warp, const Instruction& instruction, uint32_t mask) {
  alignas(64) uint64_t addresses[kLanes];
  EffectiveAddresses(warp, instruction, addresses);
  const int bytes = instruction.element_size;
  uint32_t shared = 0;
  ForEachLaneInOrder(mask, [&](int lane) {
    if (InWindow(addresses[lane], kSharedWindow)) {
      shared |= 1u << lane;
      addresses[lane] -= kSharedWindow;
    }
  });
  if (instruction.space == Space::kShared) shared = mask;
  const uint32_t global = mask & ~shared;
  if (shared) AccessShared(warp, instruction, shared, addresses, bytes, Access::kAtomic);
  if (global) {
    AccessGlobal(warp, instruction, global, addresses, bytes, Access::kAtomic);
    if (warp.block->launch->global_races) {
      warp.block->launch->global_races->Atomic(warp, instruction, global, addresses, bytes);
    }
  }
  ForEachLaneInOrder(mask, [&](int lane) {
    const bool is_shared = shared >> lane & 1;
    uint8_t* at = is_shared ? warp.block->shared + addresses[lane]
                            : reinterpret_cast<uint8_t*>(addresses[lane]);
    std::unique_lock<std::mutex> lock;
    if (!is_shared) lock = std::unique_lock<std::mutex>(locks[addresses[lane] >> 3 & 63]);
    const uint64_t before = LoadBytes(at, bytes);
    const int size = instruction.register_size;
    const uint64_t operand = ReadLane(warp, instruction.operands[1], size, lane);
    const uint64_t swap = instruction.operands[2] == kNoSlot
                              ? 0
                              : ReadLane(warp, instruction.operands[2], size, lane);
    const uint64_t after = ApplyAtomic(static_cast<AtomicOperation>(instruction.variant),
                                       instruction.type, before, operand, swap);
    std::memcpy(at, &after, bytes);
    if (instruction.operands[0] != kNoSlot) {
      WriteLane(warp, instruction.operands[0], size, lane, before);
    }
  });
}

const std::unordered_map<std::string, int>& Operations() {
  static const std::unordered_map<std::string, int> kOperations = {
      {"add", kAtomicAdd}, {"min", kAtomicMin},   {"max", kAtomicMax}, {"and", kAtomicAnd},
      {"or", kAtomicOr},   {"xor", kAtomicXor},   {"inc", kAtomicInc}, {"dec", kAtomicDec},
      {"cas", kAtomicCas}, {"exch", kAtomicExch},
  };
  return kOperations;
}

}  // namespace

uint64_t ApplyAtomic(AtomicOperation operation, Type type, uint64_t before, uint64_t operand,
                     uint64_t swap) {
  switch (operation) {
    case kAtomicAdd:
      return Add(type, before, operand);
    case kAtomicMin:
    case kAtomicMax:
      return MinMax(type, before, operand, operation == kAtomicMax);
    case kAtomicAnd:
      return before & operand;
    case kAtomicOr:
      return before | operand;
    case kAtomicXor:
      return before ^ operand;
    case kAtomicExch:
      return operand;
    case kAtomicCas:
      return before == operand ? swap : before;
    case kAtomicInc:
      return before >= operand ? 0 : before + 1;
    case kAtomicDec:
      return before == 0 || before > operand ? operand : before - 1;
  }
  return before;
}

int FindAtomicOperation(const Decoder& d) { return d.Lookup(Operations(), -1); }

// atom{.sem}{.scope}{.space}.op{.level::cache_hint}.type d, [a], b{, c}; red without d.
void DecodeAtomic(Decoder& d) {
  d.out.category = Category::kAtomic;
  const int operation = FindAtomicOperation(d);
  const bool vector = d.Has("v2") || d.Has("v4") || d.Has("v8");
  const bool other_space = d.Has("shared::cluster") || d.Has("async");
  if (operation < 0 || vector || other_space || d.type() == Type::kNone || d.Has("b128")) {
    return d.Unsupported();
  }
  const Type type = d.type();
  const bool arithmetic_float =
      IsFloat(type) && operation != kAtomicAdd &&
      !(IsHalf(type) && (operation == kAtomicMin || operation == kAtomicMax));
  if (arithmetic_float || SizeOf(type) < 2) return d.Unsupported();
  if (type == Type::kBF16 || type == Type::kBF16x2) d.RequireArch(90);
  const bool returns = d.base() == "atom";
  const size_t first = returns ? 1 : 0;
  Instruction& out = d.out;
  out.space = d.Has("shared") || d.Has("shared::cta") ? Space::kShared
              : d.Has("global")                       ? Space::kGlobal
                                                      : Space::kGeneric;
  out.variant = static_cast<uint8_t>(operation);
  out.type = type;
  out.element_size = static_cast<uint8_t>(SizeOf(type));
  out.register_size = static_cast<uint8_t>(d.size());
  if (returns && d.operand(0).kind != Operand::kSink) {
    out.operands[0] = d.Destination(0, d.size());
  }
  d.Address(d.operand(first), out.space);
  out.operands[1] = d.Source(first + 1, d.size());
  if (operation == kAtomicCas) out.operands[2] = d.Source(first + 2, d.size());
  NoteSharedAccess(d, out.space, out.element_size);
  out.execute = Atomic;
}

}  // namespace ptxemu
