// Where the panels of V and M lie, for `winograd_*_kernels.cpp` files, and the functions of the
// table WinogradKernels.
#pragma once

#include "common/simd.h"
#include "modulated_conv2d/winograd_kernels.h"

namespace pygan {
namespace PYGAN_ISA {

// Rows of the register tile of both products, by the number of vector registers (32 or 16).
constexpr int kOutBlock = PYGAN_VECTOR_BYTES == 64 ? 8 : 4;

// `count` vectors lie in panels of at most kWinogradPanelVectors, as even as possible. A panel of
// `width` vectors is a dense matrix of rows of width * lanes floats.
PYGAN_INLINE int64_t panels_of(int64_t count) {
  return (count + kWinogradPanelVectors - 1) / kWinogradPanelVectors;
}
PYGAN_INLINE int64_t panel_begin(int64_t panel, int64_t count) {
  return panel * count / panels_of(count);
}
// The panel with vector i.
PYGAN_INLINE int64_t panel_of(int64_t i, int64_t count) {
  int64_t panel = i * panels_of(count) / count;
  while (panel_begin(panel + 1, count) <= i) ++panel;
  return panel;
}
// Floats between rows of the panel with vector i.
PYGAN_INLINE int64_t panel_row(int64_t i, int64_t count) {
  const int64_t panel = panel_of(i, count);
  return (panel_begin(panel + 1, count) - panel_begin(panel, count)) * lanes<float>();
}
// Offset of vector i in row 0 of its panel, when panels have `rows` rows.
PYGAN_INLINE int64_t panel_offset(int64_t i, int64_t count, int64_t rows) {
  const int64_t begin = panel_begin(panel_of(i, count), count);
  return (begin * rows + i - begin) * lanes<float>();
}

// Lane l: values[sample[l] * stride].
PYGAN_INLINE VecF load_of_samples(const float* values, int64_t stride, const int64_t* sample) {
  float lane[lanes<float>()];
  for (int l = 0; l < lanes<float>(); ++l) lane[l] = values[sample[l] * stride];
  return load(lane);
}

// The functions of the table, described in winograd_kernels.h.
void winograd_describe_tiles(WinogradTileVector* vectors, const WinogradTiles& tiles, int64_t begin,
                             int64_t end);
#define PYGAN_WINOGRAD_INPUT(name)                               \
  void name(const WinogradMatrix& v, const WinogradInput& input, \
            const WinogradTileVector* vectors, int64_t count, int64_t begin, int64_t end)
PYGAN_WINOGRAD_INPUT(winograd_transform_input);
PYGAN_WINOGRAD_INPUT(winograd_transform_input_strided);
PYGAN_WINOGRAD_INPUT(winograd_transform_input_transposed);
#undef PYGAN_WINOGRAD_INPUT
void winograd_transform_weights(const WinogradMatrix& u, const WinogradWeights& weights,
                                int64_t first, int64_t begin, int64_t end);
void winograd_multiply(const WinogradProducts& products, const WinogradMatrix& m,
                       const WinogradMatrix& u, const WinogradMatrix& v, int64_t channels,
                       int64_t vectors, int64_t blocks, int64_t begin, int64_t end);
#define PYGAN_WINOGRAD_OUTPUT(name)                                                          \
  void name(const WinogradOutput& output, const WinogradMatrix& m,                           \
            const WinogradTileVector* vectors, int64_t count, int64_t first, int64_t padded, \
            int64_t begin, int64_t end)
PYGAN_WINOGRAD_OUTPUT(winograd_transform_output);
PYGAN_WINOGRAD_OUTPUT(winograd_transform_output_strided);
PYGAN_WINOGRAD_OUTPUT(winograd_transform_output_transposed);
#undef PYGAN_WINOGRAD_OUTPUT
#define PYGAN_WINOGRAD_GATHER(name)                                                  \
  void name(const WinogradMatrix& to, const WinogradInput& from, int64_t tile_begin, \
            int64_t block, int64_t first, int64_t last, int64_t begin, int64_t end)
PYGAN_WINOGRAD_GATHER(winograd_gather_input);
PYGAN_WINOGRAD_GATHER(winograd_gather_input_strided);
PYGAN_WINOGRAD_GATHER(winograd_gather_output);
PYGAN_WINOGRAD_GATHER(winograd_gather_output_strided);
#undef PYGAN_WINOGRAD_GATHER
void winograd_multiply_transposed(const WinogradProducts& products, const WinogradMatrix& d,
                                  const WinogradMatrix& y, const WinogradMatrix& v, int64_t tiles,
                                  const WinogradRows& rows, int64_t groups, bool accumulate,
                                  int64_t begin, int64_t end);
void winograd_gather_weights(float* dw, const WinogradMatrix& d, const WinogradWeights& weights,
                             int64_t first, int64_t begin, int64_t end);

}  // namespace PYGAN_ISA
}  // namespace pygan
