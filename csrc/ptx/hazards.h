// Hazards: accesses whose order, or whose value, the program does not define.
//
// Order is tracked by vector clocks. Each warp has a clock that advances whenever it synchronises;
// known[w][v] is the time of warp v up to which everything v did is ordered before what w does
// next. Barriers exchange this knowledge between warps; __syncwarp and its relatives only order the
// lanes of one warp.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace ptxemu {

struct Warp;
struct Block;
struct Instruction;

// Counts per kind, and the first one in words.
struct HazardReport {
  uint64_t shared_races = 0;  // between warps
  uint64_t warp_races = 0;    // between lanes of a warp
  uint64_t global_races = 0;
  uint64_t uninitialised_shared = 0, uninitialised_local = 0, uninitialised_global = 0;
  uint64_t divergent_barriers = 0;
  std::string first;

  uint64_t Races() const { return shared_races + warp_races + global_races; }
  uint64_t Total() const {
    return Races() + uninitialised_shared + uninitialised_local + uninitialised_global +
           divergent_barriers;
  }
  void Add(const HazardReport& other);
  // Counts one; what + ": " + where the lane is becomes `first` unless there is one already.
  void Report(uint64_t HazardReport::* counter, const std::string& what, const Warp& warp,
              const Instruction& instruction, int lane);
};

// Who accessed something, and when: time << 12 | atomic << 11 | several << 10 | thread.
// Zero: nobody.
using Stamp = uint32_t;
constexpr int kClockShift = 12;
constexpr Stamp kAtomicBit = 1u << 11;   // of writers: an atomic or volatile access
constexpr Stamp kSeveralBit = 1u << 10;  // of readers: more than one thread
constexpr Stamp kThreadMask = (1u << 10) - 1;
constexpr Stamp kInFlight = ~0u << kClockShift;  // written by a cp.async not waited for yet
constexpr uint32_t kLastTime = (1u << (32 - kClockShift)) - 2;

// The vector clocks of a block's warps.
class WarpClocks {
 public:
  void Start(int warps);
  Stamp Now(int warp, int lane) const {
    return times_[warp] << kClockShift | static_cast<Stamp>(warp * 32 + lane);
  }
  // Stamps below this are ordered before whatever the warp does next.
  Stamp Floor(int warp) const { return floors_[warp]; }
  bool IsOrdered(Stamp stamp, int warp) const {
    return stamp >> kClockShift <= Known(warp)[(stamp & kThreadMask) >> 5];
  }
  const uint32_t* Known(int warp) const { return &known_[static_cast<size_t>(warp) * kWarps]; }

  // True when the clocks ran over and were set back: older stamps must be forgotten.
  bool SyncLanes(int warp);
  void Arrive(int barrier, int warp);
  bool Release(int barrier, uint32_t waiting_warps);
  void Exit(int warp);

 private:
  static constexpr int kWarps = 32;
  void SetTime(int warp, uint32_t time);
  bool SetBackIfLate();

  int warps_ = 0;
  uint32_t times_[kWarps], others_[kWarps];  // others: what is known of the least known other warp
  Stamp floors_[kWarps];
  std::vector<uint32_t> known_;
  uint32_t arrived_[16][kWarps], exited_[kWarps];
};

// Shadow of a block's shared memory, in granules as large as the kernel's finest access.
class SharedHazards {
 public:
  void Configure(uint32_t bytes, int granule_shift);
  void StartBlock(int warps);

  WarpClocks clocks;
  void Forget();  // after the clocks were set back

  void Load(Warp& warp, const Instruction& instruction, uint32_t mask, const uint64_t* offsets,
            int bytes);
  // Returns the lanes that write over what another lane of the warp wrote without synchronising:
  // harmless only if the value is the same.
  uint32_t Store(Warp& warp, const Instruction& instruction, uint32_t mask, const uint64_t* offsets,
                 int bytes);
  // Atomics, volatile and relaxed accesses: they may race with each other.
  void Strong(Warp& warp, const Instruction& instruction, int lane, uint64_t offset, int bytes,
              bool reads, bool writes);
  void IssueAsync(Warp& warp, const Instruction& instruction, int lane, uint64_t offset, int bytes);
  void CompleteAsync(Warp& warp, int lane, uint64_t offset, int bytes);

 private:
  // Who read a granule since it was written: the latest time and, if it was only one, the thread;
  // the warps in the low half.
  using Readers = uint64_t;

  bool LoadGranules(const Warp& warp, const uint64_t* offsets);
  void LoadLane(Warp& warp, const Instruction& instruction, int lane, uint64_t offset, int bytes,
                bool several);
  bool StoreLane(Warp& warp, const Instruction& instruction, int lane, uint64_t offset, int bytes);
  void CheckLoad(Warp& warp, const Instruction& instruction, int lane, uint32_t granule);
  bool CheckStore(Warp& warp, const Instruction& instruction, int lane, uint32_t granule);
  void CheckReaders(Warp& warp, const Instruction& instruction, int lane, uint32_t granule);

  int shift_ = 2;
  std::vector<Stamp> writers_;
  std::vector<Readers> readers_;
};

}  // namespace ptxemu
