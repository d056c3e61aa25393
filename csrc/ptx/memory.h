// Checked accesses to global, shared and local memory. All of them throw Error, naming the buffer,
// the offset, the thread and the source line, when an access is out of bounds or misaligned.
#pragma once
#include <cstdint>
#include <cstring>

#include "lanes.h"
#include "machine.h"

namespace ptxemu {

// The effective address of every lane.
inline void EffectiveAddresses(Warp& warp, const Instruction& instruction, uint64_t* addresses) {
  if (instruction.address == kNoSlot) {
    for (int l = 0; l < kLanes; ++l) addresses[l] = static_cast<uint64_t>(instruction.immediate);
  } else if (instruction.address_is_64bit) {
    const uint64_t* base = Register<uint64_t>(warp, instruction.address);
    const uint64_t offset = static_cast<uint64_t>(instruction.immediate);
    for (int l = 0; l < kLanes; ++l) addresses[l] = base[l] + offset;
  } else {
    const uint32_t* base = Register<uint32_t>(warp, instruction.address);
    const uint32_t offset = static_cast<uint32_t>(instruction.immediate);
    for (int l = 0; l < kLanes; ++l) addresses[l] = base[l] + offset;
  }
}

inline bool InWindow(uint64_t address, uint64_t window) {
  return (address & kWindowMask) == window;
}

enum class Access : uint8_t { kLoad, kStore, kAtomic };

// Checks and counts; the caller then reads or writes the host memory at `addresses`. Returns the
// lanes that write where another lane of this very access writes as well.
uint32_t AccessGlobal(Warp& warp, const Instruction& instruction, uint32_t mask,
                      const uint64_t* addresses, int bytes, Access access);

// Checks only bounds: constants.
void CheckConstant(Warp& warp, const Instruction& instruction, uint32_t mask,
                   const uint64_t* addresses, int bytes);

// Throws unless every lane's bytes lie inside shared memory and are aligned.
void CheckSharedBounds(Warp& warp, const Instruction& instruction, uint32_t mask,
                       const uint64_t* offsets, int bytes);

// Bounds, hazards and bank conflicts. Returns as SharedHazards::Store.
uint32_t AccessShared(Warp& warp, const Instruction& instruction, uint32_t mask,
                      const uint64_t* offsets, int bytes, Access access);

// Wavefronts that the banks of shared memory need for one access, and how few it could be: 4, 2 or
// 1 passes serve 32 lanes' 16, 8 or 4 (or fewer) bytes, and a pass takes as many wavefronts as the
// busiest bank has distinct words to deliver.
int Wavefronts(uint32_t mask, const uint64_t* offsets, int bytes, int& ideal);

// Host address of a lane's local memory, after checks of bounds and of initialisation.
uint8_t* AccessLocal(Warp& warp, const Instruction& instruction, int lane, uint64_t offset,
                     int bytes, bool store);

inline uint64_t LoadBytes(const uint8_t* from, int bytes) {
  uint64_t value = 0;
  std::memcpy(&value, from, bytes);
  return value;
}

}  // namespace ptxemu
