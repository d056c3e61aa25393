#include "decoder.h"

#include <algorithm>
#include <cstring>

#include "text.h"

namespace ptxemu {
namespace {

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('.', begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::string Describe(const Operand& operand) {
  switch (operand.kind) {
    case Operand::kImmediate:
      return std::to_string(operand.value);
    case Operand::kSink:
      return "_";
    case Operand::kAddress:
      return "[" + operand.name + (operand.offset ? "+" + std::to_string(operand.offset) : "") +
             "]";
    case Operand::kVector: {
      std::string text = "{";
      for (const Operand& element : operand.elements) {
        text += (text.size() > 1 ? ", " : "") + Describe(element);
      }
      return text + "}";
    }
    default:
      return (operand.negated ? "!" : "") + operand.name +
             (operand.second_name.empty() ? "" : "|" + operand.second_name);
  }
}

std::string Describe(const Statement& statement) {
  std::string text = statement.opcode;
  for (size_t i = 0; i < statement.operands.size(); ++i) {
    text += (i ? ", " : " ") + Describe(statement.operands[i]);
  }
  return text;
}

bool IsWideSpecial(const std::string& name) {
  return name == "%clock64" || name == "%globaltimer" || name == "%gridid";
}

bool IsKnownSpecial(const std::string& name) {
  static const char* const kNames[] = {"%tid.x",           "%tid.y",       "%tid.z",
                                       "%ntid.x",          "%ntid.y",      "%ntid.z",
                                       "%ctaid.x",         "%ctaid.y",     "%ctaid.z",
                                       "%nctaid.x",        "%nctaid.y",    "%nctaid.z",
                                       "%laneid",          "%warpid",      "%nwarpid",
                                       "%lanemask_lt",     "%lanemask_le", "%lanemask_eq",
                                       "%lanemask_gt",     "%lanemask_ge", "%smid",
                                       "%nsmid",           "%gridid",      "%dynamic_smem_size",
                                       "%total_smem_size", "%clock",       "%clock_hi",
                                       "%clock64",         "%globaltimer", "%globaltimer_lo",
                                       "%globaltimer_hi"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

}  // namespace

Decoder::Decoder(KernelBuilder& builder, const FunctionNames& names, const Statement& statement,
                 bool in_kernel, Instruction& out, InstructionInfo& info)
    : out(out),
      info(info),
      builder_(builder),
      names_(names),
      statement_(statement),
      in_kernel_(in_kernel) {
  modifiers_ = Split(statement.opcode);
  base_ = modifiers_[0];
  modifiers_.erase(modifiers_.begin());
  for (const std::string& modifier : modifiers_) {
    if (ParseType(modifier) != Type::kNone) types_.push_back(ParseType(modifier));
  }
}

void Decoder::Run() {
  info.opcode = statement_.opcode;
  info.text = Describe(statement_);
  info.line = statement_.ptx_line;
  if (statement_.place >= 0) {
    const SourcePlace& place = builder_.program().places[statement_.place];
    info.file = place.file;
    info.line = place.line;
    info.inlined_at = place.inlined_at;
  }
  if (!statement_.guard.empty()) {
    Operand guard;
    guard.kind = Operand::kName;
    guard.name = statement_.guard;
    out.guard = Predicate(guard);
    out.guard_negated = statement_.guard_negated;
  }
  if (const OpcodeEntry* entry = FindOpcode(base_)) {
    RequireArch(entry->arch);
    entry->decode(*this);
    if (out.kind == Kind::kPlain && !out.execute) Unsupported();
  } else {
    Unsupported();
  }
}

void Decoder::Fail(const std::string& message) const {
  throw Error(Format("PTX line %d: ", statement_.ptx_line) + message + " in " + info.text);
}

bool Decoder::Has(const char* modifier) const {
  return std::find(modifiers_.begin(), modifiers_.end(), modifier) != modifiers_.end();
}

int Decoder::Lookup(const std::unordered_map<std::string, int>& table, int otherwise) const {
  for (const std::string& modifier : modifiers_) {
    const auto found = table.find(modifier);
    if (found != table.end()) otherwise = found->second;
  }
  return otherwise;
}

const Operand& Decoder::operand(size_t i) const {
  if (i >= statement_.operands.size()) Fail("missing operand");
  return statement_.operands[i];
}

const std::vector<Operand> Decoder::Elements(const Operand& operand) const {
  if (operand.kind != Operand::kVector) return {operand};
  if (operand.elements.empty() || operand.elements.size() > 8) Fail("malformed vector operand");
  return operand.elements;
}

// ---- names

template <class Map>
auto Decoder::FindScoped(const Map& map, const std::string& name) const ->
    typename Map::mapped_type const* {
  for (int scope = statement_.scope; scope >= 0; scope = names_.ast->scope_parents[scope]) {
    const auto found = map.find(name + "@" + std::to_string(scope));
    if (found != map.end()) return &found->second;
  }
  return nullptr;
}

const RegisterInfo* Decoder::FindRegister(const std::string& name) const {
  return FindScoped(names_.registers, name);
}

const Variable* Decoder::FindVariable(const std::string& name) const {
  if (const Variable* variable = FindScoped(names_.variables, name)) return variable;
  return builder_.FindModuleVariable(name);
}

const KernelParameter* Decoder::FindParameter(const std::string& name) const {
  if (!in_kernel_) return nullptr;
  for (const KernelParameter& parameter : builder_.kernel_->parameters) {
    if (parameter.name == name) return &parameter;
  }
  return nullptr;
}

int Decoder::LabelTarget(const std::string& name) const {
  for (int scope = statement_.scope; scope >= 0; scope = names_.ast->scope_parents[scope]) {
    const auto found = names_.ast->labels.find({scope, name});
    if (found != names_.ast->labels.end()) return names_.first_instruction + found->second;
  }
  Fail("unknown label " + name);
}

std::vector<int> Decoder::BranchTargets(const std::string& list) const {
  const auto found = names_.ast->branch_targets.find(list);
  if (found == names_.ast->branch_targets.end()) Fail("unknown list of branch targets " + list);
  std::vector<int> targets;
  for (const std::string& label : found->second) targets.push_back(LabelTarget(label));
  return targets;
}

const std::vector<Variable>& Decoder::CalleeVariables(const std::string& callee,
                                                      bool results) const {
  const FunctionNames& names = builder_.functions_[builder_.function_index_.at(callee)];
  return results ? names.results : names.parameters;
}

// ---- operands

int Decoder::RegisterBytes(const Operand& operand) const {
  const RegisterInfo* reg = FindRegister(operand.name);
  return operand.kind == Operand::kName && reg ? reg->bytes : 0;
}

bool Decoder::IsPredicate(const Operand& operand) const {
  const RegisterInfo* reg = FindRegister(operand.name);
  return operand.kind == Operand::kName && reg && reg->type == Type::kPred;
}

int Decoder::Source(const Operand& operand, int bytes) {
  if (operand.kind == Operand::kImmediate) {
    uint64_t value = operand.value;
    const bool wants_single = type() == Type::kF32 || first_type() == Type::kF32;
    if (operand.number_kind == NumberKind::kDouble && bytes == 4 && wants_single) {
      double number;
      std::memcpy(&number, &value, sizeof number);
      const float single = static_cast<float>(number);
      uint32_t bits;
      std::memcpy(&bits, &single, sizeof bits);
      value = bits;
    }
    return Constant(value, bytes);
  }
  if (operand.kind == Operand::kSink) return Constant(0, bytes);
  if (operand.kind != Operand::kName) Fail("malformed source operand");
  const std::string& name = operand.name;
  if (const RegisterInfo* reg = FindRegister(name)) {
    if (reg->type == Type::kPred) Fail("predicate " + name + " used as a value");
    if (reg->bytes != bytes) {
      Fail(Format("register %s has %d bits, %d are needed", name.c_str(), 8 * reg->bytes,
                  8 * bytes));
    }
    return reg->slot;
  }
  if (IsKnownSpecial(name)) {
    if ((IsWideSpecial(name) ? 8 : 4) != bytes) Fail("wrong size for " + name);
    return builder_.SpecialSlot(name, bytes);
  }
  if (name == "WARP_SZ") return Constant(32, bytes);
  const uint64_t offset = static_cast<uint64_t>(operand.offset);
  if (const Variable* variable = FindVariable(name)) {
    return Constant(builder_.AddressOf(*variable, false) + offset, bytes);
  }
  if (const KernelParameter* parameter = FindParameter(name)) {
    return Constant(parameter->offset + offset, bytes);
  }
  Fail("unknown name " + name);
}

int Decoder::Destination(const Operand& operand, int bytes) {
  if (operand.kind == Operand::kSink) return Scratch(8);
  const RegisterInfo* reg = FindRegister(operand.name);
  if (operand.kind != Operand::kName || !reg) Fail("unknown register " + operand.name);
  if (reg->type == Type::kPred || reg->bytes != bytes) {
    Fail(Format("register %s cannot take a result of %d bits", operand.name.c_str(), 8 * bytes));
  }
  return reg->slot;
}

int Decoder::Predicate(const Operand& operand) {
  if (operand.kind == Operand::kImmediate) return Constant(operand.value ? ~0ull : 0, 4);
  const RegisterInfo* reg = FindRegister(operand.name);
  if (operand.kind != Operand::kName || !reg || reg->type != Type::kPred) {
    Fail("unknown predicate " + operand.name);
  }
  return reg->slot;
}

int Decoder::PredicateDestination(const std::string& name) {
  if (name == "_") return kNoSlot;
  Operand operand;
  operand.kind = Operand::kName;
  operand.name = name;
  return Predicate(operand);
}

int64_t Decoder::Immediate(size_t i) const {
  if (operand(i).kind != Operand::kImmediate) Fail("an immediate operand is needed");
  return static_cast<int64_t>(operand(i).value);
}

void Decoder::Address(const Operand& operand, Space space) {
  if (operand.kind != Operand::kAddress || !operand.elements.empty()) {
    Fail("an address operand is needed");
  }
  out.immediate = operand.offset;
  out.address = kNoSlot;
  const std::string& name = operand.name;
  if (name.empty()) return;
  if (const RegisterInfo* reg = FindRegister(name)) {
    if (reg->type == Type::kPred || reg->bytes < 4) Fail("register " + name + " is no address");
    out.address = reg->slot;
    out.address_is_64bit = reg->bytes == 8;
    return;
  }
  if (space == Space::kParam) {
    if (const KernelParameter* parameter = FindParameter(name)) {
      out.immediate += parameter->offset;
      return;
    }
  }
  const Variable* variable = FindVariable(name);
  if (!variable) Fail("unknown name " + name);
  const uint64_t base = builder_.AddressOf(*variable, space == Space::kGeneric);
  out.immediate = static_cast<int64_t>(static_cast<uint64_t>(out.immediate) + base);
}

void Decoder::Simple(int sources, int bytes) {
  out.operands[0] = Destination(0, bytes);
  for (int i = 1; i <= sources; ++i) out.operands[i] = Source(i, bytes);
}

void Decoder::Unsupported(const std::string& reason) {
  out.kind = Kind::kFault;
  out.execute = nullptr;
  info.fault = "unsupported instruction " + info.opcode + (reason.empty() ? "" : ": " + reason);
}

void Decoder::RequireArch(int arch) {
  if (arch > builder_.kernel_->required_arch) {
    builder_.kernel_->required_arch = arch;
    builder_.kernel_->newest_instruction = out.id;
  }
}

}  // namespace ptxemu
