// Quad pair q consists of lanes 4q .. 4q+3 and 4q+16 .. 4q+19, the latter with upper rows of A and
// C and upper columns of B. See "Matrix Fragments for mma.m8n8k4 with .f16" in the PTX ISA.
#include "mma_volta.h"

#include "decoder.h"
#include "float_formats.h"
#include "machine.h"
#include "text.h"

namespace ptxemu {
namespace {

enum Flags : uint16_t { kHalfD = 1, kHalfC = 2, kColumnA = 4, kRowB = 8 };

struct Place {
  int row, column;
};

// Of element i of a lane's accumulators.
Place PlaceOfAccumulator(int lane, int i, bool half) {
  const int upper = lane < 16 ? 0 : 4;
  if (half) return {(lane & 3) + upper, i};
  return {(lane & 1) + (i & 2) + upper, (i & 4) + (lane & 2) + (i & 1)};
}

uint16_t HalfOf(Warp& warp, const int* slots, int lane, int i) {
  return static_cast<uint16_t>(Register<uint32_t>(warp, slots[i >> 1])[lane] >> (16 * (i & 1)));
}

}  // namespace

uint16_t VoltaFlags(const Decoder& d) {
  // mma.sync.aligned.m8n8k4.{alayout}.{blayout}: the layouts follow the shape.
  const std::string& opcode = d.statement().opcode;
  const size_t layouts = opcode.find("m8n8k4.") + 7;
  const bool column_a = opcode.compare(layouts, 3, "col") == 0;
  const bool row_b = opcode.compare(layouts + 4, 3, "row") == 0;
  return static_cast<uint16_t>((d.types()[0] == Type::kF16 ? kHalfD : 0) |
                               (d.types()[3] == Type::kF16 ? kHalfC : 0) |
                               (column_a ? kColumnA : 0) | (row_b ? kRowB : 0));
}

void MultiplyVolta(Warp& warp, const Instruction& instruction, uint32_t mask) {
  if (mask != kAllLanes) {
    throw Error(Format("mma needs a full warp, active are lanes %#x: ", mask) +
                Where(warp, instruction, FirstLane(mask)));
  }
  const uint16_t flags = instruction.flags;
  const bool half_c = flags & kHalfC, half_d = flags & kHalfD;
  const int* d = instruction.operands;
  const int* a = d + (half_d ? 4 : 8);
  const int* b = a + 2;
  const int* c = b + 2;
  double left[4][8][4], right[4][4][8], sums[4][8][8];
  for (int lane = 0; lane < kLanes; ++lane) {
    const int pair = lane >> 2 & 3, upper = lane < 16 ? 0 : 4, t = lane & 3;
    for (int i = 0; i < 4; ++i) {
      const double x = HalfToFloat(HalfOf(warp, a, lane, i));
      const double y = HalfToFloat(HalfOf(warp, b, lane, i));
      (flags & kColumnA ? left[pair][i + upper][t] : left[pair][t + upper][i]) = x;
      (flags & kRowB ? right[pair][t][i + upper] : right[pair][i][t + upper]) = y;
    }
    for (int i = 0; i < 8; ++i) {
      const Place at = PlaceOfAccumulator(lane, i, half_c);
      sums[pair][at.row][at.column] =
          half_c ? HalfToFloat(HalfOf(warp, c, lane, i)) : Register<float>(warp, c[i])[lane];
    }
  }
  for (int pair = 0; pair < 4; ++pair) {
    for (int m = 0; m < 8; ++m) {
      for (int n = 0; n < 8; ++n) {
        for (int k = 0; k < 4; ++k) sums[pair][m][n] += left[pair][m][k] * right[pair][k][n];
      }
    }
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    const int pair = lane >> 2 & 3;
    for (int i = 0; i < 8; ++i) {
      const Place at = PlaceOfAccumulator(lane, i, half_d);
      const double sum = sums[pair][at.row][at.column];
      if (!half_d) {
        Register<float>(warp, d[i])[lane] = static_cast<float>(sum);
        continue;
      }
      uint32_t& packed = Register<uint32_t>(warp, d[i >> 1])[lane];
      const uint32_t bits = DoubleToHalf(sum);
      packed = i & 1 ? (packed & 0xffff) | bits << 16 : (packed & 0xffff0000) | bits;
    }
  }
}

}  // namespace ptxemu
