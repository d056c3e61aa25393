// The sixteen barriers of a block: bar.sync, bar.arrive and bar.red.
#include "lanes.h"
#include "scheduler.h"
#include "text.h"

namespace ptxemu {
namespace {

// What bar.red hands to every thread: how many, all or any of the predicates of the waiting lanes.
void Reduce(Block& block, int barrier) {
  uint32_t lanes = 0, votes = 0;
  for (Warp& warp : block.warps) {
    if (warp.done || warp.waiting_at != barrier) continue;
    const Instruction& instruction = block.kernel->code[warp.pc - 1];
    if (instruction.variant < kBarrierPopcount) return;
    const uint32_t predicate = PredicateMask(Arg<uint32_t>(warp, instruction, 3));
    const uint32_t mask = warp.waiting_mask;
    lanes += CountLanes(mask);
    votes += CountLanes((instruction.negate ? ~predicate : predicate) & mask);
  }
  for (Warp& warp : block.warps) {
    if (warp.done || warp.waiting_at != barrier) continue;
    const Instruction& instruction = block.kernel->code[warp.pc - 1];
    if (instruction.operands[0] == kNoSlot) continue;
    const bool holds = instruction.variant == kBarrierAnd ? votes == lanes : votes != 0;
    const uint32_t result = instruction.variant == kBarrierPopcount ? votes : holds ? kTrue : 0;
    uint32_t* d = Arg<uint32_t>(warp, instruction, 0);
    ForEachLane(warp.waiting_mask, [=](int l) { d[l] = result; });
  }
}

}  // namespace

bool ArriveAtBarrier(Warp& warp, const Instruction& instruction, uint32_t mask) {
  Block& block = *warp.block;
  const int lane = FirstLane(mask);
  const uint32_t id = Arg<uint32_t>(warp, instruction, 1)[lane];
  const uint32_t threads =
      instruction.operands[2] == kNoSlot ? 0 : Arg<uint32_t>(warp, instruction, 2)[lane];
  if (id > 15) throw Error("there are barriers 0 to 15: " + Where(warp, instruction, lane));
  if (threads % 32 || threads > 1024) {
    throw Error("a barrier's number of threads must be a multiple of 32: " +
                Where(warp, instruction, lane));
  }
  if (mask != warp.Alive()) {
    block.hazards.Report(
        &HazardReport::divergent_barriers,
        Format("barrier in divergent code, only lanes %#x of %#x arrive", mask, warp.Alive()), warp,
        instruction, lane);
  }
  Block::Barrier& barrier = block.barriers[id];
  barrier.threads = threads;
  block.shared_hazards.clocks.Arrive(static_cast<int>(id), warp.id);
  if (instruction.variant == kBarrierArrive) {
    ++barrier.arrived;
    return false;
  }
  warp.waiting_at = static_cast<int>(id);
  warp.waiting_mask = mask;
  return true;
}

bool ReleaseBarriers(Block& block) {
  int alive = 0, waiting[16] = {};
  uint32_t waiting_warps[16] = {};
  for (const Warp& warp : block.warps) {
    if (warp.done) continue;
    ++alive;
    if (warp.waiting_at < 0) continue;
    ++waiting[warp.waiting_at];
    waiting_warps[warp.waiting_at] |= 1u << warp.id;
  }
  bool released = false;
  for (int id = 0; id < 16; ++id) {
    Block::Barrier& barrier = block.barriers[id];
    const int needed = barrier.threads ? static_cast<int>(barrier.threads / 32) : alive;
    if (!waiting[id] || waiting[id] + barrier.arrived < needed) continue;
    Reduce(block, id);
    for (Warp& warp : block.warps) {
      if (!warp.done && warp.waiting_at == id) warp.waiting_at = -1;
    }
    barrier = {};
    if (block.shared_hazards.clocks.Release(id, waiting_warps[id])) block.shared_hazards.Forget();
    released = true;
  }
  return released;
}

}  // namespace ptxemu
