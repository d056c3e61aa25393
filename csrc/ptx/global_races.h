// Races on global memory within one launch: a shadow of every byte that is accessed. Blocks are
// unordered unless one releases (a fence, then an atomic) what another acquires (an atomic) later;
// within a block the order is that of hazards.h.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "hazards.h"

namespace ptxemu {

class GlobalRaces {
 public:
  explicit GlobalRaces(uint64_t blocks) : blocks_(blocks) {}

  // Plain accesses.
  void Access(Warp& warp, const Instruction& instruction, uint32_t mask, const uint64_t* addresses,
              int bytes, bool writes);
  void Atomic(Warp& warp, const Instruction& instruction, uint32_t mask, const uint64_t* addresses,
              int bytes);
  void Fence(uint64_t block);

 private:
  struct Touch {
    uint32_t block = 0;  // + 1; 0: none, kSeveral: more than one
    Stamp stamp = 0;     // within the block
    uint32_t time = 0;   // of the whole launch
  };
  struct Cell {
    Touch writer, reader;
  };
  struct BlockState {
    bool fenced = false;
    uint32_t acquired = 0;           // everything released until then is visible
    std::vector<uint32_t> releases;  // ascending
  };
  static constexpr uint32_t kSeveral = ~0u;
  static constexpr int kPageShift = 10;
  using Page = std::array<Cell, 1 << kPageShift>;

  Cell& At(uint64_t address);
  bool IsOrdered(const Touch& before, const Warp& warp, int lane) const;
  bool Check(const Touch& before, Warp& warp, const Instruction& instruction, int lane,
             uint64_t address, const char* what) const;

  std::mutex mutex_;
  std::unordered_map<uint64_t, std::unique_ptr<Page>> pages_;
  std::vector<BlockState> blocks_;
  uint32_t time_ = 1;
};

}  // namespace ptxemu
