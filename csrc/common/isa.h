// Run-time choice among kernels compiled for several x86-64 levels.
//
// A kernel source named `*_kernels.cpp` is compiled once per level (see CMakeLists.txt), each time
// with PYGAN_ISA set to the level's name and PYGAN_VECTOR_BYTES to its vector width. Everything in
// such a file, and in the headers written for it, lives in `namespace pygan::PYGAN_ISA` (or is
// static): an inline function shared by two levels would be merged by the linker, and the machine
// would run code it cannot execute. For the same reason these files use no std:: templates.
#pragma once

namespace pygan {

enum class Isa { baseline = 0, avx2 = 1, avx512 = 2 };

// Best level of this machine, or the lower one named by PYGAN_CPU_ISA=baseline|avx2|avx512.
Isa cpu_isa();

const char* isa_name(Isa isa);

}  // namespace pygan

#if defined(PYGAN_HAVE_X86_LEVELS)
// Calls the same function in the namespace of the best level: PYGAN_DISPATCH(sum(x, n)).
#define PYGAN_DISPATCH(call)            \
  do {                                  \
    switch (::pygan::cpu_isa()) {       \
      case ::pygan::Isa::avx512:        \
        return ::pygan::avx512::call;   \
      case ::pygan::Isa::avx2:          \
        return ::pygan::avx2::call;     \
      default:                          \
        return ::pygan::baseline::call; \
    }                                   \
  } while (0)
// Declares a kernel in the namespace of every level.
#define PYGAN_DECLARE_KERNELS(...) \
  namespace avx512 {               \
  __VA_ARGS__                      \
  }                                \
  namespace avx2 {                 \
  __VA_ARGS__                      \
  }                                \
  namespace baseline {             \
  __VA_ARGS__                      \
  }
#else
#define PYGAN_DISPATCH(call) return ::pygan::baseline::call
#define PYGAN_DECLARE_KERNELS(...) \
  namespace baseline {             \
  __VA_ARGS__                      \
  }
#endif
