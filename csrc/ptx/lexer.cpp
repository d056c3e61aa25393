#include "lexer.h"

#include <cctype>
#include <cstdlib>
#include <cstring>

#include "text.h"

namespace ptxemu {
namespace {

bool IsDigit(char c) { return std::isdigit(static_cast<unsigned char>(c)); }
bool IsWord(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%' ||
         c == '.';
}

// Skips white space and comments.
const char* SkipBlank(const char* p, int& line) {
  for (;;) {
    if (*p == '\n') {
      ++line;
      ++p;
    } else if (*p && std::isspace(static_cast<unsigned char>(*p))) {
      ++p;
    } else if (p[0] == '/' && p[1] == '/') {
      while (*p && *p != '\n') ++p;
    } else if (p[0] == '/' && p[1] == '*') {
      for (p += 2; *p && !(p[0] == '*' && p[1] == '/'); ++p) line += *p == '\n';
      if (*p) p += 2;
    } else {
      return p;
    }
  }
}

uint64_t Bits(double value) {
  uint64_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

}  // namespace

std::vector<Token> Tokenize(const char* text) {
  std::vector<Token> tokens;
  int line = 1;
  for (const char* p = SkipBlank(text, line); *p; p = SkipBlank(p, line)) {
    const char* begin = p;
    const int first_line = line;
    if (*p == '"') {
      for (++p; *p && *p != '"'; ++p) {
        if (*p == '\\' && p[1]) ++p;
        line += *p == '\n';
      }
      tokens.push_back({Token::kString, std::string(begin + 1, p), first_line});
      if (*p) ++p;
    } else if (IsDigit(*p)) {
      const auto exponent_sign = [&] {  // 1.5e-3
        return (*p == '-' || *p == '+') && (p[-1] == 'e' || p[-1] == 'E') &&
               std::memchr(begin, '.', p - begin);
      };
      while (std::isalnum(static_cast<unsigned char>(*p)) || (*p == '.' && IsDigit(p[1])) ||
             exponent_sign()) {
        ++p;
      }
      tokens.push_back({Token::kNumber, std::string(begin, p), line});
    } else if (IsWord(*p)) {
      while (IsWord(*p) || (p[0] == ':' && p[1] == ':')) p += *p == ':' ? 2 : 1;
      tokens.push_back({Token::kIdentifier, std::string(begin, p), line});
    } else {
      tokens.push_back({Token::kPunctuation, std::string(1, *p), line});
      ++p;
    }
  }
  tokens.push_back({Token::kEnd, "", line});
  return tokens;
}

uint64_t ParseNumber(const std::string& text, bool negative, NumberKind& kind) {
  const auto bad = [&]() -> Error { return Error("malformed number '" + text + "'"); };
  const auto convert = [&](const std::string& digits, int base) {
    char* end = nullptr;
    const uint64_t value = std::strtoull(digits.c_str(), &end, base);
    if (digits.empty() || *end) throw bad();
    return value;
  };
  const char second = text.size() > 1 && text[0] == '0'
                          ? static_cast<char>(std::tolower(static_cast<unsigned char>(text[1])))
                          : '\0';
  if (second == 'f' && text.size() == 10) {
    kind = NumberKind::kSingle;
    return convert(text.substr(2), 16) ^ (negative ? 1ull << 31 : 0);
  }
  if (second == 'd' && text.size() == 18) {
    kind = NumberKind::kDouble;
    return convert(text.substr(2), 16) ^ (negative ? 1ull << 63 : 0);
  }
  if (text.find('.') != std::string::npos) {
    kind = NumberKind::kDouble;
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    if (*end) throw bad();
    return Bits(negative ? -value : value);
  }
  kind = NumberKind::kInteger;
  std::string digits = text;
  if (digits.size() > 1 && digits.back() == 'U') digits.pop_back();
  uint64_t value;
  if (second == 'x') {
    value = convert(digits.substr(2), 16);
  } else if (second == 'b') {
    value = convert(digits.substr(2), 2);
  } else {
    value = convert(digits, digits.size() > 1 && digits[0] == '0' ? 8 : 10);
  }
  return negative ? 0 - value : value;
}

}  // namespace ptxemu
