// What the parser makes of PTX text: names are still names, nothing is resolved.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "source_places.h"
#include "types.h"

namespace ptxemu {

enum class NumberKind : uint8_t { kInteger, kSingle, kDouble };

struct Operand {
  enum Kind : uint8_t {
    kName,       // register, special register, label or variable, perhaps "name+offset" or "a|b"
    kImmediate,  // number
    kVector,     // {a, b, ...}
    kAddress,    // [name+offset]
    kSink,       // _
  };
  Kind kind = kSink;
  NumberKind number_kind = NumberKind::kInteger;
  bool negated = false;           // !p or -x
  std::string name, second_name;  // second_name: q in p|q
  uint64_t value = 0;
  int64_t offset = 0;
  std::vector<Operand> elements;
};

// One instruction. `call` keeps its operands in CallOperands order: see ParseCall.
struct Statement {
  std::string opcode;  // with its modifiers: "add.rn.f32"
  std::vector<Operand> operands;
  std::string guard;  // predicate's name, or empty
  bool guard_negated = false;
  int scope = 0;     // index into FunctionAst::scope_parents
  int ptx_line = 0;  // in the PTX text
  int place = -1;    // index in ModuleAst::places of the last .loc, -1 without
  std::vector<Operand> call_results, call_arguments;
};

struct RegisterAst {
  std::string name;  // prefix when count is not zero
  uint32_t count = 0;
  Type type = Type::kNone;
  int scope = 0;
};

struct VariableAst {
  std::string name;
  Space space = Space::kGlobal;
  Type type = Type::kNone;
  uint32_t align = 1;
  uint64_t bytes = 0;
  bool dynamic = false;  // .extern or []: storage comes from the launch
  int scope = 0;
  // Initial values: one element each; a value is a number or the address of another variable.
  struct Initial {
    uint64_t value = 0;
    NumberKind kind = NumberKind::kInteger;
    std::string symbol;
  };
  std::vector<Initial> initial;
};

struct ParameterAst {
  std::string name;
  Type type = Type::kNone;  // kNone for arrays
  uint32_t align = 1, bytes = 0;
  bool in_register = false;  // .reg parameter of a device function
};

struct FunctionAst {
  std::string name;
  bool is_kernel = false;
  std::vector<ParameterAst> results, parameters;
  std::vector<Statement> statements;
  std::vector<RegisterAst> registers;
  std::vector<VariableAst> variables;
  std::vector<int> scope_parents;                                  // [0] = -1: the function's body
  std::map<std::pair<int, std::string>, int> labels;               // (scope, name) -> statement
  std::map<std::string, std::vector<std::string>> branch_targets;  // .branchtargets lists
  uint32_t max_threads = 0;                                        // .maxntid, .reqntid
  uint32_t required_threads[3] = {0, 0, 0};                        // .reqntid
  uint32_t max_registers = 0, min_blocks = 0;                      // .maxnreg, .minnctapersm
};

struct ModuleAst {
  int target = 0;  // .target sm_XX
  std::vector<FunctionAst> functions;
  std::vector<VariableAst> variables;
  std::map<int, std::string> files;  // .file
  std::vector<SourcePlace> places;   // .loc
};

}  // namespace ptxemu
