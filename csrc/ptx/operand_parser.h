// Operands of instructions: names, numbers, vectors and addresses.
#pragma once
#include "ast.h"
#include "token_stream.h"

namespace ptxemu {

// Consumes one operand. Throws Error when there is none.
Operand ParseOperand(TokenStream& tokens);

}  // namespace ptxemu
