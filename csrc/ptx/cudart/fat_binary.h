// The device code that nvcc embeds in a host object: a container of one text of PTX per
// architecture. Only uncompressed PTX is read; machine code is skipped.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ptxemu.h"

namespace ptxemu {

// One parameter of a kernel in its packed parameter block.
struct Parameter {
  size_t offset, size;
};

struct Kernel {
  ptxemu_module* module = nullptr;
  std::vector<Parameter> parameters;
  size_t block_bytes = 0, static_shared = 0;
};

class FatBinary {
 public:
  // `wrapper` is what __cudaRegisterFatBinary is given.
  explicit FatBinary(const void* wrapper);

  // The kernel in the PTX of the newest architecture that is not newer than `arch`, or null with a
  // reason. PTX is parsed when its first kernel is asked for.
  const Kernel* find(const std::string& name, int arch, std::string* reason);

 private:
  struct Variant {
    std::string text;
    bool parsed = false;
    std::string error;
    std::map<std::string, Kernel> kernels;
  };
  static void parse(Variant* variant);

  std::map<int, Variant> variants_;  // by architecture
  bool compressed_ = false;
};

}  // namespace ptxemu
