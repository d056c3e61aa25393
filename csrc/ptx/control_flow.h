// Control-flow analysis of decoded kernels.
#pragma once
#include "program.h"

namespace ptxemu {

// Turns calls that are part of a cycle into faults: device functions own their registers once.
void RefuseRecursion(Kernel& kernel);

// Fills in Kernel::blocks, Instruction::block, loop_depth and, for branches, reconverge: the first
// instruction of the immediate post-dominator, or the number of instructions when there is none.
void AnalyseControlFlow(Kernel& kernel);

}  // namespace ptxemu
