// mma.sync: D = A B + C on tensor cores. Fragments lie in registers as the PTX ISA lays them out;
// in its figures g is lane / 4 and t is lane % 4.
//
// Products are summed in double and rounded once. GPUs truncate while they sum, so results agree
// to about the last bit of the accumulator's format, not exactly.
#include "decoder.h"
#include "float_formats.h"
#include "memory.h"
#include "mma_volta.h"
#include "text.h"

namespace ptxemu {
namespace {

constexpr int kRows = 16, kColumns = 8;

using Row = double __attribute__((vector_size(64)));  // kColumns doubles

struct Operands {
  const int *d, *a, *b, *c;
};

// flags of the instruction.
enum Flags : uint16_t { kHalfAccumulator = 1, kSignedA = 2, kSignedB = 4, kSaturate = 8 };

// Eight 16-bit elements, in four consecutive lanes' registers.
void ExpandHalves(const uint32_t* registers, bool brain, float* out) {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(registers));
  _mm256_storeu_ps(out,
                   brain ? _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16))
                         : _mm256_cvtph_ps(bits));
}

// Rows g of a fragment whose lane (g, t) holds columns 2t and 2t+1 (halves) or t (tf32).
void LoadFragment(Warp& warp, int slot, Type type, float (*rows)[kRows], int first_row,
                  int first_column) {
  const uint32_t* registers = Register<uint32_t>(warp, slot);
  for (int g = 0; g < 8; ++g) {
    float* row = &rows[first_row + g][first_column];
    if (type == Type::kTF32) {
      for (int t = 0; t < 4; ++t) row[t] = BitsFloat(registers[4 * g + t] & kTf32Mask);
    } else {
      ExpandHalves(registers + 4 * g, type == Type::kBF16, row);
    }
  }
}

void LoadAccumulators(Warp& warp, const int* slots, bool half, double (*c)[kColumns]) {
  if (half) {
    for (int i = 0; i < 2; ++i) {
      for (int g = 0; g < 8; ++g) {
        float row[8];
        ExpandHalves(Register<uint32_t>(warp, slots[i]) + 4 * g, false, row);
        for (int n = 0; n < 8; ++n) c[g + 8 * i][n] = row[n];
      }
    }
    return;
  }
  for (int i = 0; i < 4; ++i) {
    const float* registers = Register<float>(warp, slots[i]);
    for (int l = 0; l < kLanes; ++l) {
      c[(l >> 2) + 8 * (i >> 1)][(l & 3) * 2 + (i & 1)] = registers[l];
    }
  }
}

void StoreAccumulators(Warp& warp, const int* slots, bool half, const double (*c)[kColumns]) {
  if (half) {
    for (int i = 0; i < 2; ++i) {
      uint32_t* registers = Register<uint32_t>(warp, slots[i]);
      for (int l = 0; l < kLanes; ++l) {
        const double* pair = &c[(l >> 2) + 8 * i][(l & 3) * 2];
        registers[l] = DoubleToHalf(pair[0]) | static_cast<uint32_t>(DoubleToHalf(pair[1])) << 16;
      }
    }
    return;
  }
  for (int i = 0; i < 4; ++i) {
    float* registers = Register<float>(warp, slots[i]);
    for (int l = 0; l < kLanes; ++l) {
      registers[l] = static_cast<float>(c[(l >> 2) + 8 * (i >> 1)][(l & 3) * 2 + (i & 1)]);
    }
  }
}

void RequireFullWarp(Warp& warp, const Instruction& instruction, uint32_t mask) {
  if (mask == kAllLanes) return;
  throw Error(Format("mma needs a full warp, active are lanes %#x: ", mask) +
              Where(warp, instruction, FirstLane(mask)));
}

// m16n8k4 (tf32), m16n8k8, m16n8k16. element_size: k; type: of A and B.
void MultiplyFloats(Warp& warp, const Instruction& instruction, uint32_t mask) {
  RequireFullWarp(warp, instruction, mask);
  const int k_extent = instruction.element_size;
  const bool half = instruction.flags & kHalfAccumulator;
  const Type type = instruction.type;
  const int columns = type == Type::kTF32 ? 4 : 8;  // of k that one register holds
  const int pieces = k_extent / columns;
  const int* d = instruction.operands;
  const int* a = d + (half ? 2 : 4);
  const int* b = a + 2 * pieces;
  const int* c = b + pieces;

  alignas(64) float left[kRows][kRows], right[kColumns][kRows];
  alignas(64) double b_rows[kRows][kColumns], sums[kRows][kColumns];
  for (int i = 0; i < 2 * pieces; ++i) {
    LoadFragment(warp, a[i], type, left, 8 * (i & 1), columns * (i >> 1));
  }
  for (int i = 0; i < pieces; ++i) LoadFragment(warp, b[i], type, right, 0, columns * i);
  for (int k = 0; k < k_extent; ++k) {
    for (int n = 0; n < kColumns; ++n) b_rows[k][n] = right[n][k];
  }
  LoadAccumulators(warp, c, half, sums);
  for (int r = 0; r < kRows; r += 4) {
    Row sum[4];
    for (int i = 0; i < 4; ++i) sum[i] = *reinterpret_cast<Row*>(sums[r + i]);
    for (int k = 0; k < k_extent; ++k) {
      const Row row = *reinterpret_cast<Row*>(b_rows[k]);
      for (int i = 0; i < 4; ++i) sum[i] += row * static_cast<double>(left[r + i][k]);
    }
    for (int i = 0; i < 4; ++i) *reinterpret_cast<Row*>(sums[r + i]) = sum[i];
  }
  StoreAccumulators(warp, d, half, sums);
}

// m8n8k4 in f64: exact products, each sum rounded.
void MultiplyDoubles(Warp& warp, const Instruction& instruction, uint32_t mask) {
  RequireFullWarp(warp, instruction, mask);
  const double* a = Arg<double>(warp, instruction, 2);
  const double* b = Arg<double>(warp, instruction, 3);
  double result[2][kLanes];
  for (int i = 0; i < 2; ++i) {
    const double* c = Arg<double>(warp, instruction, 4 + i);
    for (int l = 0; l < kLanes; ++l) {
      const int row = l >> 2, column = (l & 3) * 2 + i;
      double sum = c[l];
      for (int k = 0; k < 4; ++k) sum = std::fma(a[4 * row + k], b[4 * column + k], sum);
      result[i][l] = sum;
    }
  }
  for (int i = 0; i < 2; ++i) {
    std::memcpy(Arg<double>(warp, instruction, i), result[i], sizeof result[i]);
  }
}

int32_t Byte(uint32_t word, int index, bool is_signed) {
  const uint32_t byte = word >> (8 * index) & 255;
  return is_signed ? static_cast<int8_t>(byte) : static_cast<int32_t>(byte);
}

// m8n8k16, m16n8k16, m16n8k32 of bytes. elements: rows / 8; element_size: k.
void MultiplyBytes(Warp& warp, const Instruction& instruction, uint32_t mask) {
  RequireFullWarp(warp, instruction, mask);
  const int halves = instruction.elements, pieces = instruction.element_size / 16;
  const int* d = instruction.operands;
  const int* a = d + 2 * halves;
  const int* b = a + halves * pieces;
  const int* c = b + pieces;
  int64_t sums[4][kLanes];
  for (int i = 0; i < 2 * halves; ++i) {
    const int32_t* start = Register<int32_t>(warp, c[i]);
    for (int l = 0; l < kLanes; ++l) {
      const int g = l >> 2, column = (l & 3) * 2 + (i & 1), half = i >> 1;
      int64_t sum = start[l];
      for (int piece = 0; piece < pieces; ++piece) {
        const uint32_t* row = Register<uint32_t>(warp, a[half + halves * piece]) + 4 * g;
        const uint32_t* col = Register<uint32_t>(warp, b[piece]) + 4 * column;
        for (int k = 0; k < 16; ++k) {
          sum += Byte(row[k >> 2], k & 3, instruction.flags & kSignedA) *
                 Byte(col[k >> 2], k & 3, instruction.flags & kSignedB);
        }
      }
      if (instruction.flags & kSaturate) {
        sum = sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : sum;
      }
      sums[i][l] = sum;
    }
  }
  for (int i = 0; i < 2 * halves; ++i) {
    int32_t* registers = Register<int32_t>(warp, d[i]);
    for (int l = 0; l < kLanes; ++l) registers[l] = static_cast<int32_t>(sums[i][l]);
  }
}

// Puts the registers of D, A, B and C one after the other; false when their number is wrong.
bool DecodeFragments(Decoder& d, const int (&counts)[4], int bytes_of_ab, int bytes_of_cd) {
  int next = 0;
  for (int i = 0; i < 4; ++i) {
    const std::vector<Operand> registers = d.Elements(d.operand(i));
    if (registers.size() != static_cast<size_t>(counts[i])) return false;
    const int bytes = i == 1 || i == 2 ? bytes_of_ab : bytes_of_cd;
    for (const Operand& reg : registers) {
      d.out.operands[next++] = i == 0 ? d.Destination(reg, bytes) : d.Source(reg, bytes);
    }
  }
  return true;
}

struct Shape {
  int m, n, k;
};
bool ShapeOf(const Decoder& d, Shape& shape) {
  static const struct {
    const char* name;
    Shape shape;
  } kShapes[] = {{"m8n8k4", {8, 8, 4}},     {"m16n8k4", {16, 8, 4}}, {"m16n8k8", {16, 8, 8}},
                 {"m16n8k16", {16, 8, 16}}, {"m8n8k16", {8, 8, 16}}, {"m16n8k32", {16, 8, 32}}};
  for (const auto& entry : kShapes) {
    if (!d.Has(entry.name)) continue;
    shape = entry.shape;
    return true;
  }
  return false;
}

bool DecodeByteMma(Decoder& d, const Shape& shape) {
  Instruction& out = d.out;
  const Type a = d.types()[1], b = d.types()[2];
  const auto is_byte = [](Type type) { return type == Type::kS8 || type == Type::kU8; };
  if (!is_byte(a) || !is_byte(b) || shape.k < 16) return false;
  d.RequireArch(shape.m == 8 ? 75 : 80);
  const int halves = shape.m / 8, pieces = shape.k / 16;
  out.elements = static_cast<uint8_t>(halves);
  out.flags = (a == Type::kS8 ? kSignedA : 0) | (b == Type::kS8 ? kSignedB : 0) |
              (d.Has("satfinite") ? kSaturate : 0);
  out.execute = MultiplyBytes;
  return DecodeFragments(d, {2 * halves, halves * pieces, pieces, 2 * halves}, 4, 4);
}

bool DecodeFloatMma(Decoder& d, const Shape& shape) {
  Instruction& out = d.out;
  const Type to = d.types()[0], a = d.types()[1], c = d.types()[3];
  const bool half = to == Type::kF16;
  if (shape.m != 16 || shape.k > 16 || to != c || d.types()[2] != a) return false;
  if (to != Type::kF32 && !(half && a == Type::kF16)) return false;
  const bool tf32 = a == Type::kTF32;
  if (!(tf32 ? shape.k <= 8 : (a == Type::kF16 || a == Type::kBF16) && shape.k >= 8)) return false;
  d.RequireArch(a == Type::kF16 && shape.k == 8 ? 75 : 80);
  const int pieces = shape.k / (tf32 ? 4 : 8), accumulators = half ? 2 : 4;
  out.flags = half ? kHalfAccumulator : 0;
  out.execute = MultiplyFloats;
  return DecodeFragments(d, {accumulators, 2 * pieces, pieces, accumulators}, 4, 4);
}

bool DecodeDoubleMma(Decoder& d, const Shape& shape) {
  for (const Type type : d.types()) {
    if (type != Type::kF64) return false;
  }
  if (shape.m != 8 || shape.k != 4) return false;
  d.RequireArch(80);
  d.out.execute = MultiplyDoubles;
  return DecodeFragments(d, {2, 1, 1, 2}, 8, 8);
}

bool DecodeVoltaMma(Decoder& d, const Shape& shape) {
  const Type to = d.types()[0], c = d.types()[3];
  if (shape.m != 8 || shape.k != 4 || d.types()[1] != Type::kF16 || d.types()[2] != Type::kF16) {
    return false;
  }
  const auto registers = [](Type type) { return type == Type::kF16 ? 4 : 8; };
  d.out.flags = VoltaFlags(d);
  d.out.execute = MultiplyVolta;
  return DecodeFragments(d, {registers(to), 2, 2, registers(c)}, 4, 4);
}

}  // namespace

void DecodeMma(Decoder& d) {
  Instruction& out = d.out;
  out.category = Category::kMma;
  Shape shape;
  if (d.Has("sp") || d.types().size() != 4 || !ShapeOf(d, shape)) return d.Unsupported();
  out.element_size = static_cast<uint8_t>(shape.k);
  out.type = d.types()[1];
  out.flops = 2 * shape.m * shape.n * shape.k;
  if (DecodeByteMma(d, shape) || DecodeDoubleMma(d, shape) || DecodeFloatMma(d, shape)) return;
  if (DecodeVoltaMma(d, shape)) {
    out.flops *= 4;  // one product per quad pair
    return;
  }
  d.Unsupported("shape and types, or the number of registers");
}

}  // namespace ptxemu
