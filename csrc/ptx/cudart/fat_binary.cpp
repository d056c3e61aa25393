#include "cudart/fat_binary.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace ptxemu {
namespace {

// The container's layout, as fatbinary of CUDA 11 and 13 writes it.
struct __attribute__((packed)) Header {
  uint32_t magic;
  uint16_t version, header_bytes;
  uint64_t bytes;
};
struct __attribute__((packed)) Entry {
  uint16_t kind, version;  // kind 1: PTX, 2: machine code
  uint32_t header_bytes;
  uint64_t bytes;
  uint32_t compressed_bytes, unused;
  uint16_t minor, major;
  uint32_t arch;
};
struct Wrapper {
  int magic, version;
  const void* data;
  void* unused;
};

bool is_text(const char* p) {
  return std::strncmp(p, "//", 2) == 0 || std::strncmp(p, ".version", 8) == 0 || *p == '\n';
}

// "offset/size,offset/size,..." with letters behind the sizes.
Kernel kernel_of(ptxemu_module* module, const std::string& layout) {
  Kernel kernel;
  kernel.module = module;
  const char* p = layout.c_str();
  while (*p != '\0') {
    char* end;
    Parameter parameter;
    parameter.offset = std::strtoul(p, &end, 10);
    parameter.size = std::strtoul(end + 1, &end, 10);
    kernel.parameters.push_back(parameter);
    if (kernel.block_bytes < parameter.offset + parameter.size) {
      kernel.block_bytes = parameter.offset + parameter.size;
    }
    p = std::strchr(end, ',');
    if (p == nullptr) break;
    ++p;
  }
  return kernel;
}

}  // namespace

FatBinary::FatBinary(const void* wrapper) {
  const char* const data = static_cast<const char*>(static_cast<const Wrapper*>(wrapper)->data);
  Header header;
  std::memcpy(&header, data, sizeof(header));
  const char* p = data + header.header_bytes;
  const char* const end = p + header.bytes;
  while (p < end) {
    Entry entry;
    std::memcpy(&entry, p, sizeof(entry));
    const char* const payload = p + entry.header_bytes;
    if (entry.kind == 1) {
      if (is_text(payload)) {
        variants_[static_cast<int>(entry.arch)].text.assign(
            payload, strnlen(payload, static_cast<size_t>(entry.bytes)));
      } else {
        compressed_ = true;
      }
    }
    p = payload + entry.bytes;
  }
}

void FatBinary::parse(Variant* variant) {
  variant->parsed = true;
  ptxemu_module* const module = ptxemu_load(variant->text.c_str());
  if (module == nullptr) {
    variant->error = ptxemu_error();
    return;
  }
  // "name:layout;name:layout;..."
  const std::string list = ptxemu_kernels(module);
  for (size_t begin = 0; begin < list.size();) {
    size_t end = list.find(';', begin);
    if (end == std::string::npos) end = list.size();
    const size_t colon = list.find(':', begin);
    if (colon < end) {
      const std::string name = list.substr(begin, colon - begin);
      Kernel& kernel = variant->kernels[name];
      kernel = kernel_of(module, list.substr(colon + 1, end - colon - 1));
      kernel.static_shared = static_cast<size_t>(ptxemu_static_shared(module, name.c_str()));
    }
    begin = end + 1;
  }
  std::string().swap(variant->text);
}

const Kernel* FatBinary::find(const std::string& name, int arch, std::string* reason) {
  Variant* best = nullptr;
  for (auto& variant : variants_) {
    if (variant.first <= arch) best = &variant.second;
  }
  if (best == nullptr) {
    *reason = compressed_ ? "the PTX is compressed; give nvcc -Xfatbin -compress=false"
                          : "no PTX for sm_" + std::to_string(arch) +
                                "; give nvcc -gencode arch=compute_XX,code=compute_XX";
    return nullptr;
  }
  if (!best->parsed) parse(best);
  if (!best->error.empty()) {
    *reason = best->error;
    return nullptr;
  }
  const auto found = best->kernels.find(name);
  if (found == best->kernels.end()) {
    *reason = "the PTX has no kernel " + name;
    return nullptr;
  }
  return &found->second;
}

}  // namespace ptxemu
