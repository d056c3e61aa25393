// cp.async from global to shared memory: 4, 8 or 16 bytes per thread, in groups.
#include "async_copy.h"

#include <algorithm>

#include "decoder.h"
#include "memory.h"
#include "text.h"

namespace ptxemu {
namespace {

// Copies that read fewer bytes than they write may end at the end of a buffer: only the first and
// the last byte they read are checked.
void CheckPartial(Warp& warp, const Instruction& instruction, uint32_t mask, const uint64_t* source,
                  const uint8_t* bytes) {
  uint64_t last[kLanes] = {};
  uint64_t between = 0;
  ForEachLaneInOrder(mask, [&](int lane) {
    if (source[lane] & (instruction.element_size - 1)) {
      throw Error(Format("misaligned %d-byte global access at %#llx: ", instruction.element_size,
                         (unsigned long long)source[lane]) +
                  Where(warp, instruction, lane));
    }
    last[lane] = source[lane] + bytes[lane] - 1;
    between += bytes[lane] - 1;
  });
  AccessGlobal(warp, instruction, mask, source, 1, Access::kLoad);
  Counters& counters = warp.block->counters[instruction.id];
  const Counters counted = counters;
  AccessGlobal(warp, instruction, mask, last, 1, Access::kLoad);
  counters = counted;
  counters.ideal += between;
}

// Operands: destination, size of the source, predicate that ignores the source.
// second_immediate: offset of the destination; register_size: of its register.
void Issue(Warp& warp, const Instruction& instruction, uint32_t mask) {
  AsyncCopy copy;
  copy.instruction = instruction.id;
  copy.mask = mask;
  copy.bytes = instruction.element_size;
  alignas(64) uint64_t source[kLanes], destination[kLanes] = {};
  EffectiveAddresses(warp, instruction, source);
  uint32_t reads = 0, partial = 0;
  ForEachLaneInOrder(mask, [&](int lane) {
    const uint64_t to = ReadLane(warp, instruction.operands[0], instruction.register_size, lane) +
                        static_cast<uint64_t>(instruction.second_immediate);
    destination[lane] = InWindow(to, kSharedWindow) ? to - kSharedWindow : to;
    uint32_t bytes = instruction.element_size;
    if (instruction.operands[1] != kNoSlot) {
      bytes = std::min(bytes, Arg<uint32_t>(warp, instruction, 1)[lane]);
    }
    if (instruction.operands[2] != kNoSlot) {
      const bool ignored = (Arg<uint32_t>(warp, instruction, 2)[lane] != 0) != instruction.negate;
      if (ignored) bytes = 0;
    }
    copy.source[lane] = source[lane];
    copy.destination[lane] = static_cast<uint32_t>(destination[lane]);
    copy.source_bytes[lane] = static_cast<uint8_t>(bytes);
    if (bytes) reads |= 1u << lane;
    if (bytes && bytes < instruction.element_size) partial |= 1u << lane;
  });
  CheckSharedBounds(warp, instruction, mask, destination, instruction.element_size);
  const uint32_t whole = reads & ~partial;
  if (whole) {
    AccessGlobal(warp, instruction, whole, source, instruction.element_size, Access::kLoad);
  }
  if (partial) CheckPartial(warp, instruction, partial, source, copy.source_bytes);
  ForEachLaneInOrder(mask, [&](int lane) {
    warp.block->shared_hazards.IssueAsync(warp, instruction, lane, destination[lane],
                                          instruction.element_size);
  });
  warp.open_group.push_back(copy);
}

void Complete(Warp& warp, const AsyncCopy& copy) {
  ForEachLaneInOrder(copy.mask, [&](int lane) {
    uint8_t* to = warp.block->shared + copy.destination[lane];
    const int bytes = copy.source_bytes[lane];
    if (bytes) std::memcpy(to, reinterpret_cast<const void*>(copy.source[lane]), bytes);
    std::memset(to + bytes, 0, copy.bytes - bytes);
    warp.block->shared_hazards.CompleteAsync(warp, lane, copy.destination[lane], copy.bytes);
  });
}

void CompleteAll(Warp& warp, std::vector<AsyncCopy>& copies) {
  for (const AsyncCopy& copy : copies) Complete(warp, copy);
  copies.clear();
}

void Commit(Warp& warp, const Instruction&, uint32_t) {
  warp.groups.push_back(std::move(warp.open_group));
  warp.open_group.clear();
}

// Waits until at most `immediate` groups are under way.
void WaitGroup(Warp& warp, const Instruction& instruction, uint32_t) {
  while (static_cast<int64_t>(warp.groups.size()) > instruction.immediate) {
    CompleteAll(warp, warp.groups.front());
    warp.groups.erase(warp.groups.begin());
  }
}

void WaitAll(Warp& warp, const Instruction&, uint32_t) { CompleteAsyncCopies(warp); }

}  // namespace

void CompleteAsyncCopies(Warp& warp) {
  for (auto& group : warp.groups) CompleteAll(warp, group);
  warp.groups.clear();
  CompleteAll(warp, warp.open_group);
}

// cp.async.{ca|cg}.shared.global [dst], [src], cp-size{, src-size | ignore-src};
void DecodeAsyncCopy(Decoder& d) {
  Instruction& out = d.out;
  out.category = Category::kAsyncCopy;
  if (!d.Has("async") || d.Has("bulk") || d.Has("mbarrier") || d.Has("reduce")) {
    return d.Unsupported("bulk copies and mbarriers");
  }
  if (d.Has("commit_group")) {
    out.execute = Commit;
    return;
  }
  if (d.Has("wait_group")) {
    out.execute = WaitGroup;
    out.immediate = d.Immediate(0);
    return;
  }
  if (d.Has("wait_all")) {
    out.execute = WaitAll;
    return;
  }
  const int64_t bytes = d.Immediate(2);
  if (bytes != 4 && bytes != 8 && bytes != 16) return d.Unsupported("size of the copy");
  out.element_size = static_cast<uint8_t>(bytes);
  // The destination is an address as well: a register with an offset, or a variable.
  d.Address(d.operand(0), Space::kShared);
  out.second_immediate = out.immediate;
  out.register_size = out.address == kNoSlot || out.address_is_64bit ? 8 : 4;
  out.operands[0] = out.address == kNoSlot ? d.Constant(0, 8) : out.address;
  if (d.operand_count() > 3) {
    const Operand& last = d.operand(3);
    if (d.IsPredicate(last)) {
      out.operands[2] = d.Predicate(last);
      out.negate = last.negated;
    } else if (d.RegisterBytes(last) != 8) {  // 64 bits: a cache policy, which changes nothing
      out.operands[1] = d.Source(last, 4);
    }
  }
  d.Address(d.operand(1), Space::kGlobal);
  NoteSharedAccess(d, Space::kShared, out.element_size);
  out.execute = Issue;
}

}  // namespace ptxemu
