// The last step of the weight gradient: adds partial results in a fixed order.
#pragma once

#include "modulated_conv2d/conv2d_cuda.h"

namespace pygan {

// Sums of products over some of the pixels each, as [splits][taps][groups][rows][columns] floats,
// or doubles for float64; rows and columns counted with padding.
struct PartialWeights {
  void* data = nullptr;
  int64_t splits = 0, rows = 0, columns = 0;
};

// dw = the sum over splits, in conv's layout and storage.
void reduce_weights(void* dw, const PartialWeights& partial, const CudaConv& conv,
                    const CudaContext& context);

}  // namespace pygan
