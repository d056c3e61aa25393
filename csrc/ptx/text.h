// Messages: printf-style formatting into std::string, and the exception that carries them.
#pragma once
#include <stdexcept>
#include <string>

namespace ptxemu {

// Anything that makes loading or running a kernel fail.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

[[gnu::format(printf, 1, 2)]] std::string Format(const char* format, ...);

}  // namespace ptxemu
