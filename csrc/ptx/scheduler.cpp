// A warp runs until it waits at a barrier, ends, or has had its turn. Lanes that branches separate
// run one side after the other and meet at the immediate post-dominator.
#include "scheduler.h"

#include <map>

#include "async_copy.h"
#include "lanes.h"
#include "launch.h"
#include "memory.h"
#include "text.h"

namespace ptxemu {
namespace {

constexpr uint64_t kTurn = 1 << 20;  // instructions, so that warps may spin on one another

// Goes on with the lanes that were set aside last; false when none are left.
bool Pop(Warp& warp) {
  while (!warp.stack.empty()) {
    const Pending pending = warp.stack.back();
    warp.stack.pop_back();
    const uint32_t mask = pending.mask & ~warp.exited;
    if (!mask) continue;
    warp.pc = pending.pc;
    warp.reconverge = pending.reconverge;
    warp.mask = mask;
    return true;
  }
  return false;
}

void End(Warp& warp) {
  CompleteAsyncCopies(warp);
  warp.block->shared_hazards.clocks.Exit(warp.id);
  warp.done = true;
}

// Lanes in `taken` jump. Returns false when no lane is left to run.
bool Branch(Warp& warp, const Instruction& branch, uint32_t taken, Counters& counters) {
  const uint32_t staying = branch.guard == kNoSlot ? 0 : warp.mask & ~taken;
  if (!taken) {
    ++warp.pc;
    return true;
  }
  if (!staying) {
    warp.pc = branch.target;
    return true;
  }
  ++warp.block->divergent_branches;
  ++counters.transactions;
  const int meet = branch.reconverge, next = warp.pc + 1;
  if (meet != warp.reconverge) warp.stack.push_back({meet, warp.reconverge, warp.mask});
  if (next != meet) warp.stack.push_back({next, meet, staying});
  warp.pc = branch.target;
  warp.reconverge = meet;
  warp.mask = taken;
  return branch.target != meet || Pop(warp);
}

void IndexedBranch(Warp& warp, const Instruction& branch, uint32_t mask) {
  const uint32_t* index = Arg<uint32_t>(warp, branch, 0);
  std::map<int, uint32_t> groups;  // lanes by target
  ForEachLaneInOrder(mask, [&](int lane) {
    if (index[lane] >= branch.targets->size()) {
      throw Error("brx.idx index out of range: " + Where(warp, branch, lane));
    }
    groups[(*branch.targets)[index[lane]]] |= 1u << lane;
  });
  const uint32_t staying = warp.mask & ~mask;
  if (staying) groups[warp.pc + 1] |= staying;
  if (groups.size() > 1) {
    ++warp.block->divergent_branches;
    const int meet = branch.reconverge;
    if (meet != warp.reconverge) warp.stack.push_back({meet, warp.reconverge, warp.mask});
    for (auto group = std::next(groups.begin()); group != groups.end(); ++group) {
      warp.stack.push_back({group->first, meet, group->second});
    }
    warp.reconverge = meet;
  }
  warp.pc = groups.begin()->first;
  warp.mask = groups.begin()->second;
}

// Copies between parameters of the caller and the callee, byte by byte and lane by lane.
void CopyParameters(Warp& warp, const std::vector<CallSite::Copy>& copies, uint32_t mask) {
  for (const CallSite::Copy& copy : copies) {
    ForEachLaneInOrder(mask, [&](int lane) {
      const size_t base = static_cast<size_t>(lane) * warp.local_bytes;
      std::memcpy(warp.local + base + copy.to, warp.local + base + copy.from, copy.bytes);
      std::memcpy(warp.local_written + base + copy.to, warp.local_written + base + copy.from,
                  copy.bytes);
    });
  }
}

void Call(Warp& warp, const Instruction& call, uint32_t mask) {
  CopyParameters(warp, call.call->arguments, mask);
  warp.stack.push_back({warp.pc + 1, warp.reconverge, warp.mask});
  warp.pc = call.target;
  warp.reconverge = -1;
  warp.mask = mask;
}

// All lanes of the call have met at the end of the function: the stack's top is the caller.
bool Return(Warp& warp) {
  const uint32_t mask = warp.mask;
  if (!Pop(warp)) return false;
  CopyParameters(warp, warp.block->kernel->code[warp.pc - 1].call->results, mask);
  return true;
}

// Runs a warp until it waits or ends, or its turn is over.
void RunWarp(Warp& warp) {
  const Kernel& kernel = *warp.block->kernel;
  const Instruction* code = kernel.code.data();
  Counters* all_counters = warp.block->counters.data();
  const uint64_t end_of_turn = warp.instructions + kTurn;
  for (;;) {
    while (warp.pc == warp.reconverge) {
      if (!Pop(warp)) return End(warp);
    }
    const Instruction& instruction = code[warp.pc];
    uint32_t mask = warp.mask;
    if (instruction.guard != kNoSlot) {
      const uint32_t guard = PredicateMask(Register<uint32_t>(warp, instruction.guard));
      mask &= instruction.guard_negated ? ~guard : guard;
    }
    Counters& counters = all_counters[warp.pc];
    ++counters.executions;
    counters.lanes += mask == kAllLanes ? kLanes : CountLanes(mask);
    ++warp.instructions;
    if (instruction.kind == Kind::kPlain) {
      if (mask) instruction.execute(warp, instruction, mask);
      ++warp.pc;
      continue;
    }
    if (instruction.kind == Kind::kBranch) {
      if (!Branch(warp, instruction, mask, counters)) return End(warp);
      if (warp.instructions >= end_of_turn) return;
      continue;
    }
    if (!mask) {
      ++warp.pc;
      continue;
    }
    switch (instruction.kind) {
      case Kind::kIndexed:
        IndexedBranch(warp, instruction, mask);
        break;
      case Kind::kExit:
        warp.exited |= mask;
        warp.mask &= ~mask;
        if (warp.mask) {
          ++warp.pc;
        } else if (!Pop(warp)) {
          return End(warp);
        }
        break;
      case Kind::kCall:
        Call(warp, instruction, mask);
        break;
      case Kind::kReturn:
        if (!Return(warp)) return End(warp);
        break;
      case Kind::kBarrier:
        ++warp.pc;
        if (ArriveAtBarrier(warp, instruction, mask)) return;
        break;
      default:
        throw Error(kernel.info[instruction.id].fault + ": " +
                    Where(warp, instruction, FirstLane(mask)));
    }
  }
}

[[noreturn]] void FailDeadlock(const Block& block) {
  std::string waiting;
  const Warp* first = nullptr;
  for (const Warp& warp : block.warps) {
    if (warp.done || warp.waiting_at < 0) continue;
    if (!first) first = &warp;
    waiting +=
        Format("%swarp %d at barrier %d", waiting.empty() ? "" : ", ", warp.id, warp.waiting_at);
  }
  throw Error("deadlock: " + waiting + ", and no warp can go on: " +
              Where(*first, block.kernel->code[first->pc - 1], FirstLane(first->waiting_mask)));
}

}  // namespace

void RunBlock(Block& block, uint64_t limit) {
  uint64_t executed = 0;
  for (;;) {
    bool ran = false, all_done = true;
    for (Warp& warp : block.warps) {
      if (!warp.done && warp.waiting_at < 0) {
        const uint64_t before = warp.instructions;
        RunWarp(warp);
        executed += warp.instructions - before;
        ran = true;
      }
      all_done &= warp.done;
    }
    if (all_done) return;
    if (executed > limit) {
      const Warp* running = &block.warps[0];
      for (const Warp& warp : block.warps) {
        if (!warp.done) running = &warp;
      }
      throw Error(Format("a block has executed more than %llu warp instructions, is its loop "
                         "endless?: ",
                         (unsigned long long)limit) +
                  Where(*running, block.kernel->code[running->pc], 0));
    }
    if (!ReleaseBarriers(block) && !ran) FailDeadlock(block);
  }
}

}  // namespace ptxemu
