#include "launch.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <limits>
#include <mutex>
#include <thread>

#include "device.h"
#include "lanes.h"
#include "scheduler.h"
#include "text.h"

namespace ptxemu {
namespace {

constexpr uint64_t kDefaultInstructionLimit = 4000000000;
constexpr uint8_t kPoison = 0xcd;

struct FreeDeleter {
  void operator()(void* memory) const { std::free(memory); }
};
using AlignedBytes = std::unique_ptr<uint8_t[], FreeDeleter>;

AlignedBytes AllocateAligned(size_t bytes) {
  constexpr size_t kAlign = 256;
  void* memory = std::aligned_alloc(kAlign, (bytes + kAlign) / kAlign * kAlign);
  if (!memory) throw Error(Format("not enough host memory for %zu bytes", bytes));
  return AlignedBytes(static_cast<uint8_t*>(memory));
}

// What the threads of a launch share.
struct Progress {
  std::atomic<uint64_t> next_block{0};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  uint64_t failed_block = std::numeric_limits<uint64_t>::max();
};

// Runs blocks, one after the other, in storage that is allocated once.
class Worker {
 public:
  Worker(Launch& launch, Progress& progress) : launch_(launch), progress_(progress) {}
  void Run();

 private:
  void Allocate();
  void FillSpecialRegisters(Warp& warp);
  void StartBlock(uint64_t index);
  void Broadcast(Warp& warp, const char* name, uint32_t value);

  Launch& launch_;
  Progress& progress_;
  Block block_;
  AlignedBytes registers_, shared_;
  std::vector<uint8_t> local_, local_written_;
};

uint32_t SpecialValue(const std::string& name, uint32_t warp, uint32_t lane,
                      const LaunchShape& shape, uint32_t warps, uint32_t shared_bytes) {
  const uint32_t thread = warp * 32 + lane, bit = 1u << lane;
  const uint32_t* extent = shape.block;
  const uint32_t* grid = shape.grid;
  if (name == "%tid.x") return thread % extent[0];
  if (name == "%tid.y") return thread / extent[0] % extent[1];
  if (name == "%tid.z") return thread / extent[0] / extent[1];
  if (name == "%ntid.x") return extent[0];
  if (name == "%ntid.y") return extent[1];
  if (name == "%ntid.z") return extent[2];
  if (name == "%nctaid.x") return grid[0];
  if (name == "%nctaid.y") return grid[1];
  if (name == "%nctaid.z") return grid[2];
  if (name == "%laneid") return lane;
  if (name == "%warpid") return warp;
  if (name == "%nwarpid") return warps;
  if (name == "%lanemask_eq") return bit;
  if (name == "%lanemask_lt") return bit - 1;
  if (name == "%lanemask_le") return bit - 1 + bit;
  if (name == "%lanemask_gt") return ~(bit - 1 + bit);
  if (name == "%lanemask_ge") return ~(bit - 1);
  if (name == "%nsmid") return static_cast<uint32_t>(CurrentDevice().multiprocessors);
  if (name == "%dynamic_smem_size") return shape.dynamic_shared;
  if (name == "%total_smem_size") return shared_bytes;
  return 0;
}

void Worker::FillSpecialRegisters(Warp& warp) {
  for (const auto& [name, slot] : block_.kernel->special_registers) {
    for (uint32_t lane = 0; lane < kLanes; ++lane) {
      const uint32_t value =
          SpecialValue(name, static_cast<uint32_t>(warp.id), lane, launch_.shape,
                       static_cast<uint32_t>(block_.warps.size()), block_.shared_bytes);
      if (name == "%gridid" || name == "%clock64" || name == "%globaltimer") {
        Register<uint64_t>(warp, slot)[lane] = value;
      } else {
        Register<uint32_t>(warp, slot)[lane] = value;
      }
    }
  }
}

void Worker::Allocate() {
  const Kernel& kernel = *launch_.kernel;
  const uint32_t threads = launch_.shape.Threads(), warps = (threads + 31) / 32;
  block_.kernel = &kernel;
  block_.launch = &launch_;
  block_.parameters = launch_.parameters.data();
  block_.shared_bytes = launch_.shape.dynamic_shared
                            ? kernel.DynamicSharedOffset() + launch_.shape.dynamic_shared
                            : kernel.static_shared;
  shared_ = AllocateAligned(block_.shared_bytes + 16);
  block_.shared = shared_.get();
  block_.shared_hazards.Configure(block_.shared_bytes, kernel.shared_granule_shift);
  block_.counters.assign(kernel.code.size(), Counters());
  block_.last_buffer.assign(kernel.code.size(), nullptr);

  const size_t register_bytes = kernel.initial_registers.size();
  registers_ = AllocateAligned(register_bytes * warps);
  const size_t local_bytes = size_t{32} * kernel.local_bytes;
  local_.resize(local_bytes * warps);
  local_written_.resize(local_bytes * warps);
  block_.warps.resize(warps);
  for (uint32_t i = 0; i < warps; ++i) {
    Warp& warp = block_.warps[i];
    warp.id = static_cast<int>(i);
    warp.block = &block_;
    warp.registers = registers_.get() + register_bytes * i;
    std::memcpy(warp.registers, kernel.initial_registers.data(), register_bytes);
    warp.local = local_.data() + local_bytes * i;
    warp.local_written = local_written_.data() + local_bytes * i;
    warp.local_bytes = kernel.local_bytes;
    const uint32_t lanes = std::min(32u, threads - i * 32);
    warp.present = lanes == 32 ? kAllLanes : (1u << lanes) - 1;
    FillSpecialRegisters(warp);
  }
}

void Worker::Broadcast(Warp& warp, const char* name, uint32_t value) {
  const auto found = block_.kernel->special_registers.find(name);
  if (found == block_.kernel->special_registers.end()) return;
  std::fill_n(Register<uint32_t>(warp, found->second), kLanes, value);
}

void Worker::StartBlock(uint64_t index) {
  const uint32_t* grid = launch_.shape.grid;
  block_.index = index;
  block_.x = static_cast<uint32_t>(index % grid[0]);
  block_.y = static_cast<uint32_t>(index / grid[0] % grid[1]);
  block_.z = static_cast<uint32_t>(index / grid[0] / grid[1]);
  std::memset(block_.shared, kPoison, block_.shared_bytes);
  std::fill(local_.begin(), local_.end(), kPoison);
  std::fill(local_written_.begin(), local_written_.end(), 0);
  block_.shared_hazards.StartBlock(static_cast<int>(block_.warps.size()));
  for (Block::Barrier& barrier : block_.barriers) barrier = {};
  for (Warp& warp : block_.warps) {
    warp.pc = 0;
    warp.reconverge = -1;
    warp.mask = warp.present;
    warp.exited = 0;
    warp.stack.clear();
    warp.done = false;
    warp.waiting_at = -1;
    warp.carry = 0;
    warp.instructions = 0;
    warp.open_group.clear();
    warp.groups.clear();
    Broadcast(warp, "%ctaid.x", block_.x);
    Broadcast(warp, "%ctaid.y", block_.y);
    Broadcast(warp, "%ctaid.z", block_.z);
  }
}

void Worker::Run() {
  const uint64_t blocks = launch_.shape.Blocks();
  const uint64_t limit =
      launch_.instruction_limit ? launch_.instruction_limit : kDefaultInstructionLimit;
  std::string error;
  try {
    Allocate();
    for (uint64_t i; !progress_.stop && (i = progress_.next_block++) < blocks;) {
      StartBlock(i);
      RunBlock(block_, limit);
    }
  } catch (std::exception& failure) {
    error = failure.what();
    progress_.stop = true;
  }
  std::lock_guard<std::mutex> lock(progress_.mutex);
  if (!error.empty() && block_.index < progress_.failed_block) {
    progress_.failed_block = block_.index;
    launch_.error = error;
  }
  for (size_t i = 0; i < block_.counters.size(); ++i) {
    launch_.counters[i].Add(block_.counters[i]);
  }
  launch_.divergent_branches += block_.divergent_branches;
  launch_.hazards.Add(block_.hazards);
}

std::string ArchName(int arch) { return "sm_" + std::to_string(arch); }

std::string ArchRefusal(const Program& program, const Kernel& kernel) {
  const int device = CurrentDevice().arch;
  if (program.target > device) {
    return Format("kernel %s: its module targets %s, the device is %s", kernel.name.c_str(),
                  ArchName(program.target).c_str(), ArchName(device).c_str());
  }
  const int arch = program.target ? program.target : device;
  if (kernel.required_arch > arch) {
    const InstructionInfo& info = kernel.info[kernel.newest_instruction];
    return Format("kernel %s: %s at %s %d needs %s, the module targets %s", kernel.name.c_str(),
                  info.opcode.c_str(), info.file ? "source line" : "PTX line", info.line,
                  ArchName(kernel.required_arch).c_str(), ArchName(arch).c_str());
  }
  return "";
}

}  // namespace

std::string LaunchRefusal(const Program& program, const Kernel& kernel, const LaunchShape& shape) {
  const std::string arch = ArchRefusal(program, kernel);
  if (!arch.empty()) return arch;
  const Device& device = CurrentDevice();
  const uint32_t *grid = shape.grid, *block = shape.block;
  const uint64_t threads = uint64_t{block[0]} * block[1] * block[2];
  const std::string what = "kernel " + kernel.name + ": ";
  const bool empty = !grid[0] || !grid[1] || !grid[2] || !threads;
  if (empty || grid[0] > 0x7fffffff || grid[1] > 65535 || grid[2] > 65535) {
    return what + Format(
                      "grid (%u,%u,%u) of blocks (%u,%u,%u): grids have 1 to 2147483647 by 1 "
                      "to 65535 by 1 to 65535 blocks, which have threads",
                      grid[0], grid[1], grid[2], block[0], block[1], block[2]);
  }
  if (block[0] > 1024 || block[1] > 1024 || block[2] > 64 || threads > kMaxThreadsPerBlock) {
    return what + Format("block (%u,%u,%u): blocks have at most 1024 threads, and 64 in z",
                         block[0], block[1], block[2]);
  }
  if (kernel.max_threads && threads > kernel.max_threads) {
    return what + Format("block (%u,%u,%u): compiled for at most %u threads (.maxntid)", block[0],
                         block[1], block[2], kernel.max_threads);
  }
  const uint32_t* required = kernel.required_threads;
  if (required[0] && !std::equal(block, block + 3, required)) {
    return what + Format("block (%u,%u,%u): compiled for (%u,%u,%u) (.reqntid)", block[0], block[1],
                         block[2], required[0], required[1], required[2]);
  }
  if (kernel.static_shared > kMaxStaticShared) {
    return what + Format("%u bytes of static shared memory: at most %d", kernel.static_shared,
                         kMaxStaticShared);
  }
  const uint64_t shared =
      uint64_t{shape.dynamic_shared ? kernel.DynamicSharedOffset() : kernel.static_shared} +
      shape.dynamic_shared;
  if (shared > static_cast<uint64_t>(device.shared_per_block_optin)) {
    return what + Format("%llu bytes of shared memory: %s has at most %d per block",
                         (unsigned long long)shared, ArchName(device.arch).c_str(),
                         device.shared_per_block_optin);
  }
  return "";
}

void RunLaunch(Launch& launch, int threads) {
  launch.counters.assign(launch.kernel->code.size(), Counters());
  if (threads <= 0) threads = static_cast<int>(std::thread::hardware_concurrency());
  threads = static_cast<int>(std::min<uint64_t>(std::max(threads, 1), launch.shape.Blocks()));
  Progress progress;
  const auto start = std::chrono::steady_clock::now();
  const std::clock_t cpu_start = std::clock();
  std::vector<std::thread> pool;
  for (int i = 1; i < threads; ++i) {
    pool.emplace_back([&] { Worker(launch, progress).Run(); });
  }
  Worker(launch, progress).Run();
  for (std::thread& thread : pool) thread.join();
  launch.cpu_seconds = static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC;
  launch.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace ptxemu
