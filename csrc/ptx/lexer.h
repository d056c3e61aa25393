// PTX text -> tokens.
#pragma once
#include <string>
#include <vector>

#include "ast.h"

namespace ptxemu {

struct Token {
  enum Kind : uint8_t { kIdentifier, kNumber, kPunctuation, kString, kEnd };
  Kind kind;
  std::string text;
  int line;
};

// Identifiers keep their dots ("ld.global.f32", ".reg", "%tid.x") and double colons ("L2::128B").
// The last token is always a kEnd.
std::vector<Token> Tokenize(const char* text);

// Integer (decimal, octal, hexadecimal, binary, suffix U), 0fXXXXXXXX, 0dXXXXXXXXXXXXXXXX or a
// decimal fraction, which counts as double. Throws when `text` is no number.
uint64_t ParseNumber(const std::string& text, bool negative, NumberKind& kind);

}  // namespace ptxemu
