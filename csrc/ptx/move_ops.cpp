// mov (values, addresses, packing and unpacking, clocks), cvta, isspacep, createpolicy.
#include "decoder.h"
#include "lanes.h"
#include "machine.h"

namespace ptxemu {
namespace {

template <class T>
void Move(Warp& warp, const Instruction& instruction, uint32_t mask) {
  T* d = Arg<T>(warp, instruction, 0);
  const T* a = Arg<T>(warp, instruction, 1);
  ForEachLane(mask, [=](int l) { d[l] = a[l]; });
}

// Operands: destination, then `elements` sources of element_size bytes.
void Pack(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const int bits = 8 * instruction.element_size;
  ForEachLaneInOrder(mask, [&](int l) {
    uint64_t value = 0;
    for (int i = 0; i < instruction.elements; ++i) {
      value |= ReadLane(warp, instruction.operands[1 + i], instruction.element_size, l)
               << (bits * i);
    }
    WriteLane(warp, instruction.operands[0], instruction.register_size, l, value);
  });
}

// Operands: source, then `elements` destinations, kNoSlot where the value is not wanted.
void Unpack(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const int bits = 8 * instruction.element_size;
  ForEachLaneInOrder(mask, [&](int l) {
    const uint64_t value = ReadLane(warp, instruction.operands[0], instruction.register_size, l);
    for (int i = 0; i < instruction.elements; ++i) {
      const int slot = instruction.operands[1 + i];
      if (slot == kNoSlot) continue;
      WriteLane(warp, slot, instruction.element_size, l, value >> (bits * i));
    }
  });
}

// The two usual shapes, vectorised.
void PackPairOfHalves(Warp& warp, const Instruction& instruction, uint32_t mask) {
  uint32_t* d = Arg<uint32_t>(warp, instruction, 0);
  const uint16_t* low = Arg<uint16_t>(warp, instruction, 1);
  const uint16_t* high = Arg<uint16_t>(warp, instruction, 2);
  ForEachLane(mask, [=](int l) { d[l] = low[l] | static_cast<uint32_t>(high[l]) << 16; });
}
void UnpackPairOfHalves(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const uint32_t* a = Arg<uint32_t>(warp, instruction, 0);
  for (int i = 0; i < 2; ++i) {
    if (instruction.operands[1 + i] == kNoSlot) continue;
    uint16_t* d = Arg<uint16_t>(warp, instruction, 1 + i);
    ForEachLane(mask, [=](int l) { d[l] = static_cast<uint16_t>(a[l] >> (16 * i)); });
  }
}

// %clock and its relatives: the warp instructions that the warp has executed.
void ReadClock(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const uint64_t value = warp.instructions >> instruction.variant;
  ForEachLaneInOrder(mask, [&](int l) {
    WriteLane(warp, instruction.operands[0], instruction.register_size, l, value);
  });
}

void Offset(Warp& warp, const Instruction& instruction, uint32_t mask) {
  uint64_t* d = Arg<uint64_t>(warp, instruction, 0);
  const uint64_t* a = Arg<uint64_t>(warp, instruction, 1);
  const uint64_t offset = static_cast<uint64_t>(instruction.immediate);
  ForEachLane(mask, [=](int l) { d[l] = a[l] + offset; });
}

void IsInSpace(Warp& warp, const Instruction& instruction, uint32_t mask) {
  uint32_t* p = Arg<uint32_t>(warp, instruction, 0);
  const uint64_t* a = Arg<uint64_t>(warp, instruction, 1);
  const uint64_t window = static_cast<uint64_t>(instruction.immediate);
  ForEachLane(mask, [=](int l) { p[l] = (a[l] & kWindowMask) == window ? kTrue : 0; });
}

uint64_t WindowOf(const Decoder& d) {
  if (d.Has("shared") || d.Has("shared::cta")) return kSharedWindow;
  if (d.Has("local")) return kLocalWindow;
  if (d.Has("param") || d.Has("param::entry")) return kParamWindow;
  return 0;
}

bool IsClock(const std::string& name) {
  return name.compare(0, 6, "%clock") == 0 || name.compare(0, 12, "%globaltimer") == 0;
}

void DecodeVectorMove(Decoder& d) {
  Instruction& out = d.out;
  const bool unpacks = d.operand(0).kind == Operand::kVector;
  const std::vector<Operand> elements = d.Elements(d.operand(unpacks ? 0 : 1));
  const int size = d.size(), element = size / static_cast<int>(elements.size());
  if (element < 2 || element * static_cast<int>(elements.size()) != size) {
    return d.Unsupported("elements of 8 bits");
  }
  out.register_size = static_cast<uint8_t>(size);
  out.element_size = static_cast<uint8_t>(element);
  out.elements = static_cast<uint8_t>(elements.size());
  out.operands[0] = unpacks ? d.Source(1, size) : d.Destination(0, size);
  for (size_t i = 0; i < elements.size(); ++i) {
    out.operands[1 + i] = !unpacks ? d.Source(elements[i], element)
                          : elements[i].kind == Operand::kSink
                              ? kNoSlot
                              : d.Destination(elements[i], element);
  }
  const bool pair = size == 4 && element == 2;
  out.execute = unpacks ? (pair ? UnpackPairOfHalves : Unpack) : (pair ? PackPairOfHalves : Pack);
}

}  // namespace

void DecodeMove(Decoder& d) {
  Instruction& out = d.out;
  out.category = Category::kMove;
  if (d.type() == Type::kPred) return DecodePredicateLogic(d);
  if (d.type() == Type::kNone || d.Has("b128")) return d.Unsupported();
  if (d.operand(0).kind == Operand::kVector || d.operand(1).kind == Operand::kVector) {
    return DecodeVectorMove(d);
  }
  const int size = d.size();
  const Operand& from = d.operand(1);
  if (from.kind == Operand::kName && IsClock(from.name)) {
    out.operands[0] = d.Destination(0, size);
    out.register_size = static_cast<uint8_t>(size);
    out.variant = from.name.size() > 3 && from.name.substr(from.name.size() - 3) == "_hi" ? 32 : 0;
    out.execute = ReadClock;
    return;
  }
  if (from.kind == Operand::kName && d.builder().FindFunction(from.name)) {
    return d.Unsupported("address of a function");
  }
  d.Simple(1);
  out.execute = size == 2 ? Move<uint16_t> : size == 4 ? Move<uint32_t> : Move<uint64_t>;
}

// Generic addresses are the space's own, moved by its window.
void DecodeAddressSpace(Decoder& d) {
  Instruction& out = d.out;
  const std::string& base = d.base();
  out.category = Category::kInteger;
  if (d.Has("shared::cluster")) return d.Unsupported("clusters");
  if (base == "createpolicy") {  // cache policies change nothing
    out.operands[0] = d.Destination(0, 8);
    out.operands[1] = d.Constant(0, 8);
    out.execute = Move<uint64_t>;
  } else if (base == "isspacep") {
    out.operands[0] = d.Predicate(d.operand(0));
    out.operands[1] = d.Source(1, 8);
    out.immediate = static_cast<int64_t>(WindowOf(d));
    out.execute = IsInSpace;
  } else {
    out.operands[0] = d.Destination(0, 8);
    out.operands[1] = d.Source(1, 8);
    out.immediate = static_cast<int64_t>(d.Has("to") ? 0 - WindowOf(d) : WindowOf(d));
    out.execute = Offset;
  }
}

}  // namespace ptxemu
