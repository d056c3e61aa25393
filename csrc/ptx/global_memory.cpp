// Global memory: bounds, alignment, touched sectors, fresh memory, lanes that write the same place.
#include <algorithm>

#include "launch.h"
#include "memory.h"
#include "text.h"

namespace ptxemu {
namespace {

constexpr int kSectorShift = 5;

struct Extent {
  uint64_t low, high;  // of the first bytes
  uint64_t all_bits;   // or of all addresses: misalignment shows
};

Extent ExtentOf(uint32_t mask, const uint64_t* addresses) {
  Extent extent{~0ull, 0, 0};
  if (mask == kAllLanes) {
    for (int l = 0; l < kLanes; ++l) {
      extent.low = addresses[l] < extent.low ? addresses[l] : extent.low;
      extent.high = addresses[l] > extent.high ? addresses[l] : extent.high;
      extent.all_bits |= addresses[l];
    }
  } else {
    for (uint32_t rest = mask; rest; rest &= rest - 1) {
      const uint64_t address = addresses[FirstLane(rest)];
      extent.low = std::min(extent.low, address);
      extent.high = std::max(extent.high, address);
      extent.all_bits |= address;
    }
  }
  return extent;
}

// Most marks repeat: look before paying for an atomic operation.
void MarkSectors(std::vector<uint64_t>& bits, uint64_t word, uint64_t mask) {
  if ((__atomic_load_n(&bits[word], __ATOMIC_RELAXED) & mask) != mask) {
    __atomic_fetch_or(&bits[word], mask, __ATOMIC_RELAXED);
  }
}
void MarkSector(std::vector<uint64_t>& bits, uint64_t sector) {
  MarkSectors(bits, sector >> 6, 1ull << (sector & 63));
}

[[noreturn]] void FailMisaligned(Warp& warp, const Instruction& instruction, uint32_t mask,
                                 const uint64_t* addresses, int bytes) {
  for (uint32_t rest = mask;; rest &= rest - 1) {
    const int lane = FirstLane(rest);
    if (addresses[lane] & (bytes - 1)) {
      throw Error(Format("misaligned %d-byte global access at %#llx%s: ", bytes,
                         (unsigned long long)addresses[lane],
                         warp.block->launch->memory.Describe(addresses[lane]).c_str()) +
                  Where(warp, instruction, lane));
    }
  }
}

// Throws for the first lane that is not inside any buffer.
void CheckEachLane(Warp& warp, const Instruction& instruction, uint32_t mask,
                   const uint64_t* addresses, int bytes, const char* verb) {
  const MemoryMap& memory = warp.block->launch->memory;
  ForEachLaneInOrder(mask, [&](int lane) {
    const Buffer* buffer = memory.Find(addresses[lane]);
    if (buffer && addresses[lane] + bytes <= buffer->high) return;
    throw Error(Format("out-of-bounds global %s of %d bytes at %#llx%s: ", verb, bytes,
                       (unsigned long long)addresses[lane],
                       memory.Describe(addresses[lane]).c_str()) +
                Where(warp, instruction, lane));
  });
}

// Sectors touched by lanes that are spread over several buffers.
int MarkScattered(Warp& warp, uint32_t mask, const uint64_t* addresses, bool store) {
  std::vector<uint64_t> sectors;
  ForEachLaneInOrder(mask, [&](int lane) {
    const uint64_t sector = addresses[lane] >> kSectorShift;
    const Buffer* buffer = warp.block->launch->memory.Find(addresses[lane]);
    MarkSector(store ? buffer->sectors_written : buffer->sectors_read,
               sector - (buffer->low >> kSectorShift));
    sectors.push_back(sector);
  });
  std::sort(sectors.begin(), sectors.end());
  return static_cast<int>(std::unique(sectors.begin(), sectors.end()) - sectors.begin());
}

// Marks the sectors that an access inside one buffer touches, and returns how many they are.
int MarkTouched(const Buffer& buffer, uint32_t mask, const uint64_t* addresses, int bytes,
                const Extent& extent, bool consecutive, bool store) {
  std::vector<uint64_t>& bits = store ? buffer.sectors_written : buffer.sectors_read;
  const uint64_t base = buffer.low >> kSectorShift;
  const uint64_t first = extent.low >> kSectorShift;
  const uint64_t last = (extent.high + bytes - 1) >> kSectorShift;
  if (first == last) {
    MarkSector(bits, first - base);
    return 1;
  }
  if (consecutive) {
    const uint64_t from = first - base, to = last - base;
    if (from >> 6 == to >> 6) {
      MarkSectors(bits, from >> 6, ((2ull << (to - from)) - 1) << (from & 63));
    } else {
      for (uint64_t sector = from; sector <= to; ++sector) MarkSector(bits, sector);
    }
    return static_cast<int>(to - from + 1);
  }
  if (last - first < 64) {  // the usual case: a bit mask holds the window
    uint64_t seen = 0;
    for (uint32_t rest = mask; rest; rest &= rest - 1) {
      seen |= 1ull << ((addresses[FirstLane(rest)] >> kSectorShift) - first);
    }
    for (uint64_t rest = seen; rest; rest &= rest - 1) {
      MarkSector(bits, first + __builtin_ctzll(rest) - base);
    }
    return __builtin_popcountll(seen);
  }
  uint64_t table[64], used = 0;  // open addressing; at most 32 entries
  int count = 0;
  for (uint32_t rest = mask; rest; rest &= rest - 1) {
    const uint64_t sector = addresses[FirstLane(rest)] >> kSectorShift;
    int slot = static_cast<int>(sector * 0x9E3779B97F4A7C15ull >> 58);
    while ((used >> slot & 1) && table[slot] != sector) slot = (slot + 1) & 63;
    if (used >> slot & 1) continue;
    used |= 1ull << slot;
    table[slot] = sector;
    ++count;
    MarkSector(bits, sector - base);
  }
  return count;
}

// Lanes whose address another, lower lane has as well. Aligned accesses of one size overlap only
// if they are equal.
uint32_t RepeatedAddresses(uint32_t mask, const uint64_t* addresses) {
  if (mask == kAllLanes) {
    bool ascending = true;
    for (int l = 1; l < kLanes; ++l) ascending &= addresses[l - 1] < addresses[l];
    if (ascending) return 0;
  }
  uint64_t table[64], used = 0;
  uint32_t repeated = 0;
  for (uint32_t rest = mask; rest; rest &= rest - 1) {
    const int lane = FirstLane(rest);
    int slot = static_cast<int>(addresses[lane] * 0x9E3779B97F4A7C15ull >> 58);
    while ((used >> slot & 1) && table[slot] != addresses[lane]) slot = (slot + 1) & 63;
    if (used >> slot & 1) repeated |= 1u << lane;
    used |= 1ull << slot;
    table[slot] = addresses[lane];
  }
  return repeated;
}

void TrackFresh(Warp& warp, const Instruction& instruction, const Buffer& buffer, uint32_t mask,
                const uint64_t* addresses, int bytes, Access access) {
  for (const Buffer::Fresh& fresh : buffer.fresh) {
    ForEachLaneInOrder(mask, [&](int lane) {
      const uint64_t address = addresses[lane];
      if (address < fresh.low || address + bytes > fresh.high) return;
      if (access != Access::kStore) {
        const int byte = fresh.written->FirstUnwritten(address, bytes);
        if (byte >= 0) {
          warp.block->hazards.Report(
              &HazardReport::uninitialised_global,
              Format("uninitialised global read%s",
                     warp.block->launch->memory.Describe(address + byte).c_str()),
              warp, instruction, lane);
        }
      }
      if (access != Access::kLoad) fresh.written->Mark(address, bytes);
    });
  }
}

}  // namespace

uint32_t AccessGlobal(Warp& warp, const Instruction& instruction, uint32_t mask,
                      const uint64_t* addresses, int bytes, Access access) {
  Block& block = *warp.block;
  const bool store = access != Access::kLoad;
  const Extent extent = ExtentOf(mask, addresses);
  if (extent.all_bits & (bytes - 1)) FailMisaligned(warp, instruction, mask, addresses, bytes);

  const Buffer* buffer = block.last_buffer[instruction.id];
  bool scattered = false;
  if (!buffer || extent.low < buffer->low || extent.high > buffer->high - bytes) {
    buffer = block.launch->memory.Find(extent.low);
    if (buffer && extent.high <= buffer->high - bytes) {
      block.last_buffer[instruction.id] = buffer;
    } else {
      CheckEachLane(warp, instruction, mask, addresses, bytes,
                    access == Access::kAtomic ? "atomic"
                    : store                   ? "write"
                                              : "read");
      scattered = true;
    }
  }

  bool consecutive = mask == kAllLanes && extent.high - extent.low == 31u * bytes;
  if (consecutive) {
    for (int l = 0; l < kLanes; ++l) consecutive &= addresses[l] == addresses[0] + l * bytes;
  }
  Counters& counters = block.counters[instruction.id];
  counters.requests += 1;
  counters.ideal += static_cast<uint64_t>(CountLanes(mask)) * bytes;
  counters.transactions +=
      scattered ? MarkScattered(warp, mask, addresses, store)
                : MarkTouched(*buffer, mask, addresses, bytes, extent, consecutive, store);

  if (scattered) {
    ForEachLaneInOrder(mask, [&](int lane) {
      const Buffer& own = *block.launch->memory.Find(addresses[lane]);
      if (!own.fresh.empty()) {
        TrackFresh(warp, instruction, own, 1u << lane, addresses, bytes, access);
      }
    });
  } else if (!buffer->fresh.empty()) {
    TrackFresh(warp, instruction, *buffer, mask, addresses, bytes, access);
  }
  if (block.launch->global_races && access != Access::kAtomic && !instruction.strong) {
    block.launch->global_races->Access(warp, instruction, mask, addresses, bytes, store);
  }
  return access == Access::kStore && !consecutive ? RepeatedAddresses(mask, addresses) : 0;
}

void CheckConstant(Warp& warp, const Instruction& instruction, uint32_t mask,
                   const uint64_t* addresses, int bytes) {
  const Extent extent = ExtentOf(mask, addresses);
  if (extent.all_bits & (bytes - 1)) FailMisaligned(warp, instruction, mask, addresses, bytes);
  const Buffer* buffer = warp.block->last_buffer[instruction.id];
  if (buffer && extent.low >= buffer->low && extent.high <= buffer->high - bytes) return;
  CheckEachLane(warp, instruction, mask, addresses, bytes, "constant read");
  warp.block->last_buffer[instruction.id] = warp.block->launch->memory.Find(extent.low);
}

}  // namespace ptxemu
