#include "types.h"

#include <unordered_map>

namespace ptxemu {

Type ParseType(const std::string& name) {
  static const std::unordered_map<std::string, Type> kTypes = {
      {"u8", Type::kU8},     {"u16", Type::kU16},       {"u32", Type::kU32},
      {"u64", Type::kU64},   {"s8", Type::kS8},         {"s16", Type::kS16},
      {"s32", Type::kS32},   {"s64", Type::kS64},       {"b8", Type::kB8},
      {"b16", Type::kB16},   {"b32", Type::kB32},       {"b64", Type::kB64},
      {"f16", Type::kF16},   {"f16x2", Type::kF16x2},   {"bf16", Type::kBF16},
      {"f32", Type::kF32},   {"bf16x2", Type::kBF16x2}, {"f64", Type::kF64},
      {"tf32", Type::kTF32}, {"pred", Type::kPred},
  };
  const auto found = kTypes.find(name);
  return found == kTypes.end() ? Type::kNone : found->second;
}

}  // namespace ptxemu
