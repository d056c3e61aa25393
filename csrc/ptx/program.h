// Decoded programs: what the scheduler executes. Every name is resolved to a register slot, an
// immediate, an address or another instruction.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "source_places.h"
#include "types.h"

namespace ptxemu {

struct Warp;
struct Instruction;

// Executes an instruction for the lanes of a warp that are set in `mask` (never zero).
using Handler = void (*)(Warp& warp, const Instruction& instruction, uint32_t mask);

enum class Kind : uint8_t {
  kPlain,    // the handler does everything
  kBranch,   // bra
  kIndexed,  // brx.idx
  kExit,     // exit, and ret of a kernel
  kCall,     // call of a device function
  kReturn,   // end of a device function
  kBarrier,  // bar.sync, bar.red, bar.arrive
  kFault,    // cannot be executed: the reason is in InstructionInfo::fault
};

// Classes that instructions are counted in.
enum class Category : uint8_t {
  kInteger,
  kF32,
  kF64,
  kF16,
  kMma,
  kLoadGlobal,
  kStoreGlobal,
  kLoadShared,
  kStoreShared,
  kLoadLocal,
  kStoreLocal,
  kConstant,
  kAtomic,
  kSync,
  kBranch,
  kConvert,
  kMove,
  kSpecial,
  kLoadMatrix,
  kAsyncCopy,
  kShuffle,
  kPredicate,
  kOther,
  kCount,
};
const char* CategoryName(Category category);

constexpr int kMaxOperands = 20;  // mma.m8n8k4 with f32 accumulators: 8 + 2 + 2 + 8
constexpr int kNoSlot = -1;

struct CallSite;

// Instruction::variant of Kind::kBarrier. Operands: result, barrier, threads, predicate.
enum BarrierVariant : uint8_t {
  kBarrierSync,
  kBarrierArrive,
  kBarrierPopcount,
  kBarrierAnd,
  kBarrierOr,
};

struct Instruction {
  Handler execute = nullptr;
  Kind kind = Kind::kPlain;
  Category category = Category::kOther;
  bool guard_negated = false;
  bool address_is_64bit = true;
  bool sign_extend = false;  // of loads narrower than their register
  bool negate = false;       // the predicate operand
  bool strong = false;       // volatile, relaxed, acquire, release: no plain access
  Space space = Space::kGeneric;
  Type type = Type::kNone;
  uint8_t elements = 1;  // of a vector access
  uint8_t element_size = 4;
  uint8_t register_size = 4;
  uint8_t variant = 0;  // meaning differs per handler
  uint16_t flags = 0;   // meaning differs per handler
  int16_t loop_depth = 0;
  int guard = kNoSlot;    // slot of the predicate
  int address = kNoSlot;  // slot of the address register
  int64_t immediate = 0;  // offset of an address, or the handler's
  int64_t second_immediate = 0;
  int target = -1;                            // of a branch or call
  int reconverge = -1;                        // where lanes that this branch separates meet again
  int id = 0;                                 // index in Kernel::code
  int block = 0;                              // index in Kernel::blocks
  int flops = 0;                              // per lane; per warp for mma
  int operands[kMaxOperands];                 // slots: destinations first, then sources
  const std::vector<int>* targets = nullptr;  // of brx.idx
  const CallSite* call = nullptr;

  Instruction() {
    for (int& slot : operands) slot = kNoSlot;
  }
};

struct InstructionInfo {
  std::string opcode, text;
  int file = 0, line = 0;  // of the CUDA source; file 0: a line of the PTX text
  int inlined_at = -1;     // index in Program::places of the call that was inlined, or -1
  std::string fault;       // why it cannot be executed
};

// Copies between the caller's and the callee's .param variables, which lie in local memory.
struct CallSite {
  struct Copy {
    uint32_t from, to, bytes;
  };
  std::vector<Copy> arguments, results;
};

struct Variable {
  std::string name;
  Space space = Space::kGlobal;
  uint32_t align = 1;
  uint64_t bytes = 0;
  uint64_t offset = 0;         // shared, local
  uint8_t* storage = nullptr;  // global, const
  bool dynamic = false;
};

struct KernelParameter {
  std::string name;
  Type type;
  uint32_t offset, bytes;
};

// Straight-line code: entered only at `first`, left only after `last`.
struct BasicBlock {
  int first, last, loop_depth;
};

struct Kernel {
  std::string name;
  std::vector<KernelParameter> parameters;
  uint32_t parameter_bytes = 0;
  std::vector<Instruction> code;
  std::vector<InstructionInfo> info;
  std::vector<BasicBlock> blocks;
  std::vector<uint8_t> initial_registers;        // of one warp: constants are in place
  std::map<std::string, int> special_registers;  // "%tid.x" -> slot
  uint32_t static_shared = 0, dynamic_align = 16, local_bytes = 0;
  int shared_granule_shift = 2;  // log2 of the finest shared access, 0 to 2
  uint32_t max_threads = 0, required_threads[3] = {0, 0, 0}, max_registers = 0, min_blocks = 0;
  int required_arch = 0;        // of its newest instruction ...
  int newest_instruction = -1;  // ... which is this one
  std::vector<std::unique_ptr<std::vector<int>>> branch_tables;
  std::vector<std::unique_ptr<CallSite>> call_sites;

  uint32_t DynamicSharedOffset() const {
    return (static_shared + dynamic_align - 1) / dynamic_align * dynamic_align;
  }
};

struct Program {
  int target = 0;  // .target sm_XX
  std::map<std::string, std::unique_ptr<Kernel>> kernels;
  std::map<std::string, Variable> variables;
  std::vector<std::unique_ptr<std::vector<uint8_t>>> storage;
  std::map<int, std::string> files;
  std::vector<SourcePlace> places;
};

}  // namespace ptxemu
