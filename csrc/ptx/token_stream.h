// The parser's view of the tokens: look, accept, require.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "lexer.h"
#include "text.h"

namespace ptxemu {

class TokenStream {
 public:
  explicit TokenStream(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& Peek(size_t ahead = 0) const {
    const size_t i = position_ + ahead;
    return tokens_[i < tokens_.size() ? i : tokens_.size() - 1];
  }
  bool AtEnd() const { return Peek().kind == Token::kEnd; }
  bool Is(const char* text) const {
    return Peek().text == text && Peek().kind != Token::kString && !AtEnd();
  }
  bool IsDirective() const { return Peek().kind == Token::kIdentifier && Peek().text[0] == '.'; }
  bool IsNumber() const { return Peek().kind == Token::kNumber; }
  bool IsIdentifier() const { return Peek().kind == Token::kIdentifier; }

  Token Next() {
    if (AtEnd()) Fail("unexpected end of text");
    return tokens_[position_++];
  }
  bool Accept(const char* text) {
    if (!Is(text)) return false;
    ++position_;
    return true;
  }
  void Expect(const char* text) {
    if (!Accept(text)) Fail(std::string("expected ") + text);
  }
  std::string Identifier() {
    if (!IsIdentifier()) Fail("expected a name");
    return Next().text;
  }
  uint64_t Number(bool negative, NumberKind& kind) {
    if (!IsNumber()) Fail("expected a number");
    try {
      const uint64_t value = ParseNumber(Peek().text, negative, kind);
      ++position_;
      return value;
    } catch (Error& error) {
      Fail(error.what());
    }
  }
  // Integer with an optional sign.
  int64_t Integer() {
    const bool negative = Accept("-");
    NumberKind kind;
    return static_cast<int64_t>(Number(negative, kind));
  }
  // Positive integer up to `limit`.
  uint32_t Count(uint64_t limit, const char* what) {
    const int64_t value = Integer();
    if (value < 1 || static_cast<uint64_t>(value) > limit) {
      Fail(Format("%s must lie between 1 and %llu", what, (unsigned long long)limit));
    }
    return static_cast<uint32_t>(value);
  }
  uint32_t Alignment() {
    const uint32_t value = Count(1024, "an alignment");
    if (value & (value - 1)) Fail("an alignment must be a power of two");
    return value;
  }
  void SkipPast(const char* text) {
    while (!Accept(text)) Next();
  }
  void SkipRestOfLine(int line) {
    while (!AtEnd() && Peek().line == line) ++position_;
  }
  // Skips { ... } with everything nested in it.
  void SkipBraces() {
    Expect("{");
    for (int depth = 1; depth;) {
      if (Is("{")) ++depth;
      if (Is("}")) --depth;
      Next();
    }
  }
  [[noreturn]] void Fail(const std::string& message) const {
    throw Error(Format("PTX line %d near '%s': %s", Peek().line, Peek().text.substr(0, 60).c_str(),
                       message.c_str()));
  }

 private:
  std::vector<Token> tokens_;
  size_t position_ = 0;
};

}  // namespace ptxemu
