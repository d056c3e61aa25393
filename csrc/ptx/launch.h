// One kernel launch: its blocks are spread over host threads, each of which runs whole blocks.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "counters.h"
#include "global_races.h"
#include "hazards.h"
#include "program.h"
#include "registry.h"

namespace ptxemu {

struct LaunchShape {
  uint32_t grid[3], block[3], dynamic_shared;
  uint64_t Blocks() const { return uint64_t{grid[0]} * grid[1] * grid[2]; }
  uint32_t Threads() const { return block[0] * block[1] * block[2]; }
};

struct Launch {
  const Kernel* kernel = nullptr;
  const Program* program = nullptr;
  LaunchShape shape{};
  std::vector<uint8_t> parameters;
  MemoryMap memory;
  std::unique_ptr<GlobalRaces> global_races;  // null when not looked for
  uint64_t instruction_limit = 0;             // per block

  // Results.
  std::vector<Counters> counters;  // per instruction
  HazardReport hazards;
  uint64_t divergent_branches = 0;
  double seconds = 0, cpu_seconds = 0;
  std::string error;  // of the block that failed first, empty: none
};

// Why the emulated device refuses the launch; empty when it does not.
std::string LaunchRefusal(const Program& program, const Kernel& kernel, const LaunchShape& shape);

void RunLaunch(Launch& launch, int threads);

}  // namespace ptxemu
