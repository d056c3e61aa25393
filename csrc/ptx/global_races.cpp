#include "global_races.h"

#include <algorithm>

#include "lanes.h"
#include "launch.h"
#include "text.h"

namespace ptxemu {

GlobalRaces::Cell& GlobalRaces::At(uint64_t address) {
  std::unique_ptr<Page>& page = pages_[address >> kPageShift];
  if (!page) page = std::make_unique<Page>();
  return (*page)[address & ((1u << kPageShift) - 1)];
}

bool GlobalRaces::IsOrdered(const Touch& before, const Warp& warp, int lane) const {
  if (before.block == 0) return true;
  const uint64_t own = warp.block->index;
  if (before.block == own + 1) {
    const Stamp thread = static_cast<Stamp>(warp.id * 32 + lane);
    return (before.stamp & (kThreadMask | kSeveralBit)) == thread ||
           (!(before.stamp & kSeveralBit) &&
            warp.block->shared_hazards.clocks.IsOrdered(before.stamp, warp.id)) ||
           before.stamp < warp.block->shared_hazards.clocks.Floor(warp.id);
  }
  if (before.block == kSeveral) return false;
  // Released after the access, and acquired after that.
  const std::vector<uint32_t>& releases = blocks_[before.block - 1].releases;
  const auto release = std::upper_bound(releases.begin(), releases.end(), before.time);
  return release != releases.end() && *release <= blocks_[own].acquired;
}

bool GlobalRaces::Check(const Touch& before, Warp& warp, const Instruction& instruction, int lane,
                        uint64_t address, const char* what) const {
  if (IsOrdered(before, warp, lane)) return false;
  const std::string other = before.block == kSeveral ? "other blocks"
                            : before.block == warp.block->index + 1
                                ? "another thread of the block"
                                : Format("block %u", before.block - 1);
  warp.block->hazards.Report(&HazardReport::global_races,
                             Format("global-memory %s hazard with %s%s", what, other.c_str(),
                                    warp.block->launch->memory.Describe(address).c_str()),
                             warp, instruction, lane);
  return true;
}

void GlobalRaces::Access(Warp& warp, const Instruction& instruction, uint32_t mask,
                         const uint64_t* addresses, int bytes, bool writes) {
  std::lock_guard<std::mutex> lock(mutex_);
  const uint32_t block = static_cast<uint32_t>(warp.block->index) + 1;
  ++time_;
  ForEachLaneInOrder(mask, [&](int lane) {
    const Touch now{block, warp.block->shared_hazards.clocks.Now(warp.id, lane), time_};
    bool reported = false;  // once per access, not per byte
    for (uint64_t address = addresses[lane]; address < addresses[lane] + bytes; ++address) {
      Cell& cell = At(address);
      // Lanes that write the same place at once are found by RepeatedAddresses, with their values.
      const bool same_instruction = cell.writer.time == time_;
      if (!same_instruction && !reported) {
        reported = Check(cell.writer, warp, instruction, lane, address,
                         writes ? "write-write" : "read-after-write");
      }
      if (writes) {
        reported =
            reported || Check(cell.reader, warp, instruction, lane, address, "write-after-read");
        cell.writer = now;
        cell.reader = {};
      } else if (IsOrdered(cell.reader, warp, lane)) {
        cell.reader = now;
      } else {
        if (cell.reader.block != block) cell.reader.block = kSeveral;
        cell.reader.stamp = std::max(cell.reader.stamp, now.stamp) | kSeveralBit;
        cell.reader.time = time_;
      }
    }
  });
}

void GlobalRaces::Fence(uint64_t block) {
  std::lock_guard<std::mutex> lock(mutex_);
  blocks_[block].fenced = true;
}

// Atomics do not race with each other, but with plain accesses of other blocks.
void GlobalRaces::Atomic(Warp& warp, const Instruction& instruction, uint32_t mask,
                         const uint64_t* addresses, int bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  BlockState& state = blocks_[warp.block->index];
  ++time_;
  if (state.fenced) state.releases.push_back(time_);
  state.acquired = time_;
  const uint32_t block = static_cast<uint32_t>(warp.block->index) + 1;
  ForEachLaneInOrder(mask, [&](int lane) {
    bool reported = false;
    for (uint64_t address = addresses[lane]; address < addresses[lane] + bytes; ++address) {
      Cell& cell = At(address);
      if (!(cell.writer.stamp & kAtomicBit) && !reported) {
        reported = Check(cell.writer, warp, instruction, lane, address, "atomic-after-write");
      }
      reported =
          reported || Check(cell.reader, warp, instruction, lane, address, "atomic-after-read");
      const Stamp now = warp.block->shared_hazards.clocks.Now(warp.id, lane) | kAtomicBit;
      cell.writer = {block, now, time_};
    }
  });
}

}  // namespace ptxemu
