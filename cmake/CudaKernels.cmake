# Compiles csrc/*/*.cu with nvcc, which needs neither Paddle nor CMake's own support for CUDA (that
# would ask for a whole toolkit where a compiler is enough).
#
# PYGAN_NVCC       the compiler; PYGAN_NVCC_HOST the g++ that it is given, empty for its default
# PYGAN_CUDA_ARCHS what GPU builds hold machine code for; PTX of the last one is for newer GPUs
if(NOT PYGAN_NVCC)
  find_program(PYGAN_NVCC nvcc HINTS $ENV{CUDA_HOME}/bin /usr/local/cuda/bin)
endif()
if(NOT PYGAN_NVCC)
  message(FATAL_ERROR "CUDA kernels need nvcc, which is not on PATH nor in CUDA_HOME. Assemble one with: "
                      "scripts/cuda_toolchain.sh 13 build/cuda-13, and give -DPYGAN_NVCC=build/cuda-13/bin/nvcc")
endif()
get_filename_component(PYGAN_NVCC "${PYGAN_NVCC}" ABSOLUTE)
get_filename_component(PYGAN_CUDA_HOME "${PYGAN_NVCC}" DIRECTORY)
get_filename_component(PYGAN_CUDA_HOME "${PYGAN_CUDA_HOME}" DIRECTORY)
execute_process(
  COMMAND ${PYGAN_NVCC} --version
  OUTPUT_VARIABLE _nvcc
  RESULT_VARIABLE _nvcc_result)
string(REGEX MATCH "release ([0-9]+)\\.([0-9]+)" _nvcc_release "${_nvcc}")
if(NOT _nvcc_result EQUAL 0 OR NOT _nvcc_release)
  message(FATAL_ERROR "${PYGAN_NVCC} does not run as nvcc.")
endif()
set(PYGAN_CUDA_MAJOR ${CMAKE_MATCH_1})
set(PYGAN_CUDA_VERSION ${CMAKE_MATCH_1}.${CMAKE_MATCH_2})
if(NOT PYGAN_CUDA_ARCHS)
  set(PYGAN_CUDA_ARCHS 70 75 80 86 89 90)  # CUDA 11.8
  if(PYGAN_CUDA_MAJOR GREATER_EQUAL 13)
    set(PYGAN_CUDA_ARCHS 75 80 86 89 90 100 120)
  endif()
endif()
message(STATUS "CUDA ${PYGAN_CUDA_VERSION} at ${PYGAN_CUDA_HOME}")

file(GLOB PYGAN_CUDA_SOURCES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/csrc/*/*.cu)
set(PYGAN_NVCC_FLAGS
    -std=c++17 -O3 -cudart shared -Xcompiler -fPIC,-fvisibility=hidden,-Wall,-Wextra -I
    ${CMAKE_SOURCE_DIR}/csrc)
if(PYGAN_NVCC_HOST)
  list(APPEND PYGAN_NVCC_FLAGS -ccbin ${PYGAN_NVCC_HOST})
endif()

# Sets <name>_OBJECTS to the objects of all sources, compiled with these options. What the compiler
# says of each kernel's registers and memory is kept beside its object, in <object>.log.
function(pygan_cuda_objects name)
  set(objects)
  foreach(source IN LISTS PYGAN_CUDA_SOURCES)
    file(RELATIVE_PATH relative ${CMAKE_SOURCE_DIR}/csrc ${source})
    set(object ${CMAKE_BINARY_DIR}/${name}/${relative}.o)
    get_filename_component(folder ${object} DIRECTORY)
    file(MAKE_DIRECTORY ${folder})
    add_custom_command(
      OUTPUT ${object}
      COMMAND sh ${CMAKE_SOURCE_DIR}/cmake/run_logged.sh ${object}.log ${PYGAN_NVCC}
              ${PYGAN_NVCC_FLAGS} ${ARGN} -MD -MF ${object}.d -c ${source} -o ${object}
      DEPENDS ${source}
      DEPFILE ${object}.d
      COMMENT "Building CUDA object ${relative}"
      VERBATIM)
    list(APPEND objects ${object})
  endforeach()
  set(${name}_OBJECTS ${objects} PARENT_SCOPE)
endfunction()
