#include "common/scratch.h"

#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <new>
#include <vector>

namespace pygan {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kMinimumBlock = size_t{4} << 20;

std::atomic<size_t> g_held{0};

struct Block {
  char* data;
  size_t size;
  size_t used;
};

// Blocks are used like a stack: `current` is the one being filled, later ones are empty.
struct Arena {
  std::vector<Block> blocks;
  size_t current = 0;

  ~Arena() { release(); }

  void release() {
    while (!blocks.empty() && blocks.back().used == 0) {
      ::munmap(blocks.back().data, blocks.back().size);
      g_held -= blocks.back().size;
      blocks.pop_back();
    }
    current = 0;
    while (current + 1 < blocks.size() && blocks[current + 1].used > 0) ++current;
  }

  void* allocate(size_t count) {
    count = (count + kAlignment - 1) / kAlignment * kAlignment;
    if (count == 0) count = kAlignment;
    while (current < blocks.size()) {
      Block& block = blocks[current];
      if (block.size - block.used >= count) {
        void* p = block.data + block.used;
        block.used += count;
        return p;
      }
      if (current + 1 == blocks.size()) break;
      ++current;
    }
    // An empty last block that is too small is replaced rather than kept for ever.
    if (!blocks.empty() && blocks.back().used == 0) {
      ::munmap(blocks.back().data, blocks.back().size);
      g_held -= blocks.back().size;
      blocks.pop_back();
    }
    size_t size = count > kMinimumBlock ? count : kMinimumBlock;
    size = (size + kHugePage - 1) / kHugePage * kHugePage;
    void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) throw std::bad_alloc();
    ::madvise(data, size, MADV_HUGEPAGE);
    g_held += size;
    blocks.push_back({static_cast<char*>(data), size, count});
    current = blocks.size() - 1;
    return data;
  }
};

Arena& arena() {
  thread_local Arena instance;
  return instance;
}

}  // namespace

Scratch::Scratch() {
  Arena& a = arena();
  block_ = a.current;
  used_ = a.blocks.empty() ? 0 : a.blocks[a.current].used;
}

Scratch::~Scratch() {
  Arena& a = arena();
  for (size_t i = block_ + 1; i < a.blocks.size(); ++i) a.blocks[i].used = 0;
  if (block_ < a.blocks.size()) a.blocks[block_].used = used_;
  a.current = block_;
}

void* Scratch::bytes(size_t count) { return arena().allocate(count); }

size_t scratch_bytes_held() { return g_held; }

void scratch_release() { arena().release(); }

}  // namespace pygan
