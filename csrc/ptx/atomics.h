// The operations of atom, red and redux.
#pragma once
#include <cstdint>

#include "types.h"

namespace ptxemu {

class Decoder;

enum AtomicOperation : uint8_t {
  kAtomicAdd,
  kAtomicMin,
  kAtomicMax,
  kAtomicAnd,
  kAtomicOr,
  kAtomicXor,
  kAtomicExch,
  kAtomicCas,
  kAtomicInc,
  kAtomicDec,
};

// What memory holds after an operation. Values are zero-extended bit patterns.
uint64_t ApplyAtomic(AtomicOperation operation, Type type, uint64_t before, uint64_t operand,
                     uint64_t swap);

// The operation that the modifiers name, or -1.
int FindAtomicOperation(const Decoder& d);

}  // namespace ptxemu
