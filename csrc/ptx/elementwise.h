// Handlers that apply a function to each lane, and the choice of one by type. A function object F
// has F::Apply(a, ...), which takes and returns T.
#pragma once
#include <cstdint>

#include "lanes.h"
#include "machine.h"

namespace ptxemu {

template <class T, class F>
void Unary(Warp& warp, const Instruction& instruction, uint32_t mask) {
  T* d = Arg<T>(warp, instruction, 0);
  const T* a = Arg<T>(warp, instruction, 1);
  ForEachLane(mask, [=](int l) { d[l] = F::Apply(a[l]); });
}

template <class T, class F>
void Binary(Warp& warp, const Instruction& instruction, uint32_t mask) {
  T* d = Arg<T>(warp, instruction, 0);
  const T* a = Arg<T>(warp, instruction, 1);
  const T* b = Arg<T>(warp, instruction, 2);
  ForEachLane(mask, [=](int l) { d[l] = F::Apply(a[l], b[l]); });
}

template <class T, class F>
void Ternary(Warp& warp, const Instruction& instruction, uint32_t mask) {
  T* d = Arg<T>(warp, instruction, 0);
  const T* a = Arg<T>(warp, instruction, 1);
  const T* b = Arg<T>(warp, instruction, 2);
  const T* c = Arg<T>(warp, instruction, 3);
  ForEachLane(mask, [=](int l) { d[l] = F::Apply(a[l], b[l], c[l]); });
}

// Calls choose(T{}) with the C++ type of an integer PTX type; null for others.
template <class Choose>
Handler ForInteger(Type type, Choose choose) {
  switch (type) {
    case Type::kU16:
    case Type::kB16:
      return choose(uint16_t{});
    case Type::kU32:
    case Type::kB32:
      return choose(uint32_t{});
    case Type::kU64:
    case Type::kB64:
      return choose(uint64_t{});
    case Type::kS16:
      return choose(int16_t{});
    case Type::kS32:
      return choose(int32_t{});
    case Type::kS64:
      return choose(int64_t{});
    default:
      return nullptr;
  }
}

template <template <class> class F>
Handler UnaryInteger(Type type) {
  return ForInteger(type, [](auto t) -> Handler { return Unary<decltype(t), F<decltype(t)>>; });
}
template <template <class> class F>
Handler BinaryInteger(Type type) {
  return ForInteger(type, [](auto t) -> Handler { return Binary<decltype(t), F<decltype(t)>>; });
}
template <template <class> class F>
Handler TernaryInteger(Type type) {
  return ForInteger(type, [](auto t) -> Handler { return Ternary<decltype(t), F<decltype(t)>>; });
}

}  // namespace ptxemu
