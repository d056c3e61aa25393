#pragma once

namespace pygan {

// True inside pygan.ops.no_weight_gradients(): first-order gradient kernels then leave out the
// gradients of weights, which R1 and path length never read.
bool skip_weight_gradients();

}  // namespace pygan
