// What is counted while a kernel runs, and the report made of it.
#pragma once
#include <cstdint>
#include <string>

namespace ptxemu {

struct Launch;

// Of one instruction, over all warps.
struct Counters {
  uint64_t executions = 0;    // by warps
  uint64_t lanes = 0;         // by threads
  uint64_t requests = 0;      // memory requests: executions with an active lane
  uint64_t transactions = 0;  // 32-byte sectors (global), wavefronts (shared), divergences (branch)
  uint64_t ideal = 0;         // bytes asked for (global, local), conflict-free wavefronts (shared)

  void Add(const Counters& other) {
    executions += other.executions;
    lanes += other.lanes;
    requests += other.requests;
    transactions += other.transactions;
    ideal += other.ideal;
  }
};

// JSON of a finished launch.
std::string StatisticsJson(const Launch& launch, bool per_instruction);

}  // namespace ptxemu
