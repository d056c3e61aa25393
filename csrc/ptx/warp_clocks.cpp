// Vector clocks of the warps of a block: see hazards.h.
#include <algorithm>
#include <cstring>

#include "hazards.h"

namespace ptxemu {

void WarpClocks::Start(int warps) {
  warps_ = warps;
  known_.assign(kWarps * kWarps, 0);
  std::memset(arrived_, 0, sizeof arrived_);
  std::memset(exited_, 0, sizeof exited_);
  for (int warp = 0; warp < warps; ++warp) {
    others_[warp] = warps == 1 ? kLastTime : 0;
    SetTime(warp, 1);
  }
}

void WarpClocks::SetTime(int warp, uint32_t time) {
  times_[warp] = time;
  known_[warp * kWarps + warp] = time - 1;
  floors_[warp] = (std::min(others_[warp], time - 1) + 1) << kClockShift;
}

bool WarpClocks::SetBackIfLate() {
  if (*std::max_element(times_, times_ + warps_) < kLastTime) return false;
  Start(warps_);
  return true;
}

bool WarpClocks::SyncLanes(int warp) {
  SetTime(warp, times_[warp] + 1);
  return times_[warp] >= kLastTime && SetBackIfLate();
}

// What a warp knows when it arrives is passed on when the barrier opens. What it does afterwards is
// later than that.
void WarpClocks::Arrive(int barrier, int warp) {
  uint32_t* passed_on = arrived_[barrier];
  const uint32_t* known = Known(warp);
  for (int i = 0; i < warps_; ++i) passed_on[i] = std::max(passed_on[i], known[i]);
  passed_on[warp] = std::max(passed_on[warp], times_[warp]);
  SetTime(warp, times_[warp] + 1);
}

bool WarpClocks::Release(int barrier, uint32_t waiting_warps) {
  uint32_t* passed_on = arrived_[barrier];
  uint32_t latest = 0;
  for (int i = 0; i < warps_; ++i) {
    passed_on[i] = std::max(passed_on[i], exited_[i]);
    if (waiting_warps >> i & 1) latest = std::max(latest, times_[i]);
    latest = std::max(latest, passed_on[i]);
  }
  for (int warp = 0; warp < warps_; ++warp) {
    if (!(waiting_warps >> warp & 1)) continue;
    uint32_t* known = &known_[warp * kWarps];
    others_[warp] = kLastTime;
    for (int i = 0; i < warps_; ++i) {
      known[i] = std::max(known[i], passed_on[i]);
      if (i != warp) others_[warp] = std::min(others_[warp], known[i]);
    }
    // Clocks that agree after a barrier make Floor() tell as much as the whole row of known_.
    SetTime(warp, latest + 1);
  }
  std::fill(passed_on, passed_on + warps_, 0);
  return SetBackIfLate();
}

// Threads that have exited count as arrived at every later barrier.
void WarpClocks::Exit(int warp) {
  const uint32_t* known = Known(warp);
  for (int i = 0; i < warps_; ++i) exited_[i] = std::max(exited_[i], known[i]);
  exited_[warp] = kLastTime;
}

}  // namespace ptxemu
