// Shared and local memory: bounds, alignment, bank conflicts.
#include <algorithm>

#include "memory.h"
#include "text.h"

namespace ptxemu {
namespace {

// Wavefronts of one pass: as many as the busiest bank has distinct words.
int WavefrontsOfPass(uint32_t mask, const uint64_t* offsets, uint32_t words) {
  uint64_t low = ~0ull, high = 0;
  if (mask == kAllLanes) {
    for (int l = 0; l < kLanes; ++l) {
      low = offsets[l] < low ? offsets[l] : low;
      high = offsets[l] > high ? offsets[l] : high;
    }
  } else {
    for (uint32_t rest = mask; rest; rest &= rest - 1) {
      low = std::min(low, offsets[FirstLane(rest)]);
      high = std::max(high, offsets[FirstLane(rest)]);
    }
  }
  low >>= 2;
  high >>= 2;
  if (high + words - low <= 32) return 1;  // inside 128 bytes every bank has one word

  uint32_t first_word[32], used = 0, more_words[128];
  uint8_t count[32];
  int more = 0, busiest = 1;
  for (uint32_t rest = mask; rest; rest &= rest - 1) {
    const uint32_t begin = static_cast<uint32_t>(offsets[FirstLane(rest)] >> 2);
    for (uint32_t word = begin; word < begin + words; ++word) {
      const uint32_t bank = word & 31;
      if (!(used >> bank & 1)) {
        used |= 1u << bank;
        first_word[bank] = word;
        count[bank] = 1;
      } else if (first_word[bank] != word &&
                 std::find(more_words, more_words + more, word) == more_words + more) {
        more_words[more++] = word;
        busiest = std::max<int>(busiest, ++count[bank]);
      }
    }
  }
  return busiest;
}

}  // namespace

int Wavefronts(uint32_t mask, const uint64_t* offsets, int bytes, int& ideal) {
  const int words = bytes <= 4 ? 1 : bytes / 4;
  const int passes = words, lanes = kLanes / passes;
  int total = 0;
  ideal = 0;
  for (int pass = 0; pass < passes; ++pass) {
    const uint32_t part = passes == 1 ? mask : (mask >> (pass * lanes)) & ((1u << lanes) - 1);
    if (!part) continue;
    ++ideal;
    total += WavefrontsOfPass(part, offsets + pass * lanes, static_cast<uint32_t>(words));
  }
  return total;
}

void CheckSharedBounds(Warp& warp, const Instruction& instruction, uint32_t mask,
                       const uint64_t* offsets, int bytes) {
  const uint64_t size = warp.block->shared_bytes;
  uint64_t high = 0, all_bits = 0;
  if (mask == kAllLanes) {
    for (int l = 0; l < kLanes; ++l) {
      high = offsets[l] > high ? offsets[l] : high;
      all_bits |= offsets[l];
    }
  } else {
    for (uint32_t rest = mask; rest; rest &= rest - 1) {
      high = std::max(high, offsets[FirstLane(rest)]);
      all_bits |= offsets[FirstLane(rest)];
    }
  }
  if (high < size && high + bytes <= size && !(all_bits & (bytes - 1))) return;
  const std::string& opcode = warp.block->kernel->info[instruction.id].opcode;
  ForEachLaneInOrder(mask, [&](int lane) {
    const uint64_t offset = offsets[lane];
    if (offset >= size || offset + bytes > size) {
      throw Error(Format("out-of-bounds shared access (%s) of %d bytes at offset %lld of %llu "
                         "bytes: ",
                         opcode.c_str(), bytes, (long long)offset, (unsigned long long)size) +
                  Where(warp, instruction, lane));
    }
    if (offset & (bytes - 1)) {
      throw Error(Format("misaligned %d-byte shared access (%s) at offset %llu: ", bytes,
                         opcode.c_str(), (unsigned long long)offset) +
                  Where(warp, instruction, lane));
    }
  });
}

uint32_t AccessShared(Warp& warp, const Instruction& instruction, uint32_t mask,
                      const uint64_t* offsets, int bytes, Access access) {
  CheckSharedBounds(warp, instruction, mask, offsets, bytes);
  Block& block = *warp.block;
  SharedHazards& hazards = block.shared_hazards;
  uint32_t overwriting = 0;
  if (access == Access::kAtomic || instruction.strong) {
    const bool reads = access != Access::kStore, writes = access != Access::kLoad;
    ForEachLaneInOrder(mask, [&](int lane) {
      hazards.Strong(warp, instruction, lane, offsets[lane], bytes, reads, writes);
    });
  } else if (access == Access::kStore) {
    overwriting = hazards.Store(warp, instruction, mask, offsets, bytes);
  } else {
    hazards.Load(warp, instruction, mask, offsets, bytes);
  }
  int ideal;
  Counters& counters = block.counters[instruction.id];
  counters.transactions += Wavefronts(mask, offsets, bytes, ideal);
  counters.ideal += ideal;
  counters.requests += 1;
  return overwriting;
}

uint8_t* AccessLocal(Warp& warp, const Instruction& instruction, int lane, uint64_t offset,
                     int bytes, bool store) {
  if (offset >= warp.local_bytes || offset + bytes > warp.local_bytes) {
    throw Error(Format("out-of-bounds local access of %d bytes at offset %lld of %u bytes: ", bytes,
                       (long long)offset, warp.local_bytes) +
                Where(warp, instruction, lane));
  }
  if (offset & (bytes - 1)) {
    throw Error(Format("misaligned %d-byte local access at offset %llu: ", bytes,
                       (unsigned long long)offset) +
                Where(warp, instruction, lane));
  }
  const size_t at = static_cast<size_t>(lane) * warp.local_bytes + offset;
  uint8_t* written = warp.local_written + at;
  if (store) {
    std::memset(written, 1, bytes);
  } else if (!std::memchr(written, 1, bytes)) {  // padding inside a structure may be copied
    warp.block->hazards.Report(
        &HazardReport::uninitialised_local,
        Format("uninitialised local read at byte %llu", (unsigned long long)offset), warp,
        instruction, lane);
  }
  return warp.local + at;
}

}  // namespace ptxemu
