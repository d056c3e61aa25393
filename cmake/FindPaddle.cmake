# Asks the Python that will import pygan where its Paddle lives.
#
# Sets PADDLE_VERSION, PADDLE_INCLUDE_DIRS, PADDLE_LIBRARY, PADDLE_OPENMP_LIBRARY.
if(NOT Python_EXECUTABLE)
  find_package(Python REQUIRED COMPONENTS Interpreter)
endif()

execute_process(
  COMMAND
    ${Python_EXECUTABLE} -c
    "import os, paddle; print('PADDLE', paddle.sysconfig.get_include(), os.path.dirname(paddle.__file__), paddle.__version__, sep=';')"
  OUTPUT_VARIABLE _paddle
  ERROR_VARIABLE _paddle_error
  RESULT_VARIABLE _paddle_result
  OUTPUT_STRIP_TRAILING_WHITESPACE)
if(NOT _paddle_result EQUAL 0)
  message(
    FATAL_ERROR
      "${Python_EXECUTABLE} cannot import paddle, which pygan's operators are built against. "
      "Run: ${Python_EXECUTABLE} -m pip install paddlepaddle==3.3.1\n${_paddle_error}")
endif()
string(REGEX MATCH "PADDLE;[^\n]*" _paddle "${_paddle}")
list(GET _paddle 1 _paddle_include)
list(GET _paddle 2 _paddle_root)
list(GET _paddle 3 PADDLE_VERSION)
set(PADDLE_INCLUDE_DIRS
    ${_paddle_include} ${_paddle_include}/third_party ${_paddle_include}/paddle/phi/api/include/compat
    ${_paddle_include}/paddle/phi/api/include/compat/torch/csrc/api/include)
set(PADDLE_LIBRARY ${_paddle_root}/base/libpaddle.so)
set(PADDLE_OPENMP_LIBRARY ${_paddle_root}/libs/libiomp5.so)
message(STATUS "Paddle ${PADDLE_VERSION} at ${_paddle_root}")

if(NOT PYGAN_OUTPUT_DIR)
  set(PYGAN_OUTPUT_DIR ${CMAKE_SOURCE_DIR}/pygan)
endif()
