// Exchange between the lanes of a warp: shfl, vote, match, redux, activemask, elect. Lanes wait for
// each other here, but their accesses to memory are not ordered by it: only barriers do that.
#include "atomics.h"
#include "decoder.h"
#include "memory.h"
#include "text.h"

namespace ptxemu {
namespace {

// Lanes that the member mask names must all be here: a GPU would wait for them, and they have taken
// another branch.
void RequireMembers(Warp& warp, const Instruction& instruction, uint32_t mask, int slot) {
  const uint32_t members = Register<uint32_t>(warp, slot)[FirstLane(mask)];
  const int lane = FirstLane(mask);
  const std::string& opcode = warp.block->kernel->info[instruction.id].opcode;
  if (members & warp.Alive() & ~mask) {
    throw Error(Format("%s names lanes %#x but only lanes %#x are converged: ", opcode.c_str(),
                       members, mask) +
                Where(warp, instruction, lane));
  }
  if (mask & ~members) {
    throw Error(Format("%s is executed by lanes %#x that its member mask %#x leaves out: ",
                       opcode.c_str(), mask, members) +
                Where(warp, instruction, lane));
  }
}

enum ShuffleMode : uint8_t { kUp, kDown, kButterfly, kIndexed };

// Operands: d, a, b, c, p, members. c: the last lane (bits 0-4) and the segment mask (bits 8-12).
void Shuffle(Warp& warp, const Instruction& instruction, uint32_t mask) {
  RequireMembers(warp, instruction, mask, instruction.operands[5]);
  const uint32_t* a = Arg<uint32_t>(warp, instruction, 1);
  const uint32_t* b = Arg<uint32_t>(warp, instruction, 2);
  const uint32_t* c = Arg<uint32_t>(warp, instruction, 3);
  uint32_t value[kLanes], in_range[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    const int clamp = c[lane] & 31, segment = c[lane] >> 8 & 31, step = b[lane] & 31;
    const int last = (lane & segment) | (clamp & ~segment), first = lane & segment;
    int from;
    bool ok;
    switch (instruction.variant) {
      case kUp:
        from = lane - step;
        ok = from >= last;
        break;
      case kDown:
        from = lane + step;
        ok = from <= last;
        break;
      case kButterfly:
        from = lane ^ step;
        ok = from <= last;
        break;
      default:
        from = first | (step & ~segment);
        ok = from <= last;
    }
    value[lane] = a[ok ? from & 31 : lane];
    in_range[lane] = ok ? kTrue : 0;
  }
  uint32_t* d = Arg<uint32_t>(warp, instruction, 0);
  ForEachLane(mask, [&](int l) { d[l] = value[l]; });
  if (instruction.operands[4] != kNoSlot) {
    uint32_t* p = Arg<uint32_t>(warp, instruction, 4);
    ForEachLane(mask, [&](int l) { p[l] = in_range[l]; });
  }
}

enum VoteMode : uint8_t { kAll, kAny, kUniform, kBallot };

void Vote(Warp& warp, const Instruction& instruction, uint32_t mask) {
  RequireMembers(warp, instruction, mask, instruction.operands[2]);
  uint32_t votes = PredicateMask(Arg<uint32_t>(warp, instruction, 1));
  votes = (instruction.negate ? ~votes : votes) & mask;
  uint32_t result;
  switch (instruction.variant) {
    case kAll:
      result = votes == mask ? kTrue : 0;
      break;
    case kAny:
      result = votes ? kTrue : 0;
      break;
    case kUniform:
      result = votes == 0 || votes == mask ? kTrue : 0;
      break;
    default:
      result = votes;
  }
  uint32_t* d = Arg<uint32_t>(warp, instruction, 0);
  ForEachLane(mask, [=](int l) { d[l] = result; });
}

// match.any: the lanes that hold the same value. match.all: all members, if they all do.
void Match(Warp& warp, const Instruction& instruction, uint32_t mask) {
  RequireMembers(warp, instruction, mask, instruction.operands[2]);
  const int size = instruction.register_size, slot = instruction.operands[1];
  uint32_t same[kLanes] = {};
  ForEachLaneInOrder(mask, [&](int l) {
    const uint64_t value = ReadLane(warp, slot, size, l);
    ForEachLaneInOrder(mask, [&](int other) {
      if (ReadLane(warp, slot, size, other) == value) same[l] |= 1u << other;
    });
  });
  uint32_t* d = Arg<uint32_t>(warp, instruction, 0);
  const bool all = same[FirstLane(mask)] == mask;
  ForEachLaneInOrder(mask, [&](int l) {
    d[l] = instruction.variant == kAny ? same[l] : all ? mask : 0;
    if (instruction.operands[4] != kNoSlot) {
      Arg<uint32_t>(warp, instruction, 4)[l] = all ? kTrue : 0;
    }
  });
}

void Reduce(Warp& warp, const Instruction& instruction, uint32_t mask) {
  RequireMembers(warp, instruction, mask, instruction.operands[2]);
  const uint32_t* a = Arg<uint32_t>(warp, instruction, 1);
  uint64_t result = a[FirstLane(mask)];
  ForEachLaneInOrder(mask & (mask - 1), [&](int l) {
    result = ApplyAtomic(static_cast<AtomicOperation>(instruction.variant), instruction.type,
                         result, a[l], 0);
  });
  uint32_t* d = Arg<uint32_t>(warp, instruction, 0);
  ForEachLane(mask, [=](int l) { d[l] = static_cast<uint32_t>(result); });
}

void ActiveMask(Warp& warp, const Instruction& instruction, uint32_t mask) {
  uint32_t* d = Arg<uint32_t>(warp, instruction, 0);
  ForEachLane(mask, [=](int l) { d[l] = mask; });
}

// The second destination of "d|p".
void DecodeSecond(Decoder& d) {
  const std::string& name = d.operand(0).second_name;
  if (!name.empty()) d.out.operands[4] = d.PredicateDestination(name);
}

}  // namespace

void DecodeShuffle(Decoder& d) {
  static const std::unordered_map<std::string, int> kModes = {
      {"up", kUp}, {"down", kDown}, {"bfly", kButterfly}, {"idx", kIndexed}};
  d.out.category = Category::kShuffle;
  const int mode = d.Lookup(kModes, -1);
  if (mode < 0 || !d.Has("sync")) return d.Unsupported();
  d.out.variant = static_cast<uint8_t>(mode);
  d.out.operands[0] = d.Destination(0, 4);
  for (int i = 1; i < 4; ++i) d.out.operands[i] = d.Source(i, 4);
  DecodeSecond(d);
  d.out.operands[5] = d.Source(4, 4);
  d.out.execute = Shuffle;
}

void DecodeVote(Decoder& d) {
  static const std::unordered_map<std::string, int> kModes = {
      {"all", kAll}, {"any", kAny}, {"uni", kUniform}, {"ballot", kBallot}};
  Instruction& out = d.out;
  out.category = Category::kShuffle;
  if (d.base() == "activemask") {
    out.operands[0] = d.Destination(0, 4);
    out.execute = ActiveMask;
    return;
  }
  const int mode = d.Lookup(kModes, -1);
  if (mode < 0 || !d.Has("sync")) return d.Unsupported();
  out.variant = static_cast<uint8_t>(mode);
  out.operands[0] = mode == kBallot ? d.Destination(0, 4) : d.Predicate(d.operand(0));
  out.operands[1] = d.Predicate(d.operand(1));
  out.negate = d.operand(1).negated;
  out.operands[2] = d.Source(2, 4);
  out.execute = Vote;
}

void DecodeMatch(Decoder& d) {
  Instruction& out = d.out;
  out.category = Category::kShuffle;
  if (!d.Has("any") && !d.Has("all")) return d.Unsupported();
  out.variant = d.Has("any") ? kAny : kAll;
  out.register_size = static_cast<uint8_t>(d.size());
  out.operands[0] = d.Destination(0, 4);
  DecodeSecond(d);
  out.operands[1] = d.Source(1, d.size());
  out.operands[2] = d.Source(2, 4);
  out.execute = Match;
}

void DecodeReduce(Decoder& d) {
  Instruction& out = d.out;
  out.category = Category::kShuffle;
  const int operation = FindAtomicOperation(d);
  if (operation < 0 || operation > kAtomicXor || IsFloat(d.type())) return d.Unsupported();
  out.variant = static_cast<uint8_t>(operation);
  out.type = d.type();
  out.operands[0] = d.Destination(0, 4);
  out.operands[1] = d.Source(1, 4);
  out.operands[2] = d.Source(2, 4);
  out.execute = Reduce;
}

}  // namespace ptxemu
