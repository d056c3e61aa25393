#include "machine.h"

#include "launch.h"
#include "text.h"

namespace ptxemu {
namespace {

std::string BaseName(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

}  // namespace

std::string Where(const Warp& warp, const Instruction& instruction, int lane) {
  const Block& block = *warp.block;
  const InstructionInfo& info = block.kernel->info[instruction.id];
  const uint32_t* extent = block.launch->shape.block;
  const uint32_t thread = static_cast<uint32_t>(warp.id * 32 + lane);
  const auto file = block.launch->program->files.find(info.file);
  const std::string source = info.file && file != block.launch->program->files.end()
                                 ? BaseName(file->second) + ":" + std::to_string(info.line)
                                 : "PTX line " + std::to_string(info.line);
  return Format("kernel %s, block (%u,%u,%u), thread %u (%u,%u,%u), %s: %s",
                block.kernel->name.c_str(), block.x, block.y, block.z, thread, thread % extent[0],
                thread / extent[0] % extent[1], thread / extent[0] / extent[1], source.c_str(),
                info.text.c_str());
}

}  // namespace ptxemu
