// Winograd convolution: the table of this instruction set's kernels.
#include "modulated_conv2d/winograd_kernels.h"
#include "modulated_conv2d/winograd_layout.h"

namespace pygan {
namespace PYGAN_ISA {

const WinogradKernels& winograd_table() {
  static const WinogradKernels table = {
      lanes<float>(),
      kOutBlock,
      winograd_describe_tiles,
      {winograd_transform_input, winograd_transform_input_strided,
       winograd_transform_input_transposed},
      winograd_transform_weights,
      winograd_multiply,
      {winograd_transform_output, winograd_transform_output_strided,
       winograd_transform_output_transposed},
      {winograd_gather_input, winograd_gather_input_strided},
      {winograd_gather_output, winograd_gather_output_strided},
      winograd_multiply_transposed,
      winograd_gather_weights};
  return table;
}

}  // namespace PYGAN_ISA
}  // namespace pygan
