#include "module.h"

#include <algorithm>
#include <cstring>

#include "decoder.h"
#include "float_formats.h"
#include "parser.h"
#include "text.h"

namespace ptxemu {
namespace {

constexpr size_t kAlign = 256;

void AllocateVariable(Program& program, const VariableAst& ast) {
  if (ast.space == Space::kShared) return;  // by kernel
  Variable variable;
  variable.name = ast.name;
  variable.space = ast.space;
  variable.align = ast.align;
  variable.bytes = ast.bytes;
  variable.dynamic = ast.dynamic;
  const uint64_t align = std::max<uint64_t>(ast.align, kAlign);
  auto storage = std::make_unique<std::vector<uint8_t>>(ast.bytes + align, 0);
  const uint64_t address =
      (reinterpret_cast<uint64_t>(storage->data()) + align - 1) / align * align;
  variable.storage = reinterpret_cast<uint8_t*>(address);
  program.storage.push_back(std::move(storage));
  program.variables[ast.name] = variable;
}

void Initialise(Program& program, const VariableAst& ast) {
  if (ast.initial.empty()) return;
  const auto variable = program.variables.find(ast.name);
  if (variable == program.variables.end()) {
    throw Error("variable " + ast.name + ": shared memory cannot be initialised");
  }
  const int size = SizeOf(ast.type);
  uint8_t* to = variable->second.storage;
  for (const VariableAst::Initial& initial : ast.initial) {
    uint64_t value = initial.value;
    if (!initial.symbol.empty()) {
      const auto target = program.variables.find(initial.symbol);
      // The address of a function cannot be used: see mov.
      value = target == program.variables.end()
                  ? 0
                  : reinterpret_cast<uint64_t>(target->second.storage) + value;
    } else if (ast.type == Type::kF32 && initial.kind == NumberKind::kDouble) {
      value = FloatBits(static_cast<float>(BitsDouble(value)));
    }
    std::memcpy(to, &value, size);
    to += size;
  }
}

}  // namespace

std::unique_ptr<Program> LoadProgram(const char* text) {
  const ModuleAst module = ParseModule(text);
  auto program = std::make_unique<Program>();
  program->target = module.target;
  program->files = module.files;
  program->places = module.places;
  for (const VariableAst& variable : module.variables) AllocateVariable(*program, variable);
  for (const VariableAst& variable : module.variables) Initialise(*program, variable);
  for (const FunctionAst& function : module.functions) {
    if (!function.is_kernel) continue;
    program->kernels[function.name] = KernelBuilder(module, *program, function).Build();
  }
  return program;
}

std::string DescribeKernels(const Program& program) {
  std::string text;
  for (const auto& [name, kernel] : program.kernels) {
    text += name + ":";
    bool first = true;
    for (const KernelParameter& parameter : kernel->parameters) {
      const bool is_float = parameter.type == Type::kF32 || parameter.type == Type::kF64;
      text += Format("%s%u/%u%s", first ? "" : ",", parameter.offset, parameter.bytes,
                     is_float                        ? "f"
                     : parameter.type == Type::kNone ? "b"
                                                     : "");
      first = false;
    }
    text += ";";
  }
  return text;
}

}  // namespace ptxemu
