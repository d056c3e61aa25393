#include "common/isa.h"

#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace pygan {
namespace {

Isa best_of_machine() {
#if defined(PYGAN_HAVE_X86_LEVELS)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi2");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
  if (avx512) return Isa::avx512;
  if (avx2) return Isa::avx2;
#endif
  return Isa::baseline;
}

Isa chosen() {
  const Isa best = best_of_machine();
  const char* wish = std::getenv("PYGAN_CPU_ISA");
  if (wish == nullptr) return best;
  for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (std::strcmp(wish, isa_name(isa)) == 0) return isa < best ? isa : best;
  }
  return best;
}

}  // namespace

Isa cpu_isa() {
  static const Isa isa = chosen();
  return isa;
}

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::avx512:
      return "avx512";
    case Isa::avx2:
      return "avx2";
    default:
      return "baseline";
  }
}

}  // namespace pygan
