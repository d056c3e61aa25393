// Runs the warps of one block.
#pragma once
#include "machine.h"

namespace ptxemu {

// Runs the block to its end. `limit`: warp instructions that it may execute. Throws Error.
void RunBlock(Block& block, uint64_t limit);

// Opens the barriers that are complete; false when none is. (barriers.cpp)
bool ReleaseBarriers(Block& block);

// A warp arrives at a barrier with the lanes of `mask`; true when it has to wait.
bool ArriveAtBarrier(Warp& warp, const Instruction& instruction, uint32_t mask);

}  // namespace ptxemu
