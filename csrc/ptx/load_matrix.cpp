// ldmatrix: 8x8 matrices of 16-bit elements from shared memory, one row of 16 bytes per lane.
#include <algorithm>

#include "decoder.h"
#include "memory.h"
#include "text.h"

namespace ptxemu {
namespace {

// Rows are served 16 bytes at a time: eight different rows in the same 16-byte column of the banks
// need eight wavefronts.
int MatrixWavefronts(const uint64_t* rows) {
  int count[8] = {}, busiest = 1;
  for (int r = 0; r < 8; ++r) {
    if (std::find(rows, rows + r, rows[r]) != rows + r) continue;
    busiest = std::max(busiest, ++count[rows[r] >> 4 & 7]);
  }
  return busiest;
}

// elements: number of matrices; variant: transposed.
void LoadMatrix(Warp& warp, const Instruction& instruction, uint32_t mask) {
  if (mask != kAllLanes) {
    throw Error(Format("ldmatrix needs a full warp, active are lanes %#x: ", mask) +
                Where(warp, instruction, FirstLane(mask)));
  }
  alignas(64) uint64_t offsets[kLanes];
  EffectiveAddresses(warp, instruction, offsets);
  for (uint64_t& offset : offsets) {
    if (InWindow(offset, kSharedWindow)) offset -= kSharedWindow;
  }
  const int matrices = instruction.elements;
  const uint32_t rows_mask = matrices == 4 ? kAllLanes : (1u << (8 * matrices)) - 1;
  CheckSharedBounds(warp, instruction, rows_mask, offsets, 16);
  Block& block = *warp.block;
  block.shared_hazards.Load(warp, instruction, rows_mask, offsets, 16);
  Counters& counters = block.counters[instruction.id];
  counters.requests += 1;

  uint32_t result[4][kLanes];
  for (int k = 0; k < matrices; ++k) {
    uint16_t matrix[8][8];
    for (int r = 0; r < 8; ++r) std::memcpy(matrix[r], block.shared + offsets[8 * k + r], 16);
    counters.transactions += MatrixWavefronts(offsets + 8 * k);
    counters.ideal += 1;
    for (int lane = 0; lane < kLanes; ++lane) {
      const int row = lane >> 2, column = 2 * (lane & 3);
      const uint16_t low = instruction.variant ? matrix[column][row] : matrix[row][column];
      const uint16_t high = instruction.variant ? matrix[column + 1][row] : matrix[row][column + 1];
      result[k][lane] = low | static_cast<uint32_t>(high) << 16;
    }
  }
  for (int k = 0; k < matrices; ++k) {
    std::memcpy(Arg<uint32_t>(warp, instruction, k), result[k], sizeof result[k]);
  }
}

}  // namespace

void DecodeLoadMatrix(Decoder& d) {
  Instruction& out = d.out;
  out.category = Category::kLoadMatrix;
  const int matrices = d.Has("x1") ? 1 : d.Has("x2") ? 2 : d.Has("x4") ? 4 : 0;
  if (!d.Has("m8n8") || !d.Has("b16") || !matrices) return d.Unsupported();
  const std::vector<Operand> registers = d.Elements(d.operand(0));
  if (registers.size() != static_cast<size_t>(matrices)) {
    return d.Unsupported("wrong number of registers");
  }
  out.elements = static_cast<uint8_t>(matrices);
  out.variant = d.Has("trans");
  for (int k = 0; k < matrices; ++k) out.operands[k] = d.Destination(registers[k], 4);
  d.Address(d.operand(1), Space::kShared);
  out.execute = LoadMatrix;
}

}  // namespace ptxemu
