// PTX text -> syntax tree.
#pragma once
#include "ast.h"

namespace ptxemu {

// Throws Error, naming the line, when the text is not PTX.
ModuleAst ParseModule(const char* text);

}  // namespace ptxemu
