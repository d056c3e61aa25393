// Global memory: the host ranges that kernels may access, and what they touched in them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ptxemu {

// One bit per byte that was written, of memory registered as fresh. Outlives launches.
struct WrittenBytes {
  uint64_t low;
  std::vector<uint64_t> bits;

  WrittenBytes(uint64_t address, size_t bytes) : low(address), bits((bytes + 63) / 64, 0) {}
  void Mark(uint64_t address, size_t bytes);
  // The first of these bytes that was never written, or -1.
  int FirstUnwritten(uint64_t address, int bytes) const;
};

// A maximal range of registered memory, as one launch sees it.
struct Buffer {
  uint64_t low = 0, high = 0;  // [low, high)
  std::string name;
  // Touched 32-byte sectors, one bit each, starting with the sector of `low`.
  mutable std::vector<uint64_t> sectors_read, sectors_written;
  struct Fresh {
    uint64_t low, high;
    std::shared_ptr<WrittenBytes> written;
  };
  std::vector<Fresh> fresh;
};

void RegisterMemory(const void* address, size_t bytes, const std::string& name, bool fresh);
void UnregisterMemory(const void* address);
void MarkWritten(const void* address, size_t bytes);

// The registered memory of the moment: disjoint buffers in ascending order.
class MemoryMap {
 public:
  static MemoryMap Snapshot();
  const Buffer* Find(uint64_t address) const;
  const std::vector<std::unique_ptr<Buffer>>& buffers() const { return buffers_; }
  // "(buffer 'x' of 400 bytes, offset 404)" of the nearest buffer, empty when none is near.
  std::string Describe(uint64_t address) const;

 private:
  std::vector<std::unique_ptr<Buffer>> buffers_;
};

}  // namespace ptxemu
