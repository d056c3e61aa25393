// The state of a running block: its warps, its shared memory, and what is recorded about them.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "counters.h"
#include "hazards.h"
#include "program.h"
#include "registry.h"

namespace ptxemu {

struct Block;
struct Launch;

// Where the lanes that a branch or a call set aside go on.
struct Pending {
  int pc, reconverge;
  uint32_t mask;
};

// A cp.async of one warp, carried out when it is waited for, so that code that does not wait sees
// stale data, as it would on a GPU.
struct AsyncCopy {
  int instruction;
  uint32_t mask;
  uint8_t bytes;
  uint8_t source_bytes[32];  // the rest is filled with zeros
  uint64_t source[32];
  uint32_t destination[32];  // offset in shared memory
};

struct Warp {
  uint8_t* registers = nullptr;
  int id = 0;
  Block* block = nullptr;

  // Control flow. `mask` runs at `pc` until it reaches `reconverge`; then the top of the stack goes
  // on (divergence is resolved at immediate post-dominators).
  int pc = 0, reconverge = -1;
  uint32_t mask = 0, exited = 0, present = 0;  // present: lanes that exist
  std::vector<Pending> stack;
  bool done = false;
  int waiting_at = -1;        // barrier, -1: none
  uint32_t waiting_mask = 0;  // lanes that arrived there
  uint32_t carry = 0;         // CC.CF, one bit per lane
  uint64_t instructions = 0;  // executed in this block: the emulated clock

  uint8_t* local = nullptr;          // local_bytes per lane
  uint8_t* local_written = nullptr;  // one byte per byte of `local`
  uint32_t local_bytes = 0;

  std::vector<AsyncCopy> open_group;
  std::vector<std::vector<AsyncCopy>> groups;  // committed, oldest first

  uint32_t Alive() const { return present & ~exited; }
};

struct Block {
  const Kernel* kernel = nullptr;
  const Launch* launch = nullptr;
  const uint8_t* parameters = nullptr;
  uint32_t x = 0, y = 0, z = 0;
  uint64_t index = 0;

  uint8_t* shared = nullptr;
  uint32_t shared_bytes = 0;
  std::vector<Warp> warps;
  struct Barrier {
    int arrived = 0;       // warps that arrived without waiting
    uint32_t threads = 0;  // that it waits for; 0: all
  } barriers[16];

  SharedHazards shared_hazards;
  HazardReport hazards;
  std::vector<Counters> counters;          // per instruction
  std::vector<const Buffer*> last_buffer;  // per instruction: the buffer it accessed last
  uint64_t divergent_branches = 0;
};

// "kernel k, block (x,y,z), thread t (x,y,z), file.cu:12: ld.global.f32 ..."
std::string Where(const Warp& warp, const Instruction& instruction, int lane);

}  // namespace ptxemu
