#include "machine.h"

#include "launch.h"
#include "text.h"

namespace ptxemu {
namespace {

std::string BaseName(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

std::string Line(const Program& program, int file, int line) {
  const auto found = program.files.find(file);
  if (!file || found == program.files.end()) return "PTX line " + std::to_string(line);
  return BaseName(found->second) + ":" + std::to_string(line);
}

// "bf16.hpp:9 (inlined at kernel.cuh:5, kernel.cu:7)": the line, which may be a library's, and
// those of the calls that led to it.
std::string Source(const Program& program, const InstructionInfo& info) {
  std::string text = Line(program, info.file, info.line);
  for (int i = info.inlined_at; i >= 0; i = program.places[i].inlined_at) {
    const SourcePlace& call = program.places[i];
    text += (i == info.inlined_at ? " (inlined at " : ", ") + Line(program, call.file, call.line);
  }
  return info.inlined_at < 0 ? text : text + ")";
}

}  // namespace

std::string Where(const Warp& warp, const Instruction& instruction, int lane) {
  const Block& block = *warp.block;
  const InstructionInfo& info = block.kernel->info[instruction.id];
  const uint32_t* extent = block.launch->shape.block;
  const uint32_t thread = static_cast<uint32_t>(warp.id * 32 + lane);
  return Format("kernel %s, block (%u,%u,%u), thread %u (%u,%u,%u), %s: %s",
                block.kernel->name.c_str(), block.x, block.y, block.z, thread, thread % extent[0],
                thread / extent[0] % extent[1], thread / extent[0] / extent[1],
                Source(*block.launch->program, info).c_str(), info.text.c_str());
}

}  // namespace ptxemu
