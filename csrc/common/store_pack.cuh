// Stores of whole packs.
#pragma once

#include <cstring>

#include "common/cuda_launch.cuh"

namespace pygan {
namespace device {

// In so many words, because the compiler takes a pack made of computed values apart again.
template <typename T, int N>
__device__ __forceinline__ void store_pack(T* p, const Pack<T, N>& pack) {
  constexpr int kWords = sizeof(pack) / sizeof(uint32_t);
  if constexpr (N > 1 && (kWords == 4 || kWords == 2)) {
    uint32_t w[kWords];
    memcpy(w, &pack, sizeof(pack));
    const size_t to = __cvta_generic_to_global(p);
    if constexpr (kWords == 4) {
      asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(to), "r"(w[0]), "r"(w[1]),
                   "r"(w[2]), "r"(w[3])
                   : "memory");
    } else {
      asm volatile("st.global.v2.b32 [%0], {%1, %2};" ::"l"(to), "r"(w[0]), "r"(w[1]) : "memory");
    }
  } else {
    *reinterpret_cast<Pack<T, N>*>(p) = pack;
  }
}

}  // namespace device
}  // namespace pygan
