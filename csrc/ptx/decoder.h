// Statements -> instructions. The decoder resolves names and lays out registers; which handler
// executes an opcode is decided next to the handlers, by the Decode... functions below.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ast.h"
#include "program.h"

namespace ptxemu {

struct RegisterInfo {
  int slot;
  int bytes;
  Type type;
};

// What the names inside one function mean.
struct FunctionNames {
  const FunctionAst* ast = nullptr;
  std::unordered_map<std::string, RegisterInfo> registers;  // by name@scope
  std::unordered_map<std::string, Variable> variables;      // by name@scope
  int first_instruction = 0;
  std::vector<Variable> results, parameters;  // of a device function: in local memory
};

// Builds one kernel, with the device functions that it calls.
class KernelBuilder {
 public:
  KernelBuilder(const ModuleAst& module, Program& program, const FunctionAst& entry);
  std::unique_ptr<Kernel> Build();

  // Registers. Slots are 32 elements long and aligned to cache lines.
  int AllocateSlot(int bytes);
  int ConstantSlot(uint64_t value, int bytes);
  int SpecialSlot(const std::string& name, int bytes);

  const ModuleAst& module() const { return module_; }
  const Program& program() const { return program_; }
  Kernel& kernel() { return *kernel_; }
  const FunctionAst* FindFunction(const std::string& name) const;
  const Variable* FindModuleVariable(const std::string& name) const;
  // The address that the name of a variable stands for, in its own space or as a generic address.
  uint64_t AddressOf(const Variable& variable, bool generic) const;

 private:
  void AddFunctions();
  void Declare(const FunctionAst& function, bool is_entry);
  void AllocateVariable(Variable& variable);
  void Emit(const FunctionNames& names, bool is_entry);

  const ModuleAst& module_;
  Program& program_;
  const FunctionAst& entry_;
  std::unique_ptr<Kernel> kernel_;
  std::vector<FunctionNames> functions_;  // [0] the kernel
  std::map<std::string, int> function_index_;
  std::map<std::string, Variable> shared_variables_;  // of module scope
  uint32_t register_bytes_ = 0;
  std::map<std::pair<uint64_t, int>, int> constants_;

  friend class Decoder;
};

// One statement on its way to an instruction.
class Decoder {
 public:
  Decoder(KernelBuilder& builder, const FunctionNames& names, const Statement& statement,
          bool in_kernel, Instruction& out, InstructionInfo& info);
  void Run();

  const std::string& base() const { return base_; }  // "add" of add.rn.f32
  bool Has(const char* modifier) const;
  // The last modifier that `table` knows, or `otherwise`.
  int Lookup(const std::unordered_map<std::string, int>& table, int otherwise) const;
  const std::vector<Type>& types() const { return types_; }
  Type type() const { return types_.empty() ? Type::kNone : types_.back(); }  // of the sources
  Type first_type() const { return types_.empty() ? Type::kNone : types_.front(); }
  int size() const { return type() == Type::kNone ? 4 : RegisterSize(type()); }

  size_t operand_count() const { return statement_.operands.size(); }
  const Operand& operand(size_t i) const;
  const Statement& statement() const { return statement_; }
  const std::vector<Operand> Elements(const Operand& operand) const;  // of a vector, or itself

  // Slots of operands; all throw when a name is unknown or its register has another size.
  int Source(const Operand& operand, int bytes);
  int Source(size_t i, int bytes) { return Source(operand(i), bytes); }
  int Destination(const Operand& operand, int bytes);  // kNoSlot for _
  int Destination(size_t i, int bytes) { return Destination(operand(i), bytes); }
  int Scratch(int bytes) { return builder_.AllocateSlot(bytes); }
  int Predicate(const Operand& operand);              // as a source
  int PredicateDestination(const std::string& name);  // kNoSlot for _
  int Constant(uint64_t value, int bytes) { return builder_.ConstantSlot(value, bytes); }
  int64_t Immediate(size_t i) const;
  // Size of the register that an operand names; 0 when it is no register.
  int RegisterBytes(const Operand& operand) const;
  bool IsPredicate(const Operand& operand) const;
  void Address(const Operand& operand, Space space);
  // out.operands: the destination and `sources` sources, all of one size.
  void Simple(int sources, int bytes);
  void Simple(int sources) { Simple(sources, size()); }

  // Executing the instruction will fail.
  void Unsupported(const std::string& reason = "");
  void RequireArch(int arch);

  const RegisterInfo* FindRegister(const std::string& name) const;
  const Variable* FindVariable(const std::string& name) const;
  const KernelParameter* FindParameter(const std::string& name) const;
  int LabelTarget(const std::string& name) const;
  std::vector<int> BranchTargets(const std::string& list) const;
  // Where the parameters (or results) of a device function lie.
  const std::vector<Variable>& CalleeVariables(const std::string& callee, bool results) const;
  KernelBuilder& builder() { return builder_; }
  bool in_kernel() const { return in_kernel_; }

  Instruction& out;
  InstructionInfo& info;

 private:
  template <class Map>
  auto FindScoped(const Map& map, const std::string& name) const ->
      typename Map::mapped_type const*;
  [[noreturn]] void Fail(const std::string& message) const;

  KernelBuilder& builder_;
  const FunctionNames& names_;
  const Statement& statement_;
  bool in_kernel_;
  std::string base_;
  std::vector<std::string> modifiers_;
  std::vector<Type> types_;
};

using DecodeFunction = void (*)(Decoder& decoder);
// What decodes `base` and its oldest architecture; null when it is unknown.
struct OpcodeEntry {
  DecodeFunction decode;
  int arch;
};
const OpcodeEntry* FindOpcode(const std::string& base);

// Kernels whose finest shared access is narrow have finer granules of hazard tracking.
void NoteSharedAccess(Decoder& d, Space space, int bytes);  // load_store.cpp

// One per family, in the family's file.
void DecodeControl(Decoder& d);  // control_ops.cpp
void DecodeBarrier(Decoder& d);
void DecodeNothing(Decoder& d);
void DecodeMove(Decoder& d);  // move_ops.cpp
void DecodeAddressSpace(Decoder& d);
void DecodeInteger(Decoder& d);  // integer_ops.cpp
void DecodeIntegerUnary(Decoder& d);
void DecodeShift(Decoder& d);
void DecodeMultiplyAdd(Decoder& d);  // integer_multiply_ops.cpp
void DecodeDotProduct(Decoder& d);
void DecodeCarry(Decoder& d);  // carry_ops.cpp
void DecodeBits(Decoder& d);   // bit_ops.cpp
void DecodePermute(Decoder& d);
void DecodeFloat(Decoder& d);     // float_ops.cpp
void DecodeDirected(Decoder& d);  // rounding_ops.cpp
void DecodeSpecial(Decoder& d);   // special_ops.cpp
void DecodeHalf(Decoder& d);      // half_ops.cpp
void DecodeConvert(Decoder& d);   // convert_ops.cpp
void DecodeCompare(Decoder& d);   // compare_ops.cpp
void DecodeSelect(Decoder& d);    // select_ops.cpp
void DecodePredicateLogic(Decoder& d);
void DecodeArithmetic(Decoder& d);  // arithmetic_ops.cpp: integer, float or half by type
void DecodeLoadStore(Decoder& d);   // load_store.cpp
void DecodeAtomic(Decoder& d);      // atomics.cpp
void DecodeAsyncCopy(Decoder& d);   // async_copy.cpp
void DecodeShuffle(Decoder& d);     // warp_ops.cpp
void DecodeVote(Decoder& d);
void DecodeMatch(Decoder& d);
void DecodeReduce(Decoder& d);
void DecodeLoadMatrix(Decoder& d);  // load_matrix.cpp
void DecodeMma(Decoder& d);         // mma.cpp

}  // namespace ptxemu
