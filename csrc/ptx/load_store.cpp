// ld and st in every state space, as scalars and vectors.
#include <type_traits>

#include "decoder.h"
#include "launch.h"
#include "memory.h"
#include "text.h"

namespace ptxemu {
namespace {

constexpr uint16_t kStoreFlag = 1;

uint64_t SignExtend(uint64_t value, int bytes) {
  const int unused = 64 - 8 * bytes;
  return static_cast<uint64_t>(static_cast<int64_t>(value << unused) >> unused);
}

// Registers as wide as the elements in memory: the usual case.
template <class T, int kElements>
void CopyElements(Warp& warp, const Instruction& instruction, uint32_t mask, uint8_t* const* memory,
                  bool store) {
  T unused[kLanes];
  T* registers[kElements];
  for (int k = 0; k < kElements; ++k) {
    const int slot = instruction.operands[k];
    registers[k] = slot == kNoSlot ? unused : Register<T>(warp, slot);
  }
  if (store) {
    ForEachLaneInOrder(mask, [&](int lane) {
      for (int k = 0; k < kElements; ++k) {
        std::memcpy(memory[lane] + k * sizeof(T), &registers[k][lane], sizeof(T));
      }
    });
  } else {
    ForEachLane(mask, [&](int lane) {
      for (int k = 0; k < kElements; ++k) {
        std::memcpy(&registers[k][lane], memory[lane] + k * sizeof(T), sizeof(T));
      }
    });
  }
}

// Any sizes: narrow elements in wide registers.
void CopyAnyElements(Warp& warp, const Instruction& instruction, uint32_t mask,
                     uint8_t* const* memory, bool store) {
  const int bytes = instruction.element_size;
  ForEachLaneInOrder(mask, [&](int lane) {
    for (int k = 0; k < instruction.elements; ++k) {
      const int slot = instruction.operands[k];
      uint8_t* at = memory[lane] + k * bytes;
      if (store) {
        const uint64_t value = ReadLane(warp, slot, instruction.register_size, lane);
        std::memcpy(at, &value, bytes);
      } else if (slot != kNoSlot) {
        const uint64_t value = LoadBytes(at, bytes);
        WriteLane(warp, slot, instruction.register_size, lane,
                  instruction.sign_extend ? SignExtend(value, bytes) : value);
      }
    }
  });
}

void Copy(Warp& warp, const Instruction& instruction, uint32_t mask, uint8_t* const* memory,
          bool store) {
  if (instruction.element_size == instruction.register_size) {
    switch (instruction.element_size * 10 + instruction.elements) {
      case 21:
        return CopyElements<uint16_t, 1>(warp, instruction, mask, memory, store);
      case 22:
        return CopyElements<uint16_t, 2>(warp, instruction, mask, memory, store);
      case 24:
        return CopyElements<uint16_t, 4>(warp, instruction, mask, memory, store);
      case 41:
        return CopyElements<uint32_t, 1>(warp, instruction, mask, memory, store);
      case 42:
        return CopyElements<uint32_t, 2>(warp, instruction, mask, memory, store);
      case 44:
        return CopyElements<uint32_t, 4>(warp, instruction, mask, memory, store);
      case 81:
        return CopyElements<uint64_t, 1>(warp, instruction, mask, memory, store);
      case 82:
        return CopyElements<uint64_t, 2>(warp, instruction, mask, memory, store);
    }
  }
  CopyAnyElements(warp, instruction, mask, memory, store);
}

// Stores of lanes that write the same place, one after the other: a race unless the values agree.
void StoreOverlapping(Warp& warp, const Instruction& instruction, uint32_t mask, uint32_t suspects,
                      uint8_t* const* memory, bool shared) {
  const int bytes = instruction.element_size * instruction.elements;
  ForEachLaneInOrder(mask, [&](int lane) {
    uint8_t before[32];
    std::memcpy(before, memory[lane], bytes);
    CopyAnyElements(warp, instruction, 1u << lane, memory, true);
    if ((suspects >> lane & 1) && std::memcmp(before, memory[lane], bytes) != 0) {
      const std::string where =
          shared
              ? Format("shared byte %lld", (long long)(memory[lane] - warp.block->shared))
              : "the same global address" +
                    warp.block->launch->memory.Describe(reinterpret_cast<uint64_t>(memory[lane]));
      warp.block->hazards.Report(
          &HazardReport::warp_races,
          "write-write hazard: lanes of one warp write different values to " + where, warp,
          instruction, lane);
    }
  });
}

void Finish(Warp& warp, const Instruction& instruction, uint32_t mask, uint32_t suspects,
            uint8_t* const* memory, bool store, bool shared) {
  if (suspects) return StoreOverlapping(warp, instruction, mask, suspects, memory, shared);
  Copy(warp, instruction, mask, memory, store);
}

// ---- one handler per state space

template <bool kStore>
void AccessGlobalSpace(Warp& warp, const Instruction& instruction, uint32_t mask) {
  alignas(64) uint64_t addresses[kLanes];
  EffectiveAddresses(warp, instruction, addresses);
  const uint32_t suspects = AccessGlobal(warp, instruction, mask, addresses,
                                         instruction.element_size * instruction.elements,
                                         kStore ? Access::kStore : Access::kLoad);
  Finish(warp, instruction, mask, suspects, reinterpret_cast<uint8_t* const*>(addresses), kStore,
         false);
}

template <bool kStore>
void AccessSharedSpace(Warp& warp, const Instruction& instruction, uint32_t mask) {
  alignas(64) uint64_t offsets[kLanes];
  alignas(64) uint8_t* memory[kLanes];
  EffectiveAddresses(warp, instruction, offsets);
  ForEachLane(mask, [&](int lane) {  // a generic address may be used as a shared one
    if (InWindow(offsets[lane], kSharedWindow)) offsets[lane] -= kSharedWindow;
  });
  const uint32_t suspects = AccessShared(warp, instruction, mask, offsets,
                                         instruction.element_size * instruction.elements,
                                         kStore ? Access::kStore : Access::kLoad);
  for (int lane = 0; lane < kLanes; ++lane) memory[lane] = warp.block->shared + offsets[lane];
  Finish(warp, instruction, mask, suspects, memory, kStore, true);
}

template <bool kStore>
void AccessLocalSpace(Warp& warp, const Instruction& instruction, uint32_t mask) {
  alignas(64) uint64_t offsets[kLanes];
  uint8_t* memory[kLanes] = {};
  EffectiveAddresses(warp, instruction, offsets);
  const int bytes = instruction.element_size * instruction.elements;
  ForEachLaneInOrder(mask, [&](int lane) {
    const uint64_t offset =
        InWindow(offsets[lane], kLocalWindow) ? offsets[lane] - kLocalWindow : offsets[lane];
    memory[lane] = AccessLocal(warp, instruction, lane, offset, bytes, kStore);
  });
  Counters& counters = warp.block->counters[instruction.id];
  counters.requests += 1;
  counters.ideal += static_cast<uint64_t>(bytes) * CountLanes(mask);
  CopyAnyElements(warp, instruction, mask, memory, kStore);
}

const uint8_t* ParameterBytes(Warp& warp, const Instruction& instruction, int lane, uint64_t offset,
                              int bytes) {
  const uint32_t size = warp.block->kernel->parameter_bytes;
  if (offset >= size || offset + bytes > size) {
    throw Error(Format("out-of-bounds read of kernel parameters at offset %lld of %u bytes: ",
                       (long long)offset, size) +
                Where(warp, instruction, lane));
  }
  return warp.block->parameters + offset;
}

// Lanes of a generic access may be in different spaces; each part is checked as its own.
template <bool kStore>
void AccessGenericSpace(Warp& warp, const Instruction& instruction, uint32_t mask) {
  alignas(64) uint64_t addresses[kLanes];
  EffectiveAddresses(warp, instruction, addresses);
  uint32_t global = 0, shared = 0, suspects = 0;
  uint8_t* memory[kLanes];
  uint64_t offsets[kLanes];
  const int bytes = instruction.element_size * instruction.elements;
  ForEachLaneInOrder(mask, [&](int lane) {
    const uint64_t address = addresses[lane];
    memory[lane] = reinterpret_cast<uint8_t*>(address);
    offsets[lane] = address & ~kWindowMask;
    if (InWindow(address, kSharedWindow)) {
      shared |= 1u << lane;
    } else if (InWindow(address, kLocalWindow)) {
      memory[lane] = AccessLocal(warp, instruction, lane, offsets[lane], bytes, kStore);
    } else if (InWindow(address, kParamWindow) && !kStore) {
      memory[lane] =
          const_cast<uint8_t*>(ParameterBytes(warp, instruction, lane, offsets[lane], bytes));
    } else {
      global |= 1u << lane;
    }
  });
  const Access access = kStore ? Access::kStore : Access::kLoad;
  if (global) suspects |= AccessGlobal(warp, instruction, global, addresses, bytes, access);
  if (shared) {
    suspects |= AccessShared(warp, instruction, shared, offsets, bytes, access);
    ForEachLaneInOrder(shared,
                       [&](int lane) { memory[lane] = warp.block->shared + offsets[lane]; });
  }
  Finish(warp, instruction, mask, suspects, memory, kStore, shared != 0);
}

void LoadConstant(Warp& warp, const Instruction& instruction, uint32_t mask) {
  alignas(64) uint64_t addresses[kLanes];
  EffectiveAddresses(warp, instruction, addresses);
  CheckConstant(warp, instruction, mask, addresses,
                instruction.element_size * instruction.elements);
  Copy(warp, instruction, mask, reinterpret_cast<uint8_t* const*>(addresses), false);
}

template <class T>
void Broadcast(Warp& warp, int slot, uint32_t mask, T value) {
  T* to = Register<T>(warp, slot);
  ForEachLane(mask, [&](int lane) { to[lane] = value; });
}

// Kernel parameters at an offset that all lanes share, or computed.
void LoadParameter(Warp& warp, const Instruction& instruction, uint32_t mask) {
  const int bytes = instruction.element_size;
  if (instruction.address != kNoSlot) {
    alignas(64) uint64_t offsets[kLanes];
    uint8_t* memory[kLanes];
    EffectiveAddresses(warp, instruction, offsets);
    ForEachLaneInOrder(mask, [&](int lane) {
      const uint64_t offset = offsets[lane] & ~kWindowMask;
      memory[lane] = const_cast<uint8_t*>(
          ParameterBytes(warp, instruction, lane, offset, bytes * instruction.elements));
    });
    return CopyAnyElements(warp, instruction, mask, memory, false);
  }
  const uint8_t* from =
      ParameterBytes(warp, instruction, FirstLane(mask),
                     static_cast<uint64_t>(instruction.immediate), bytes * instruction.elements);
  for (int k = 0; k < instruction.elements; ++k) {
    if (instruction.operands[k] == kNoSlot) continue;
    uint64_t value = LoadBytes(from + k * bytes, bytes);
    if (instruction.sign_extend) value = SignExtend(value, bytes);
    switch (instruction.register_size) {
      case 2:
        Broadcast(warp, instruction.operands[k], mask, static_cast<uint16_t>(value));
        break;
      case 4:
        Broadcast(warp, instruction.operands[k], mask, static_cast<uint32_t>(value));
        break;
      default:
        Broadcast(warp, instruction.operands[k], mask, value);
    }
  }
}

Space SpaceOf(const Decoder& d) {
  if (d.Has("global")) return Space::kGlobal;
  if (d.Has("shared") || d.Has("shared::cta")) return Space::kShared;
  if (d.Has("local")) return Space::kLocal;
  if (d.Has("param") || d.Has("param::entry") || d.Has("param::func")) return Space::kParam;
  if (d.Has("const")) return Space::kConst;
  return Space::kGeneric;
}

Category CategoryOf(Space space, bool store) {
  switch (space) {
    case Space::kParam:
    case Space::kConst:
      return Category::kConstant;
    case Space::kShared:
      return store ? Category::kStoreShared : Category::kLoadShared;
    case Space::kLocal:
      return store ? Category::kStoreLocal : Category::kLoadLocal;
    default:
      return store ? Category::kStoreGlobal : Category::kLoadGlobal;
  }
}

template <bool kStore>
Handler HandlerOf(Space space) {
  switch (space) {
    case Space::kGlobal:
      return AccessGlobalSpace<kStore>;
    case Space::kShared:
      return AccessSharedSpace<kStore>;
    case Space::kLocal:
      return AccessLocalSpace<kStore>;
    case Space::kGeneric:
      return AccessGenericSpace<kStore>;
    case Space::kParam:
      return kStore ? nullptr : LoadParameter;
    default:
      return kStore ? nullptr : LoadConstant;
  }
}

}  // namespace

void NoteSharedAccess(Decoder& d, Space space, int bytes) {
  if (space != Space::kShared && space != Space::kGeneric) return;
  int& shift = d.builder().kernel().shared_granule_shift;
  while ((1 << shift) > bytes) --shift;
}

// ld{.weak|.volatile|.relaxed|.acquire}{.space}{.cache}{.nc}{.vec}.type d, [a]; st likewise.
void DecodeLoadStore(Decoder& d) {
  const bool store = d.base() == "st";
  const Operand& value = d.operand(store ? 1 : 0);
  const Operand& address = d.operand(store ? 0 : 1);
  if (d.type() == Type::kNone || d.Has("b128") || d.Has("shared::cluster")) {
    return d.Unsupported();
  }
  Instruction& out = d.out;
  Space space = SpaceOf(d);
  // Parameters of device functions and of calls lie in local memory.
  if (space == Space::kParam &&
      (store || (!d.FindParameter(address.name) && !d.FindRegister(address.name)))) {
    space = Space::kLocal;
  }
  out.space = space;
  out.category = CategoryOf(space, store);
  out.strong = d.Has("volatile") || d.Has("relaxed") || d.Has("acquire") || d.Has("release") ||
               d.Has("mmio");
  out.flags = store ? kStoreFlag : 0;
  out.element_size = static_cast<uint8_t>(SizeOf(d.type()));
  out.sign_extend = !store && IsSigned(d.type());

  const std::vector<Operand> elements = d.Elements(value);
  int lanes = d.Has("v2") ? 2 : d.Has("v4") ? 4 : d.Has("v8") ? 8 : 1;
  if (elements.size() != static_cast<size_t>(lanes) || lanes * out.element_size > 32) {
    throw Error("PTX line " + std::to_string(d.statement().ptx_line) +
                ": wrong number of elements in " + d.info.text);
  }
  if (lanes * out.element_size > 16) d.RequireArch(100);
  out.elements = static_cast<uint8_t>(lanes);
  out.register_size = static_cast<uint8_t>(d.size());
  for (const Operand& element : elements) {
    if (const int bytes = d.RegisterBytes(element)) out.register_size = static_cast<uint8_t>(bytes);
  }
  if (out.register_size < out.element_size) {
    throw Error("PTX line " + std::to_string(d.statement().ptx_line) +
                ": too narrow a register in " + d.info.text);
  }
  for (int k = 0; k < lanes; ++k) {
    out.operands[k] = store ? d.Source(elements[k], out.register_size)
                      : elements[k].kind == Operand::kSink
                          ? kNoSlot
                          : d.Destination(elements[k], out.register_size);
  }
  d.Address(address, space);
  NoteSharedAccess(d, space, lanes * out.element_size);
  out.execute = store ? HandlerOf<true>(space) : HandlerOf<false>(space);
}

}  // namespace ptxemu
