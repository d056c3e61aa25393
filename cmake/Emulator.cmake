# Target pygan_emulated: the CUDA kernels of csrc/ for machines without a GPU. In PYGAN_EMULATED_DIR:
#
#   libptxemu.so       the emulator of PTX (csrc/ptx)
#   libcudart.so.N     a stand-in for CUDA's runtime, which runs kernels in it
#   pygan_cuda.so      pygan's launchers and kernels, as nvcc compiles them for a GPU
#
# Not part of any wheel.
if(NOT PYGAN_EMULATED_DIR)
  set(PYGAN_EMULATED_DIR ${CMAKE_SOURCE_DIR}/build/emulated)
endif()
add_subdirectory(csrc/ptx EXCLUDE_FROM_ALL)

set(_soname libcudart.so.${PYGAN_CUDA_MAJOR})
if(PYGAN_CUDA_MAJOR EQUAL 11)
  set(_soname libcudart.so.11.0)
endif()
file(WRITE ${CMAKE_BINARY_DIR}/cudart.map "${_soname} { *; };\n")
string(REGEX REPLACE "([0-9]+)\\.([0-9]+)" "\\1" _major ${PYGAN_CUDA_VERSION})
string(REGEX REPLACE "([0-9]+)\\.([0-9]+)" "\\2" _minor ${PYGAN_CUDA_VERSION})
math(EXPR _version "1000 * ${_major} + 10 * ${_minor}")

file(GLOB _cudart_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/csrc/ptx/cudart/*.cpp)
add_library(ptxemu_cudart SHARED EXCLUDE_FROM_ALL ${_cudart_sources})
target_include_directories(ptxemu_cudart PRIVATE csrc/ptx)
target_compile_definitions(ptxemu_cudart PRIVATE PTXEMU_CUDA_VERSION=${_version})
target_compile_options(ptxemu_cudart PRIVATE -O2 -Wall -Wextra -fvisibility=default)
target_link_libraries(ptxemu_cudart PRIVATE ptxemu)
target_link_options(ptxemu_cudart PRIVATE -Wl,-soname,${_soname}
                    -Wl,--version-script=${CMAKE_BINARY_DIR}/cudart.map)
set_target_properties(
  ptxemu_cudart
  PROPERTIES PREFIX ""
             OUTPUT_NAME "${_soname}"
             SUFFIX ""
             LIBRARY_OUTPUT_DIRECTORY ${PYGAN_EMULATED_DIR}
             CXX_VISIBILITY_PRESET default
             BUILD_RPATH "$ORIGIN"
             BUILD_WITH_INSTALL_RPATH OFF)

# PTX for an architecture without, and one with, asynchronous copies and TF32.
pygan_cuda_objects(
  pygan_emulated_kernels -lineinfo -gencode arch=compute_75,code=compute_75 -gencode
  arch=compute_80,code=compute_80 -Xfatbin -compress=false)
set_source_files_properties(${pygan_emulated_kernels_OBJECTS} PROPERTIES EXTERNAL_OBJECT TRUE
                                                                         GENERATED TRUE)
add_library(pygan_emulated MODULE EXCLUDE_FROM_ALL ${pygan_emulated_kernels_OBJECTS})
target_link_libraries(pygan_emulated PRIVATE ptxemu_cudart ptxemu)
target_link_options(pygan_emulated PRIVATE -Wl,--no-as-needed)
set_target_properties(
  pygan_emulated
  PROPERTIES PREFIX ""
             OUTPUT_NAME pygan_cuda
             LINKER_LANGUAGE CXX
             LIBRARY_OUTPUT_DIRECTORY ${PYGAN_EMULATED_DIR}
             BUILD_RPATH "$ORIGIN")
