# Compiles kernel sources once per instruction set; the launchers choose at run time (common/isa.h).
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
  set(PYGAN_BASELINE_FLAGS -march=x86-64-v2)
  set(PYGAN_ISA_DEFINITIONS PYGAN_HAVE_X86_LEVELS)
  set(PYGAN_ISAS baseline avx2 avx512)
else()
  set(PYGAN_BASELINE_FLAGS)
  set(PYGAN_ISA_DEFINITIONS)
  set(PYGAN_ISAS baseline)
endif()
set(PYGAN_ISA_FLAGS_baseline ${PYGAN_BASELINE_FLAGS})
set(PYGAN_ISA_FLAGS_avx2 -march=x86-64-v3)
set(PYGAN_ISA_FLAGS_avx512 -march=x86-64-v4 -mprefer-vector-width=512)
set(PYGAN_VECTOR_BYTES_baseline 16)
set(PYGAN_VECTOR_BYTES_avx2 32)
set(PYGAN_VECTOR_BYTES_avx512 64)

# Sets <name>_OBJECTS to the objects of all levels.
function(pygan_isa_objects name sources)
  set(objects)
  foreach(isa IN LISTS PYGAN_ISAS)
    set(target ${name}_${isa})
    add_library(${target} OBJECT ${sources})
    target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/csrc)
    target_compile_options(${target} PRIVATE ${PYGAN_COMPILE_OPTIONS} ${PYGAN_ISA_FLAGS_${isa}}
                                             -fopenmp)
    target_compile_definitions(
      ${target} PRIVATE ${PYGAN_ISA_DEFINITIONS} PYGAN_ISA=${isa}
                        PYGAN_VECTOR_BYTES=${PYGAN_VECTOR_BYTES_${isa}})
    if(PYGAN_ISA_DEFINITIONS)
      # GCC takes longer to read the intrinsics than to compile most kernels: once per level, then.
      target_precompile_headers(${target} PRIVATE <immintrin.h>)
    endif()
    list(APPEND objects $<TARGET_OBJECTS:${target}>)
  endforeach()
  set(${name}_OBJECTS ${objects} PARENT_SCOPE)
endfunction()
