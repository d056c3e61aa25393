// Opcodes that exist for integers, floats and halves: the type decides which family they belong to.
#include "decoder.h"

namespace ptxemu {

void DecodeArithmetic(Decoder& d) {
  const std::string& base = d.base();
  const Type type = d.type();
  if (type == Type::kNone || d.Has("u16x2") || d.Has("s16x2") || d.Has("f32x2")) {
    return d.Unsupported();
  }
  if (IsHalf(type)) {
    return d.Has("f32") ? d.Unsupported("mixed precision") : DecodeHalf(d);
  }
  if (IsFloat(type)) {
    if (d.Has("rz") || d.Has("rm") || d.Has("rp")) return DecodeDirected(d);
    return DecodeFloat(d);
  }
  if (d.Has("cc") || base == "addc" || base == "subc" || base == "madc") return DecodeCarry(d);
  if (type == Type::kPred) return DecodePredicateLogic(d);
  if (base == "mul" || base == "mad") return DecodeMultiplyAdd(d);
  if (base == "neg" || base == "abs" || base == "not") return DecodeIntegerUnary(d);
  DecodeInteger(d);
}

}  // namespace ptxemu
