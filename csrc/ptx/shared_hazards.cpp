// Races and uninitialised reads in shared memory: see hazards.h.
#include <algorithm>

#include "hazards.h"
#include "lanes.h"
#include "text.h"

namespace ptxemu {
namespace {

constexpr uint64_t MakeReaders(Stamp stamp, int warp) {
  return static_cast<uint64_t>(stamp) << 32 | 1u << warp;
}
constexpr Stamp StampOf(uint64_t readers) { return static_cast<Stamp>(readers >> 32); }

// Adds a reader to readers that are not ordered before it. Free of branches: see Load.
uint64_t MergeReaders(uint64_t readers, uint64_t mine) {
  constexpr Stamp kWho = kThreadMask | kSeveralBit;
  const Stamp old = StampOf(readers), now = StampOf(mine);
  const Stamp who = ((old ^ now) & kWho) == 0 ? now & kWho : kSeveralBit;
  const Stamp time = (old > now ? old : now) >> kClockShift << kClockShift;
  return static_cast<uint64_t>(time | who) << 32 | static_cast<uint32_t>(readers | mine);
}

// True when lane i accesses the bytes that follow lane i - 1's.
bool AreConsecutive(const uint64_t* offsets, int bytes) {
  bool consecutive = true;
  for (int l = 0; l < kLanes; ++l) consecutive &= offsets[l] == offsets[0] + l * bytes;
  return consecutive;
}

}  // namespace

void HazardReport::Add(const HazardReport& other) {
  shared_races += other.shared_races;
  warp_races += other.warp_races;
  global_races += other.global_races;
  uninitialised_shared += other.uninitialised_shared;
  uninitialised_local += other.uninitialised_local;
  uninitialised_global += other.uninitialised_global;
  divergent_barriers += other.divergent_barriers;
  if (first.empty()) first = other.first;
}

void HazardReport::Report(uint64_t HazardReport::* counter, const std::string& what,
                          const Warp& warp, const Instruction& instruction, int lane) {
  if (Total() == 0) first = what + ": " + Where(warp, instruction, lane);
  ++(this->*counter);
}

void SharedHazards::Configure(uint32_t bytes, int granule_shift) {
  shift_ = granule_shift;
  const size_t granules = (static_cast<size_t>(bytes) >> shift_) + 8;
  writers_.assign(granules, 0);
  readers_.assign(granules, 0);
}

void SharedHazards::StartBlock(int warps) {
  clocks.Start(warps);
  std::fill(writers_.begin(), writers_.end(), 0);
  std::fill(readers_.begin(), readers_.end(), 0);
}

// Keeps which granules are initialised, and forgets who wrote and read them.
void SharedHazards::Forget() {
  for (Stamp& writer : writers_) {
    if (writer && writer < kInFlight) writer = 1;
  }
  std::fill(readers_.begin(), readers_.end(), 0);
}

// ---- slow paths: something is not obviously in order

void SharedHazards::CheckLoad(Warp& warp, const Instruction& instruction, int lane,
                              uint32_t granule) {
  const Stamp writer = writers_[granule];
  HazardReport& report = warp.block->hazards;
  const int byte = static_cast<int>(granule << shift_), thread = warp.id * 32 + lane;
  if (writer == 0) {
    if (byte >= static_cast<int>(warp.block->shared_bytes)) return;  // padding of the last granule
    report.Report(&HazardReport::uninitialised_shared,
                  Format("uninitialised shared read at byte %d", byte), warp, instruction, lane);
    return;
  }
  const int other = writer & kThreadMask;
  if (writer >= kInFlight) {
    report.Report(
        &HazardReport::shared_races,
        Format("shared-memory read at byte %d of a cp.async that thread %d has not waited "
               "for",
               byte, other),
        warp, instruction, lane);
  } else if (other != thread && !clocks.IsOrdered(writer, warp.id)) {
    const bool same_warp = other >> 5 == warp.id;
    report.Report(same_warp ? &HazardReport::warp_races : &HazardReport::shared_races,
                  Format("shared-memory read-after-write hazard at byte %d with thread %d of %s",
                         byte, other, same_warp ? "the same warp" : "another warp"),
                  warp, instruction, lane);
  }
}

void SharedHazards::CheckReaders(Warp& warp, const Instruction& instruction, int lane,
                                 uint32_t granule) {
  const Readers readers = readers_[granule];
  const Stamp stamp = StampOf(readers);
  const Stamp thread = static_cast<Stamp>(warp.id * 32 + lane);
  const uint32_t time = stamp >> kClockShift;
  const uint32_t* known = clocks.Known(warp.id);
  for (uint32_t rest = static_cast<uint32_t>(readers); rest; rest &= rest - 1) {
    const int other = __builtin_ctz(rest);
    if (time <= known[other]) continue;
    if (other == warp.id && (stamp & (kThreadMask | kSeveralBit)) == thread) continue;
    const bool same_warp = other == warp.id;
    warp.block->hazards.Report(
        same_warp ? &HazardReport::warp_races : &HazardReport::shared_races,
        Format("shared-memory write-after-read hazard at byte %d with %s",
               static_cast<int>(granule << shift_),
               same_warp ? "another lane of the warp" : Format("warp %d", other).c_str()),
        warp, instruction, lane);
    return;
  }
}

// True when another lane of the warp wrote here since the warp synchronised.
bool SharedHazards::CheckStore(Warp& warp, const Instruction& instruction, int lane,
                               uint32_t granule) {
  const Stamp writer = writers_[granule], floor = clocks.Floor(warp.id);
  if (StampOf(readers_[granule]) >= floor) CheckReaders(warp, instruction, lane, granule);
  if (writer < floor) return false;
  const int other = writer & kThreadMask, byte = static_cast<int>(granule << shift_);
  if (writer >= kInFlight) {
    warp.block->hazards.Report(
        &HazardReport::shared_races,
        Format("shared-memory write at byte %d of a cp.async that thread %d has not waited for",
               byte, other),
        warp, instruction, lane);
    return false;
  }
  if (other == warp.id * 32 + lane || clocks.IsOrdered(writer, warp.id)) return false;
  if (other >> 5 == warp.id) return true;
  warp.block->hazards.Report(
      &HazardReport::shared_races,
      Format("shared-memory write-write hazard at byte %d with thread %d of another warp", byte,
             other),
      warp, instruction, lane);
  return false;
}

// ---- accesses

inline void SharedHazards::LoadLane(Warp& warp, const Instruction& instruction, int lane,
                                    uint64_t offset, int bytes, bool several) {
  const Stamp floor = clocks.Floor(warp.id), now = clocks.Now(warp.id, lane);
  const Readers mine = MakeReaders(several ? (now & ~kThreadMask) | kSeveralBit : now, warp.id);
  const uint32_t last = static_cast<uint32_t>((offset + bytes - 1) >> shift_);
  for (uint32_t i = static_cast<uint32_t>(offset >> shift_); i <= last; ++i) {
    if (writers_[i] - 1 >= floor - 1) CheckLoad(warp, instruction, lane, i);
    const Readers before = readers_[i];
    if (before == mine) continue;
    readers_[i] = StampOf(before) < floor ? mine : MergeReaders(before, mine);
  }
}

inline bool SharedHazards::StoreLane(Warp& warp, const Instruction& instruction, int lane,
                                     uint64_t offset, int bytes) {
  const Stamp floor = clocks.Floor(warp.id), now = clocks.Now(warp.id, lane);
  const uint32_t last = static_cast<uint32_t>((offset + bytes - 1) >> shift_);
  bool overwrites = false;
  for (uint32_t i = static_cast<uint32_t>(offset >> shift_); i <= last; ++i) {
    if ((writers_[i] >= floor && writers_[i] != now) || StampOf(readers_[i]) >= floor) {
      overwrites |= CheckStore(warp, instruction, lane, i);
    }
    writers_[i] = now;
    readers_[i] = 0;
  }
  return overwrites;
}

// A full warp loads one granule per lane, wherever. False when something is not in order. The loops
// vectorise; lanes that share a granule may then lose their mark, which is put right at the end.
bool SharedHazards::LoadGranules(const Warp& warp, const uint64_t* offsets) {
  const Stamp floor = clocks.Floor(warp.id), now = clocks.Now(warp.id, 0);
  const Stamp several = (now >> kClockShift << kClockShift) | kSeveralBit;
  const Stamp* writers = writers_.data();
  Readers* readers = readers_.data();
  uint32_t granules[kLanes], disordered = 0, unsettled = 0;
  for (int l = 0; l < kLanes; ++l) granules[l] = static_cast<uint32_t>(offsets[l]) >> shift_;
  for (int l = 0; l < kLanes; ++l) {
    const Readers before = readers[granules[l]];
    disordered |= writers[granules[l]] - 1 >= floor - 1;
    unsettled |= StampOf(before) < several;
    unsettled |= ~static_cast<uint32_t>(before) >> warp.id & 1;
  }
  if (disordered) return false;
  // Most loads repeat: several lanes of this warp are known to have read it since they
  // synchronised.
  if (!unsettled) return true;
  const Readers lane0 = MakeReaders(now, warp.id);
#pragma GCC ivdep
  for (int l = 0; l < kLanes; ++l) {
    const Readers before = readers[granules[l]];
    const Readers mine = lane0 + (static_cast<Readers>(l) << 32);
    const Readers merged = MergeReaders(before, mine);
    readers[granules[l]] = StampOf(before) < floor ? mine : merged;
  }
  uint32_t lost = 0;
  for (int l = 0; l < kLanes; ++l) {
    const Stamp who = StampOf(readers[granules[l]]) & (kThreadMask | kSeveralBit);
    lost |= who != ((now & kThreadMask) + l) && !(who & kSeveralBit) ? 1u : 0u;
  }
  if (!lost) return true;
  for (int l = 0; l < kLanes; ++l) {
    Readers& record = readers[granules[l]];
    record = MergeReaders(record, lane0 + (static_cast<Readers>(l) << 32));
  }
  return true;
}

void SharedHazards::Load(Warp& warp, const Instruction& instruction, uint32_t mask,
                         const uint64_t* offsets, int bytes) {
  const int first = FirstLane(mask);
  if (mask == kAllLanes) {
    const int lane_shift = __builtin_ctz(bytes) - shift_;
    if (lane_shift >= 0 && AreConsecutive(offsets, bytes)) {
      const Stamp floor = clocks.Floor(warp.id);
      const int granules = kLanes << lane_shift;
      const Stamp* writers = &writers_[offsets[0] >> shift_];
      Readers* readers = &readers_[offsets[0] >> shift_];
      bool in_order = true;
      for (int i = 0; i < granules; ++i) in_order &= writers[i] - 1 < floor - 1;
      if (in_order) {
        const Readers lane0 = MakeReaders(clocks.Now(warp.id, 0), warp.id);
        for (int i = 0; i < granules; ++i) {
          const Readers mine = lane0 + (static_cast<Readers>(i >> lane_shift) << 32);
          const Readers merged = MergeReaders(readers[i], mine);
          readers[i] = StampOf(readers[i]) < floor ? mine : merged;
        }
        return;
      }
    } else if (lane_shift == 0 && LoadGranules(warp, offsets)) {
      return;
    }
  }
  bool same = true;
  for (uint32_t rest = mask; rest; rest &= rest - 1) {
    same &= offsets[FirstLane(rest)] == offsets[first];
  }
  if (same) return LoadLane(warp, instruction, first, offsets[first], bytes, mask & (mask - 1));
  ForEachLaneInOrder(mask,
                     [&](int l) { LoadLane(warp, instruction, l, offsets[l], bytes, false); });
}

uint32_t SharedHazards::Store(Warp& warp, const Instruction& instruction, uint32_t mask,
                              const uint64_t* offsets, int bytes) {
  if (mask == kAllLanes) {
    const int lane_shift = __builtin_ctz(bytes) - shift_;
    if (lane_shift >= 0 && AreConsecutive(offsets, bytes)) {
      const Stamp floor = clocks.Floor(warp.id);
      const int granules = kLanes << lane_shift;
      Stamp* writers = &writers_[offsets[0] >> shift_];
      Readers* readers = &readers_[offsets[0] >> shift_];
      bool in_order = true;
      for (int i = 0; i < granules; ++i) {
        in_order &= writers[i] < floor && StampOf(readers[i]) < floor;
      }
      if (in_order) {
        const Stamp now = clocks.Now(warp.id, 0);
        for (int i = 0; i < granules; ++i) writers[i] = now + (i >> lane_shift);
        std::fill(readers, readers + granules, 0);
        return 0;
      }
    }
  }
  uint32_t overwriting = 0;
  ForEachLaneInOrder(mask, [&](int l) {
    if (StoreLane(warp, instruction, l, offsets[l], bytes)) overwriting |= 1u << l;
  });
  return overwriting;
}

void SharedHazards::Strong(Warp& warp, const Instruction& instruction, int lane, uint64_t offset,
                           int bytes, bool reads, bool writes) {
  const Stamp floor = clocks.Floor(warp.id);
  const uint32_t last = static_cast<uint32_t>((offset + bytes - 1) >> shift_);
  for (uint32_t i = static_cast<uint32_t>(offset >> shift_); i <= last; ++i) {
    const Stamp writer = writers_[i];
    const bool plain = !(writer & kAtomicBit) || writer >= kInFlight;
    if (reads && plain && writer - 1 >= floor - 1) CheckLoad(warp, instruction, lane, i);
    if (!writes) continue;
    if (!reads && plain && writer >= floor) CheckStore(warp, instruction, lane, i);
    if (StampOf(readers_[i]) >= floor) CheckReaders(warp, instruction, lane, i);
    // A plain write that others are not ordered after must stay visible under this thread's
    // atomics.
    const bool hides = plain && writer && writer >= floor && writer < kInFlight;
    if (!hides) writers_[i] = clocks.Now(warp.id, lane) | kAtomicBit;
  }
}

// The copy may write at any time until it is waited for: check now, and let nobody touch it.
void SharedHazards::IssueAsync(Warp& warp, const Instruction& instruction, int lane,
                               uint64_t offset, int bytes) {
  StoreLane(warp, instruction, lane, offset, bytes);
  const uint32_t last = static_cast<uint32_t>((offset + bytes - 1) >> shift_);
  for (uint32_t i = static_cast<uint32_t>(offset >> shift_); i <= last; ++i) {
    writers_[i] = kInFlight | static_cast<Stamp>(warp.id * 32 + lane);
  }
}

void SharedHazards::CompleteAsync(Warp& warp, int lane, uint64_t offset, int bytes) {
  const uint32_t last = static_cast<uint32_t>((offset + bytes - 1) >> shift_);
  for (uint32_t i = static_cast<uint32_t>(offset >> shift_); i <= last; ++i) {
    writers_[i] = clocks.Now(warp.id, lane);
  }
}

}  // namespace ptxemu
