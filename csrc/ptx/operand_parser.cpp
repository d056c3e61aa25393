#include "operand_parser.h"

namespace ptxemu {
namespace {

constexpr int kMaxNesting = 64;

Operand ParseOperand(TokenStream& tokens, int nesting);

Operand ParseAddress(TokenStream& tokens) {
  Operand operand;
  operand.kind = Operand::kAddress;
  if (tokens.IsIdentifier()) {
    operand.name = tokens.Identifier();
  } else {
    operand.offset = tokens.Integer();
  }
  if (tokens.Accept("+")) {
    operand.offset = static_cast<int64_t>(static_cast<uint64_t>(operand.offset) +
                                          static_cast<uint64_t>(tokens.Integer()));
  } else if (tokens.Is("-")) {
    operand.offset = static_cast<int64_t>(static_cast<uint64_t>(operand.offset) +
                                          static_cast<uint64_t>(tokens.Integer()));
  }
  while (tokens.Accept(",")) operand.elements.push_back(ParseOperand(tokens));  // of textures
  tokens.Expect("]");
  return operand;
}

Operand ParseOperand(TokenStream& tokens, int nesting) {
  if (nesting > kMaxNesting) tokens.Fail("an operand is nested too deeply");
  Operand operand;
  if (tokens.Accept("!")) {
    operand = ParseOperand(tokens, nesting + 1);
    operand.negated = !operand.negated;
    return operand;
  }
  if (tokens.Accept("{")) {
    operand.kind = Operand::kVector;
    while (!tokens.Accept("}")) {
      operand.elements.push_back(ParseOperand(tokens, nesting + 1));
      if (!tokens.Is("}")) tokens.Expect(",");
    }
    return operand;
  }
  if (tokens.Accept("[")) return ParseAddress(tokens);
  const bool negative = tokens.Accept("-");
  if (tokens.IsNumber()) {
    operand.kind = Operand::kImmediate;
    operand.value = tokens.Number(negative, operand.number_kind);
    return operand;
  }
  operand.name = tokens.Identifier();
  operand.kind = operand.name == "_" ? Operand::kSink : Operand::kName;
  operand.negated = negative;
  if (tokens.Accept("|")) operand.second_name = tokens.Identifier();
  if (tokens.Accept("+")) operand.offset = tokens.Integer();
  return operand;
}

}  // namespace

Operand ParseOperand(TokenStream& tokens) { return ParseOperand(tokens, 0); }

}  // namespace ptxemu
