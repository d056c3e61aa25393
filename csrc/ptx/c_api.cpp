// The C interface: see ptxemu.h.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>

#include "device.h"
#include "launch.h"
#include "module.h"
#include "ptxemu.h"
#include "registry.h"
#include "text.h"

struct ptxemu_module {
  std::unique_ptr<ptxemu::Program> program;
  std::string kernels;
};

namespace {

enum Result { kSuccess, kBadArgument, kRefused, kFault };

thread_local std::string last_error;
std::mutex launch_mutex;
// Its report is written when somebody asks for it, in as much detail as he asks for.
std::unique_ptr<ptxemu::Launch> last_launch;
// What the caller was given stays valid until its next question.
thread_local std::string returned_statistics;
std::atomic<bool> strict{false}, global_races{false};
std::atomic<uint64_t> instruction_limit{0};

int Fail(Result result, const std::string& message) {
  last_error = message;
  return result;
}

void RegisterVariables(const ptxemu::Program& program) {
  for (const auto& [name, variable] : program.variables) {
    ptxemu::RegisterMemory(variable.storage, variable.bytes, name, false);
  }
}

}  // namespace

extern "C" {

ptxemu_module* ptxemu_load(const char* ptx) {
  try {
    auto module = std::make_unique<ptxemu_module>();
    module->program = ptxemu::LoadProgram(ptx);
    module->kernels = ptxemu::DescribeKernels(*module->program);
    RegisterVariables(*module->program);
    return module.release();
  } catch (std::exception& error) {
    last_error = error.what();
    return nullptr;
  }
}

void ptxemu_unload(ptxemu_module* module) {
  if (!module) return;
  std::lock_guard<std::mutex> lock(launch_mutex);
  if (last_launch && last_launch->program == module->program.get()) last_launch.reset();
  for (const auto& entry : module->program->variables) {
    ptxemu::UnregisterMemory(entry.second.storage);
  }
  delete module;
}

const char* ptxemu_error(void) { return last_error.c_str(); }

const char* ptxemu_kernels(ptxemu_module* module) { return module->kernels.c_str(); }

int ptxemu_static_shared(ptxemu_module* module, const char* kernel) {
  const auto found = module->program->kernels.find(kernel);
  if (found == module->program->kernels.end()) return -1;
  return static_cast<int>(found->second->static_shared);
}

int ptxemu_variable(ptxemu_module* module, const char* name, void** address, size_t* bytes) {
  const auto found = module->program->variables.find(name);
  if (found == module->program->variables.end()) {
    return Fail(kBadArgument, std::string("no variable ") + name);
  }
  *address = found->second.storage;
  *bytes = found->second.bytes;
  return kSuccess;
}

void ptxemu_register(const void* address, size_t bytes, const char* name) {
  ptxemu::RegisterMemory(address, bytes, name ? name : "", false);
}
void ptxemu_register_fresh(const void* address, size_t bytes, const char* name) {
  ptxemu::RegisterMemory(address, bytes, name ? name : "", true);
}
void ptxemu_mark_written(const void* address, size_t bytes) { ptxemu::MarkWritten(address, bytes); }
void ptxemu_unregister(const void* address) { ptxemu::UnregisterMemory(address); }

int ptxemu_launch(ptxemu_module* module, const char* kernel_name, unsigned grid_x, unsigned grid_y,
                  unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z,
                  unsigned dynamic_shared_bytes, const void* params, size_t param_bytes,
                  int threads) {
  std::lock_guard<std::mutex> lock(launch_mutex);
  try {
    const ptxemu::Program& program = *module->program;
    const auto found = program.kernels.find(kernel_name);
    if (found == program.kernels.end()) {
      return Fail(kBadArgument, std::string("no kernel ") + kernel_name);
    }
    const ptxemu::Kernel& kernel = *found->second;
    const ptxemu::LaunchShape shape{
        {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, dynamic_shared_bytes};
    const std::string refusal = ptxemu::LaunchRefusal(program, kernel, shape);
    if (!refusal.empty()) return Fail(kRefused, refusal);
    if (param_bytes < kernel.parameter_bytes) {
      return Fail(kBadArgument, ptxemu::Format("kernel %s: %zu bytes of parameters, %u are needed",
                                               kernel_name, param_bytes, kernel.parameter_bytes));
    }
    last_launch = std::make_unique<ptxemu::Launch>();
    ptxemu::Launch& launch = *last_launch;
    launch.kernel = &kernel;
    launch.program = &program;
    launch.shape = shape;
    launch.parameters.resize(kernel.parameter_bytes + 16);
    if (kernel.parameter_bytes) {
      std::memcpy(launch.parameters.data(), params, kernel.parameter_bytes);
    }
    launch.memory = ptxemu::MemoryMap::Snapshot();
    launch.instruction_limit = instruction_limit;
    if (global_races) launch.global_races = std::make_unique<ptxemu::GlobalRaces>(shape.Blocks());
    ptxemu::RunLaunch(launch, threads);
    launch.global_races.reset();  // large, and in no report
    if (!launch.error.empty()) return Fail(kFault, launch.error);
    if (strict && launch.hazards.Total()) return Fail(kFault, launch.hazards.first);
    return kSuccess;
  } catch (std::exception& error) {
    return Fail(kFault, error.what());
  }
}

const char* ptxemu_stats(int per_instruction) {
  std::lock_guard<std::mutex> lock(launch_mutex);
  returned_statistics =
      last_launch ? ptxemu::StatisticsJson(*last_launch, per_instruction != 0) : "{}";
  return returned_statistics.c_str();
}

void ptxemu_set_strict(int on) { strict = on != 0; }
void ptxemu_set_global_races(int on) { global_races = on != 0; }
void ptxemu_set_instruction_limit(uint64_t instructions) { instruction_limit = instructions; }

int ptxemu_set_device(int arch) {
  if (ptxemu::SelectDevice(arch)) return kSuccess;
  return Fail(kBadArgument,
              ptxemu::Format("unknown architecture %d: 70, 75, 80, 86, 89 or 90", arch));
}
int ptxemu_device_attribute(int attribute) {
  return ptxemu::DeviceAttribute(ptxemu::CurrentDevice(), attribute);
}
const char* ptxemu_device_name(void) { return ptxemu::CurrentDevice().name; }
size_t ptxemu_device_memory(void) { return ptxemu::CurrentDevice().memory_bytes; }

}  // extern "C"
