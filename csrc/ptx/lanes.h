// The registers of a warp and loops over its lanes. A register is 32 consecutive elements, aligned
// to a cache line: the compiler turns a loop over all lanes into vector instructions.
#pragma once
#include <immintrin.h>

#include <cstdint>

#include "machine.h"

namespace ptxemu {

constexpr int kLanes = 32;
constexpr uint32_t kAllLanes = ~0u;
constexpr uint32_t kTrue = ~0u;  // of a predicate's lane

template <class T>
inline T* Register(Warp& warp, int slot) {
  return static_cast<T*>(__builtin_assume_aligned(warp.registers + slot, 64));
}

// The i-th operand of an instruction as a register.
template <class T>
inline T* Arg(Warp& warp, const Instruction& instruction, int i) {
  return Register<T>(warp, instruction.operands[i]);
}

// body(lane) for every lane in `mask`.
template <class Body>
inline void ForEachLane(uint32_t mask, Body body) {
  if (mask == kAllLanes) {
#pragma GCC ivdep
    for (int lane = 0; lane < kLanes; ++lane) body(lane);
  } else {
    for (uint32_t rest = mask; rest; rest &= rest - 1) body(__builtin_ctz(rest));
  }
}

// body(lane) for every lane in `mask`, one after the other and in ascending order.
template <class Body>
inline void ForEachLaneInOrder(uint32_t mask, Body body) {
  for (uint32_t rest = mask; rest; rest &= rest - 1) body(__builtin_ctz(rest));
}

inline int FirstLane(uint32_t mask) { return __builtin_ctz(mask); }
inline int CountLanes(uint32_t mask) { return __builtin_popcount(mask); }

// The lanes whose predicate is true.
inline uint32_t PredicateMask(const uint32_t* predicate) {
  uint32_t mask = 0;
  for (int i = 0; i < kLanes; i += 8) {
    const __m256i lanes = _mm256_load_si256(reinterpret_cast<const __m256i*>(predicate + i));
    mask |= static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(lanes))) << i;
  }
  return mask;
}

// An element of any size, by lane.
inline uint64_t ReadLane(Warp& warp, int slot, int size, int lane) {
  return size == 4   ? Register<uint32_t>(warp, slot)[lane]
         : size == 2 ? Register<uint16_t>(warp, slot)[lane]
                     : Register<uint64_t>(warp, slot)[lane];
}
inline void WriteLane(Warp& warp, int slot, int size, int lane, uint64_t value) {
  if (size == 4) {
    Register<uint32_t>(warp, slot)[lane] = static_cast<uint32_t>(value);
  } else if (size == 2) {
    Register<uint16_t>(warp, slot)[lane] = static_cast<uint16_t>(value);
  } else {
    Register<uint64_t>(warp, slot)[lane] = value;
  }
}

}  // namespace ptxemu
