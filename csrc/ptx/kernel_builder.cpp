// Lays out a kernel: variables, registers, device functions, code.
#include <algorithm>
#include <cstring>
#include <set>

#include "control_flow.h"
#include "decoder.h"
#include "text.h"

namespace ptxemu {
namespace {

constexpr uint32_t kMaxRegisterBytes = 16u << 20;  // of one warp
constexpr uint32_t kMaxSharedBytes = 1u << 20, kMaxLocalBytes = 512u << 10;

std::string Scoped(const std::string& name, int scope) {
  return name + "@" + std::to_string(scope);
}

uint32_t AlignUp(uint64_t value, uint32_t align) {
  return static_cast<uint32_t>((value + align - 1) / align * align);
}

Variable MakeVariable(const VariableAst& ast) {
  Variable variable;
  variable.name = ast.name;
  variable.space = ast.space;
  variable.align = ast.align;
  variable.bytes = ast.bytes;
  variable.dynamic = ast.dynamic;
  return variable;
}

Variable MakeVariable(const ParameterAst& ast) {
  Variable variable;
  variable.name = ast.name;
  variable.space = Space::kLocal;
  variable.align = ast.align;
  variable.bytes = ast.bytes;
  return variable;
}

}  // namespace

KernelBuilder::KernelBuilder(const ModuleAst& module, Program& program, const FunctionAst& entry)
    : module_(module), program_(program), entry_(entry), kernel_(new Kernel) {}

std::unique_ptr<Kernel> KernelBuilder::Build() {
  Kernel& kernel = *kernel_;
  kernel.name = entry_.name;
  kernel.max_threads = entry_.max_threads;
  std::copy(entry_.required_threads, entry_.required_threads + 3, kernel.required_threads);
  kernel.max_registers = entry_.max_registers;
  kernel.min_blocks = entry_.min_blocks;
  for (const ParameterAst& parameter : entry_.parameters) {
    kernel.parameter_bytes = AlignUp(kernel.parameter_bytes, parameter.align);
    kernel.parameters.push_back(
        {parameter.name, parameter.type, kernel.parameter_bytes, parameter.bytes});
    kernel.parameter_bytes += parameter.bytes;
  }
  AddFunctions();
  for (size_t i = 0; i < functions_.size(); ++i) Emit(functions_[i], i == 0);
  RefuseRecursion(kernel);
  AnalyseControlFlow(kernel);

  kernel.initial_registers.assign(std::max<uint32_t>(AlignUp(register_bytes_, 128), 128), 0);
  for (const auto& [key, slot] : constants_) {
    for (int lane = 0; lane < 32; ++lane) {
      std::memcpy(&kernel.initial_registers[slot + lane * key.second], &key.first, key.second);
    }
  }
  return std::move(kernel_);
}

// ---- registers

int KernelBuilder::AllocateSlot(int bytes) {
  register_bytes_ = AlignUp(register_bytes_, 64);
  const int slot = static_cast<int>(register_bytes_);
  register_bytes_ += 32 * bytes;
  if (register_bytes_ > kMaxRegisterBytes) {
    throw Error("kernel " + kernel_->name + " declares too many registers");
  }
  return slot;
}

int KernelBuilder::ConstantSlot(uint64_t value, int bytes) {
  if (bytes < 8) value &= (1ull << (8 * bytes)) - 1;
  const auto [entry, is_new] = constants_.try_emplace({value, bytes}, 0);
  if (is_new) entry->second = AllocateSlot(bytes);
  return entry->second;
}

int KernelBuilder::SpecialSlot(const std::string& name, int bytes) {
  const auto [entry, is_new] = kernel_->special_registers.try_emplace(name, 0);
  if (is_new) entry->second = AllocateSlot(bytes);
  return entry->second;
}

// ---- names

const FunctionAst* KernelBuilder::FindFunction(const std::string& name) const {
  for (const FunctionAst& function : module_.functions) {
    if (!function.is_kernel && function.name == name) return &function;
  }
  return nullptr;
}

const Variable* KernelBuilder::FindModuleVariable(const std::string& name) const {
  const auto shared = shared_variables_.find(name);
  if (shared != shared_variables_.end()) return &shared->second;
  const auto other = program_.variables.find(name);
  return other == program_.variables.end() ? nullptr : &other->second;
}

uint64_t KernelBuilder::AddressOf(const Variable& variable, bool generic) const {
  switch (variable.space) {
    case Space::kShared:
      return (variable.dynamic ? kernel_->DynamicSharedOffset() : variable.offset) +
             (generic ? kSharedWindow : 0);
    case Space::kLocal:
      return variable.offset + (generic ? kLocalWindow : 0);
    default:
      return reinterpret_cast<uint64_t>(variable.storage);
  }
}

void KernelBuilder::AllocateVariable(Variable& variable) {
  const bool shared = variable.space == Space::kShared;
  if (shared && variable.dynamic) {
    kernel_->dynamic_align = std::max(kernel_->dynamic_align, variable.align);
    return;
  }
  uint32_t& used = shared ? kernel_->static_shared : kernel_->local_bytes;
  used = AlignUp(used, variable.align);
  variable.offset = used;
  if (variable.bytes > (shared ? kMaxSharedBytes : kMaxLocalBytes) - used) {
    throw Error("kernel " + kernel_->name + ": too many bytes of " + (shared ? "shared" : "local") +
                " memory");
  }
  used += static_cast<uint32_t>(variable.bytes);
}

// The kernel, and every device function that it reaches, with their variables.
void KernelBuilder::AddFunctions() {
  std::vector<const FunctionAst*> pending = {&entry_};
  std::set<std::string> used_names;
  for (size_t i = 0; i < pending.size(); ++i) {
    const FunctionAst& function = *pending[i];
    Declare(function, i == 0);
    for (const Statement& statement : function.statements) {
      for (const Operand& operand : statement.operands) {
        used_names.insert(operand.name);
        for (const Operand& element : operand.elements) used_names.insert(element.name);
      }
      if (statement.opcode.compare(0, 4, "call") != 0 || statement.operands.empty()) continue;
      const FunctionAst* callee = FindFunction(statement.operands[0].name);
      if (callee && std::find(pending.begin(), pending.end(), callee) == pending.end()) {
        pending.push_back(callee);
      }
    }
  }
  for (const VariableAst& ast : module_.variables) {
    if (ast.space != Space::kShared || !used_names.count(ast.name)) continue;
    Variable variable = MakeVariable(ast);
    AllocateVariable(variable);
    shared_variables_[ast.name] = variable;
  }
  int first = 0;
  for (FunctionNames& names : functions_) {
    names.first_instruction = first;
    first += static_cast<int>(names.ast->statements.size()) + 1;  // and the implicit return
  }
}

void KernelBuilder::Declare(const FunctionAst& function, bool is_entry) {
  FunctionNames names;
  names.ast = &function;
  for (const RegisterAst& ast : function.registers) {
    const int bytes = RegisterSize(ast.type);
    for (uint32_t i = 0; i < std::max(ast.count, 1u); ++i) {
      const std::string name = ast.count ? ast.name + std::to_string(i) : ast.name;
      names.registers[Scoped(name, ast.scope)] = {AllocateSlot(bytes), bytes, ast.type};
    }
  }
  for (const VariableAst& ast : function.variables) {
    Variable variable = MakeVariable(ast);
    AllocateVariable(variable);
    names.variables[Scoped(ast.name, ast.scope)] = variable;
  }
  if (!is_entry) {
    const auto declare = [&](const std::vector<ParameterAst>& asts, std::vector<Variable>& out) {
      for (const ParameterAst& ast : asts) {
        if (ast.in_register)
          throw Error("function " + function.name + ": .reg parameters are not supported");
        Variable variable = MakeVariable(ast);
        AllocateVariable(variable);
        names.variables[Scoped(ast.name, 0)] = variable;
        out.push_back(variable);
      }
    };
    declare(function.results, names.results);
    declare(function.parameters, names.parameters);
  }
  function_index_[function.name] = static_cast<int>(functions_.size());
  functions_.push_back(std::move(names));
}

// ---- code

void KernelBuilder::Emit(const FunctionNames& names, bool is_entry) {
  Kernel& kernel = *kernel_;
  const auto add = [&] {
    kernel.code.emplace_back();
    kernel.info.emplace_back();
    kernel.code.back().id = static_cast<int>(kernel.code.size()) - 1;
  };
  for (const Statement& statement : names.ast->statements) {
    add();
    Instruction& instruction = kernel.code.back();
    Decoder decoder(*this, names, statement, is_entry, instruction, kernel.info.back());
    decoder.Run();
    // `ret` of a device function joins the other lanes at its end.
    if (!is_entry && instruction.kind == Kind::kReturn) {
      instruction.kind = Kind::kBranch;
      instruction.target = names.first_instruction + static_cast<int>(names.ast->statements.size());
    }
    if (instruction.kind == Kind::kCall) {
      const auto callee = function_index_.find(statement.operands[0].name);
      if (callee == function_index_.end())
        throw Error("unknown function in " + kernel.info.back().text);
      instruction.target = functions_[callee->second].first_instruction;
    }
  }
  add();
  kernel.code.back().kind = is_entry ? Kind::kExit : Kind::kReturn;
  kernel.code.back().category = Category::kBranch;
  kernel.info.back().opcode = is_entry ? "exit" : "ret";
  kernel.info.back().text = "end of " + names.ast->name;
}

}  // namespace ptxemu
