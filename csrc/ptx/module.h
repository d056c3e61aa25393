// Loading: PTX text -> a program whose kernels can be launched.
#pragma once
#include <memory>
#include <string>

#include "program.h"

namespace ptxemu {

// Throws Error when the text is not valid PTX. Module variables are allocated and initialised.
std::unique_ptr<Program> LoadProgram(const char* text);

// "name:offset/size,...;..." as ptxemu_kernels documents.
std::string DescribeKernels(const Program& program);

}  // namespace ptxemu
