// The report of a launch, as JSON.
#include "counters.h"

#include <map>
#include <utility>

#include "device.h"
#include "launch.h"
#include "text.h"

namespace ptxemu {
namespace {

using U = unsigned long long;

std::string Escape(const std::string& text) {
  std::string escaped;
  for (char c : text) {
    if (c == '"' || c == '\\') escaped += '\\';
    if (static_cast<unsigned char>(c) >= 32) escaped += c;
  }
  return escaped;
}

// Builds {"key":value,...}, one member at a time.
class JsonObject {
 public:
  void Raw(const std::string& key, const std::string& value) {
    text_ += (text_.empty() ? "\"" : ",\"") + key + "\":" + value;
  }
  void Number(const std::string& key, uint64_t value) { Raw(key, std::to_string(value)); }
  void Real(const std::string& key, double value) { Raw(key, Format("%.6g", value)); }
  void String(const std::string& key, const std::string& value) {
    Raw(key, "\"" + Escape(value) + "\"");
  }
  std::string Text() const { return "{" + text_ + "}"; }

 private:
  std::string text_;
};

std::string Array(const std::vector<std::string>& items) {
  std::string text;
  for (const std::string& item : items) text += (text.empty() ? "" : ",") + item;
  return "[" + text + "]";
}

double Ratio(uint64_t numerator, double denominator) {
  return denominator > 0 ? static_cast<double>(numerator) / denominator : 0;
}

// Counters summed over the instructions that access one kind of memory.
struct Totals {
  Counters global_load, global_store, shared_load, shared_store, load_matrix, atomic, local;
  uint64_t warp_instructions = 0, thread_instructions = 0, flops = 0, mma_flops = 0;
  uint64_t mix[static_cast<int>(Category::kCount)] = {};
};

void AddMemory(Totals& totals, const Instruction& instruction, const Counters& counters) {
  switch (instruction.category) {
    case Category::kLoadGlobal:
    case Category::kAsyncCopy:  // only copies have requests, not commits and waits
      return totals.global_load.Add(counters);
    case Category::kStoreGlobal:
      return totals.global_store.Add(counters);
    case Category::kLoadShared:
      return totals.shared_load.Add(counters);
    case Category::kStoreShared:
      return totals.shared_store.Add(counters);
    case Category::kLoadMatrix:
      return totals.load_matrix.Add(counters);
    case Category::kAtomic:
      return instruction.space == Space::kShared ? totals.shared_store.Add(counters)
                                                 : totals.atomic.Add(counters);
    case Category::kLoadLocal:
    case Category::kStoreLocal:
      return totals.local.Add(counters);
    default:
      return;
  }
}

Totals Sum(const Launch& launch) {
  Totals totals;
  for (const Instruction& instruction : launch.kernel->code) {
    const Counters& counters = launch.counters[instruction.id];
    totals.warp_instructions += counters.executions;
    totals.thread_instructions += counters.lanes;
    totals.mix[static_cast<int>(instruction.category)] += counters.executions;
    if (instruction.category == Category::kMma) {
      totals.mma_flops += counters.executions * instruction.flops;
    } else {
      totals.flops += counters.lanes * instruction.flops;
    }
    AddMemory(totals, instruction, counters);
  }
  totals.flops += totals.mma_flops;
  return totals;
}

std::string GlobalJson(const Counters& counters) {
  JsonObject json;
  json.Number("requests", counters.requests);
  json.Number("bytes", counters.ideal);
  json.Number("sectors", counters.transactions);
  json.Real("efficiency", Ratio(counters.ideal, 32.0 * static_cast<double>(counters.transactions)));
  return json.Text();
}

std::string SharedJson(const Counters& counters) {
  JsonObject json;
  json.Number("requests", counters.requests);
  json.Number("wavefronts", counters.transactions);
  json.Number("ideal", counters.ideal);
  return json.Text();
}

uint64_t CountBits(const std::vector<uint64_t>& bits) {
  uint64_t count = 0;
  for (uint64_t word : bits) count += __builtin_popcountll(word);
  return count;
}

// Compulsory traffic: every sector that was touched, once.
void AddBuffers(JsonObject& json, const Launch& launch) {
  JsonObject buffers;
  uint64_t read = 0, written = 0;
  for (const auto& buffer : launch.memory.buffers()) {
    const uint64_t reads = CountBits(buffer->sectors_read);
    const uint64_t writes = CountBits(buffer->sectors_written);
    read += reads;
    written += writes;
    if (!reads && !writes) continue;
    JsonObject entry;
    entry.Number("bytes", buffer->high - buffer->low);
    entry.Number("read_sectors", reads);
    entry.Number("write_sectors", writes);
    buffers.Raw(Escape(buffer->name), entry.Text());
  }
  json.Number("unique_read_bytes", 32 * read);
  json.Number("unique_write_bytes", 32 * written);
  json.Raw("buffers", buffers.Text());
}

void AddHazards(JsonObject& json, const HazardReport& hazards) {
  json.Number("races", hazards.Races());
  json.Number("shared_races", hazards.shared_races);
  json.Number("warp_races", hazards.warp_races);
  json.Number("global_races", hazards.global_races);
  json.Number("uninitialised_shared_reads", hazards.uninitialised_shared);
  json.Number("uninitialised_local_reads", hazards.uninitialised_local);
  json.Number("uninitialised_global_reads", hazards.uninitialised_global);
  json.Number("divergent_barriers", hazards.divergent_barriers);
  json.String("first_hazard", hazards.first);
}

void AddLaunchBounds(JsonObject& json, const Kernel& kernel) {
  JsonObject bounds;
  bounds.Number("max_threads", kernel.max_threads);
  bounds.Number("min_blocks", kernel.min_blocks);
  bounds.Number("max_registers", kernel.max_registers);
  json.Raw("launch_bounds", bounds.Text());
}

// "instructions": [index, line, text, executions, lanes, transactions, ideal] of what ran.
// "profile": the same with names, file, category, basic block and loop depth.
// "blocks": basic blocks, by how often they ran.
// "lines": warp and thread instructions per source line.
void AddInstructions(JsonObject& json, const Launch& launch) {
  const Kernel& kernel = *launch.kernel;
  const auto file_name = [&](int file) -> std::string {
    const auto found = launch.program->files.find(file);
    return file && found != launch.program->files.end() ? found->second : "";
  };
  std::vector<std::string> plain, profile, blocks, lines;
  std::map<std::pair<int, int>, Counters> by_line;
  for (const Instruction& instruction : kernel.code) {
    const Counters& counters = launch.counters[instruction.id];
    if (!counters.executions) continue;
    const InstructionInfo& info = kernel.info[instruction.id];
    by_line[{info.file, info.line}].Add(counters);
    plain.push_back(Format("[%d,%d,\"%s\",%llu,%llu,%llu,%llu]", instruction.id, info.line,
                           Escape(info.text).c_str(), (U)counters.executions, (U)counters.lanes,
                           (U)counters.transactions, (U)counters.ideal));
    JsonObject entry;
    entry.Number("index", instruction.id);
    entry.String("file", file_name(info.file));
    entry.Number("line", info.line);
    entry.String("opcode", info.opcode);
    entry.String("category", CategoryName(instruction.category));
    entry.Number("block", instruction.block);
    entry.Number("loop_depth", instruction.loop_depth);
    entry.Number("executions", counters.executions);
    entry.Number("lanes", counters.lanes);
    entry.Number("requests", counters.requests);
    entry.Number("transactions", counters.transactions);
    entry.Number("ideal", counters.ideal);
    profile.push_back(entry.Text());
  }
  for (size_t i = 0; i < kernel.blocks.size(); ++i) {
    const BasicBlock& block = kernel.blocks[i];
    const uint64_t executions = launch.counters[block.first].executions;
    if (!executions) continue;
    JsonObject entry;
    entry.Number("block", i);
    entry.Number("first", block.first);
    entry.Number("last", block.last);
    entry.Number("loop_depth", block.loop_depth);
    entry.Number("executions", executions);
    blocks.push_back(entry.Text());
  }
  for (const auto& [place, counters] : by_line) {
    JsonObject entry;
    entry.String("file", file_name(place.first));
    entry.Number("line", place.second);
    entry.Number("warp_instructions", counters.executions);
    entry.Number("thread_instructions", counters.lanes);
    lines.push_back(entry.Text());
  }
  json.Raw("instructions", Array(plain));
  json.Raw("profile", Array(profile));
  json.Raw("blocks_executed", Array(blocks));
  json.Raw("lines", Array(lines));
}

}  // namespace

const char* CategoryName(Category category) {
  static const char* const kNames[] = {
      "int",       "f32",       "f64",       "f16",       "mma",      "ld.global",
      "st.global", "ld.shared", "st.shared", "ld.local",  "st.local", "ld.const/param",
      "atom/red",  "sync",      "branch",    "cvt",       "mov",      "sfu",
      "ldmatrix",  "cp.async",  "shfl/vote", "setp/selp", "misc"};
  static_assert(sizeof kNames / sizeof kNames[0] == static_cast<size_t>(Category::kCount), "");
  return kNames[static_cast<int>(category)];
}

std::string StatisticsJson(const Launch& launch, bool per_instruction) {
  const Kernel& kernel = *launch.kernel;
  const Totals totals = Sum(launch);
  JsonObject json;
  json.String("kernel", kernel.name);
  json.Number("arch", CurrentDevice().arch);
  json.Number("blocks", launch.shape.Blocks());
  json.Number("threads_per_block", launch.shape.Threads());
  json.Number("shared_bytes", kernel.static_shared + launch.shape.dynamic_shared);
  json.Real("seconds", launch.seconds);
  json.Real("cpu_seconds", launch.cpu_seconds);
  json.Number("warp_instructions", totals.warp_instructions);
  json.Number("thread_instructions", totals.thread_instructions);
  json.Real("thread_instructions_per_cpu_second",
            Ratio(totals.thread_instructions, launch.cpu_seconds));
  json.Real("lane_efficiency", Ratio(totals.thread_instructions,
                                     32.0 * static_cast<double>(totals.warp_instructions)));
  json.Number("flops", totals.flops);
  json.Number("mma_flops", totals.mma_flops);
  json.Number("divergent_branches", launch.divergent_branches);
  json.Raw("global_load", GlobalJson(totals.global_load));
  json.Raw("global_store", GlobalJson(totals.global_store));
  json.Number("global_atomic_sectors", totals.atomic.transactions);
  json.Number("local_bytes", totals.local.ideal);
  json.Raw("shared_load", SharedJson(totals.shared_load));
  json.Raw("shared_store", SharedJson(totals.shared_store));
  json.Raw("ldmatrix", SharedJson(totals.load_matrix));
  AddBuffers(json, launch);
  AddHazards(json, launch.hazards);
  AddLaunchBounds(json, kernel);
  JsonObject mix;
  for (int i = 0; i < static_cast<int>(Category::kCount); ++i) {
    if (totals.mix[i]) mix.Number(CategoryName(static_cast<Category>(i)), totals.mix[i]);
  }
  json.Raw("mix", mix.Text());
  if (per_instruction) AddInstructions(json, launch);
  return json.Text();
}

}  // namespace ptxemu
