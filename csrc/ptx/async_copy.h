// cp.async groups of a warp.
#pragma once
#include "machine.h"

namespace ptxemu {

// Carries out every copy that is still under way: at cp.async.wait_all and at the end of a warp.
void CompleteAsyncCopies(Warp& warp);

}  // namespace ptxemu
