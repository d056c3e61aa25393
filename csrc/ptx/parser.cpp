#include "parser.h"

#include <algorithm>

#include "operand_parser.h"
#include "token_stream.h"

namespace ptxemu {
namespace {

constexpr uint64_t kMaxVariableBytes = 1ull << 30;
constexpr int kMaxNesting = 64;

class Parser {
 public:
  explicit Parser(const char* text) : tokens_(Tokenize(text)) {}
  ModuleAst Module();

 private:
  void Function(bool is_kernel);
  std::vector<ParameterAst> Parameters();
  void PerformanceDirectives();
  void Body();
  void BodyDirective(int scope);
  void Location(int ptx_line);
  void Registers(int scope);
  void Label(int scope);
  void Instruction(int scope);
  void Call(Statement& statement);
  void Variables(Space space, bool is_extern, int scope, std::vector<VariableAst>& out);
  void InitialValues(VariableAst& variable);
  VariableAst::Initial InitialValue();

  TokenStream tokens_;
  ModuleAst module_;
  FunctionAst* function_ = nullptr;
  SourcePlaces places_;
  int place_ = -1;  // of the last .loc
};

// ---- module scope

ModuleAst Parser::Module() {
  while (!tokens_.AtEnd()) {
    if (tokens_.Accept(".version")) {
      tokens_.Next();
    } else if (tokens_.Accept(".address_size")) {
      if (tokens_.Integer() != 64) tokens_.Fail("only 64-bit addresses are supported");
    } else if (tokens_.Accept(".target")) {
      const std::string target = tokens_.Identifier();
      if (target.compare(0, 3, "sm_") == 0) module_.target = std::atoi(target.c_str() + 3);
      while (tokens_.Accept(",")) tokens_.Identifier();
    } else if (tokens_.Accept(".visible") || tokens_.Accept(".weak") || tokens_.Accept(".common")) {
    } else if (tokens_.Accept(".extern")) {
      if (tokens_.Is(".func") || tokens_.Is(".entry")) {
        tokens_.SkipPast(";");
      } else {
        const bool shared = tokens_.Identifier() == ".shared";
        Variables(shared ? Space::kShared : Space::kGlobal, true, 0, module_.variables);
      }
    } else if (tokens_.Accept(".entry")) {
      Function(true);
    } else if (tokens_.Accept(".func")) {
      Function(false);
    } else if (tokens_.Accept(".global")) {
      Variables(Space::kGlobal, false, 0, module_.variables);
    } else if (tokens_.Accept(".const")) {
      Variables(Space::kConst, false, 0, module_.variables);
    } else if (tokens_.Accept(".shared")) {
      Variables(Space::kShared, false, 0, module_.variables);
    } else if (tokens_.Accept(".file")) {
      const int index = static_cast<int>(tokens_.Integer());
      module_.files[index] = tokens_.Next().text;
      while (tokens_.Accept(",")) tokens_.Integer();
    } else if (tokens_.Accept(".section")) {
      while (!tokens_.Is("{")) tokens_.Next();
      tokens_.SkipBraces();
    } else if (tokens_.Accept(".pragma") || tokens_.Accept(".alias")) {
      tokens_.SkipPast(";");
    } else {
      tokens_.Fail("unsupported directive");
    }
  }
  module_.places = places_.All();
  return std::move(module_);
}

void Parser::Variables(Space space, bool is_extern, int scope, std::vector<VariableAst>& out) {
  uint32_t align = 0, lanes = 1;
  Type type = Type::kNone;
  while (tokens_.IsDirective()) {
    const std::string word = tokens_.Identifier();
    if (word == ".align") {
      align = tokens_.Alignment();
    } else if (word == ".v2" || word == ".v4" || word == ".v8") {
      lanes = word[2] - '0';
    } else if (ParseType(word.substr(1)) != Type::kNone) {
      type = ParseType(word.substr(1));
    }
  }
  if (type == Type::kNone) tokens_.Fail("unsupported type of a variable");
  do {
    VariableAst variable;
    variable.name = tokens_.Identifier();
    variable.space = space;
    variable.type = type;
    variable.scope = scope;
    variable.align = std::max<uint32_t>(align, SizeOf(type) * lanes);
    variable.dynamic = is_extern;
    variable.bytes = SizeOf(type) * lanes;
    bool open_ended = false;
    while (tokens_.Accept("[")) {
      if (tokens_.Is("]")) {
        open_ended = true;
      } else {
        const int64_t extent = tokens_.Integer();
        if (extent < 0 ||
            variable.bytes * static_cast<unsigned __int128>(extent) > kMaxVariableBytes) {
          tokens_.Fail("a variable may have 1 GiB at most");
        }
        variable.bytes *= extent;
      }
      tokens_.Expect("]");
    }
    if (tokens_.Accept("=")) InitialValues(variable);
    if (open_ended && variable.initial.empty()) {
      variable.dynamic = true;
      variable.bytes = 0;
    } else if (open_ended) {
      variable.bytes = variable.initial.size() * SizeOf(type);
    }
    if (variable.initial.size() * SizeOf(type) > std::max<uint64_t>(variable.bytes, 1)) {
      tokens_.Fail("more initial values than elements");
    }
    out.push_back(std::move(variable));
  } while (tokens_.Accept(","));
  tokens_.Expect(";");
}

void Parser::InitialValues(VariableAst& variable) {
  if (!tokens_.Is("{")) {
    variable.initial.push_back(InitialValue());
    return;
  }
  int depth = 0;
  do {
    if (tokens_.Accept("{")) {
      ++depth;
    } else if (tokens_.Accept("}")) {
      --depth;
    } else if (!tokens_.Accept(",")) {
      variable.initial.push_back(InitialValue());
    }
  } while (depth);
}

VariableAst::Initial Parser::InitialValue() {
  VariableAst::Initial initial;
  const bool negative = tokens_.Accept("-");
  if (tokens_.IsNumber()) {
    initial.value = tokens_.Number(negative, initial.kind);
    return initial;
  }
  initial.symbol = tokens_.Identifier();
  if (initial.symbol == "generic") {
    tokens_.Expect("(");
    initial.symbol = tokens_.Identifier();
    tokens_.Expect(")");
  }
  if (tokens_.Accept("+")) initial.value = tokens_.Integer();
  return initial;
}

// ---- functions

void Parser::Function(bool is_kernel) {
  FunctionAst function;
  function.is_kernel = is_kernel;
  function.scope_parents = {-1};
  function_ = &function;
  place_ = -1;
  places_.StartFunction();
  if (!is_kernel && tokens_.Is("(")) function.results = Parameters();
  function.name = tokens_.Identifier();
  if (tokens_.Is("(")) function.parameters = Parameters();
  PerformanceDirectives();
  if (tokens_.Accept(";")) return;  // a declaration
  Body();
  module_.functions.push_back(std::move(function));
}

std::vector<ParameterAst> Parser::Parameters() {
  std::vector<ParameterAst> parameters;
  tokens_.Expect("(");
  while (!tokens_.Accept(")")) {
    if (!parameters.empty()) tokens_.Expect(",");
    ParameterAst parameter;
    parameter.in_register = tokens_.Accept(".reg");
    if (!parameter.in_register) tokens_.Expect(".param");
    uint32_t align = 0;
    while (tokens_.IsDirective()) {
      const std::string word = tokens_.Identifier();
      if (word == ".align") {
        align = tokens_.Alignment();
      } else if (ParseType(word.substr(1)) != Type::kNone) {
        parameter.type = ParseType(word.substr(1));
      }
    }
    if (parameter.type == Type::kNone) tokens_.Fail("unsupported type of a parameter");
    parameter.name = tokens_.Identifier();
    parameter.bytes = SizeOf(parameter.type);
    parameter.align = align ? align : parameter.bytes;
    if (tokens_.Accept("[")) {
      // 32764 bytes: the limit of PTX ISA 8.1 for a kernel's whole parameter block.
      if (!tokens_.Is("]")) parameter.bytes *= tokens_.Count(32764, "a parameter's extent");
      tokens_.Expect("]");
      parameter.type = Type::kNone;
    }
    parameters.push_back(std::move(parameter));
  }
  return parameters;
}

void Parser::PerformanceDirectives() {
  while (!tokens_.Is("{") && !tokens_.Is(";")) {
    const std::string word = tokens_.Next().text;
    if (word == ".maxntid" || word == ".reqntid") {
      uint32_t extents[3] = {1, 1, 1};
      for (int i = 0; i < 3 && (i == 0 || tokens_.Accept(",")); ++i) {
        extents[i] = tokens_.Count(65535, word.c_str());
      }
      const uint64_t threads = uint64_t{extents[0]} * extents[1] * extents[2];
      function_->max_threads = static_cast<uint32_t>(std::min<uint64_t>(threads, 1u << 31));
      if (word == ".reqntid") std::copy(extents, extents + 3, function_->required_threads);
    } else if (word == ".maxnreg") {
      function_->max_registers = tokens_.Count(65535, ".maxnreg");
    } else if (word == ".minnctapersm") {
      function_->min_blocks = tokens_.Count(65535, ".minnctapersm");
    }
  }
}

void Parser::Body() {
  tokens_.Expect("{");
  std::vector<int> scopes = {0};
  while (!scopes.empty()) {
    const int scope = scopes.back();
    if (tokens_.Accept("{")) {
      if (scopes.size() > kMaxNesting) tokens_.Fail("blocks are nested too deeply");
      function_->scope_parents.push_back(scope);
      scopes.push_back(static_cast<int>(function_->scope_parents.size()) - 1);
    } else if (tokens_.Accept("}")) {
      scopes.pop_back();
    } else if (tokens_.Accept(";")) {
    } else if (tokens_.IsDirective()) {
      BodyDirective(scope);
    } else if (tokens_.IsIdentifier() && tokens_.Peek(1).text == ":") {
      Label(scope);
    } else {
      Instruction(scope);
    }
  }
}

void Parser::BodyDirective(int scope) {
  const Token directive = tokens_.Next();
  if (directive.text == ".reg") {
    Registers(scope);
  } else if (directive.text == ".shared") {
    Variables(Space::kShared, false, scope, function_->variables);
  } else if (directive.text == ".local" || directive.text == ".param") {
    // The parameters of calls live in local memory, as they do on a GPU.
    Variables(Space::kLocal, false, scope, function_->variables);
  } else if (directive.text == ".global") {
    Variables(Space::kGlobal, false, scope, module_.variables);
  } else if (directive.text == ".const") {
    Variables(Space::kConst, false, scope, module_.variables);
  } else if (directive.text == ".loc") {
    Location(directive.line);
  } else if (directive.text == ".pragma") {
    tokens_.SkipPast(";");
  } else {
    tokens_.Fail("unsupported directive " + directive.text);
  }
}

// .loc file line column, and where the function was inlined:
//   , function_name label, inlined_at file line column
void Parser::Location(int ptx_line) {
  const auto integer = [&] { return static_cast<int>(tokens_.Integer()); };
  const auto place = [&] {
    SourcePlace read;
    read.file = integer();
    read.line = integer();
    if (tokens_.IsNumber() && tokens_.Peek().line == ptx_line) read.column = integer();
    return read;
  };
  const SourcePlace here = place();
  while (!tokens_.AtEnd() && tokens_.Peek().line == ptx_line && !tokens_.Is("inlined_at")) {
    tokens_.Next();
  }
  if (tokens_.Peek().line == ptx_line && tokens_.Accept("inlined_at")) {
    place_ = places_.AddInlined(here, place());
    tokens_.SkipRestOfLine(ptx_line);
  } else {
    place_ = places_.Add(here);
  }
  if (here.line == 0) place_ = -1;  // the compiler's own instructions
}

void Parser::Registers(int scope) {
  Type type = Type::kNone;
  while (tokens_.IsDirective()) {
    const std::string word = tokens_.Identifier();
    if (ParseType(word.substr(1)) != Type::kNone) type = ParseType(word.substr(1));
  }
  if (type == Type::kNone) tokens_.Fail("unsupported type of a register");
  do {
    RegisterAst reg;
    reg.name = tokens_.Identifier();
    reg.type = type;
    reg.scope = scope;
    if (tokens_.Accept("<")) {
      reg.count = tokens_.Count(100000, "a number of registers");
      tokens_.Expect(">");
    }
    function_->registers.push_back(std::move(reg));
  } while (tokens_.Accept(","));
  tokens_.Expect(";");
}

void Parser::Label(int scope) {
  const std::string name = tokens_.Identifier();
  tokens_.Expect(":");
  if (tokens_.Accept(".branchtargets")) {
    std::vector<std::string>& targets = function_->branch_targets[name];
    do {
      targets.push_back(tokens_.Identifier());
    } while (tokens_.Accept(","));
    tokens_.Expect(";");
  } else if (tokens_.Accept(".callprototype") || tokens_.Accept(".calltargets")) {
    tokens_.SkipPast(";");
  } else {
    function_->labels[{scope, name}] = static_cast<int>(function_->statements.size());
  }
}

void Parser::Instruction(int scope) {
  Statement statement;
  statement.scope = scope;
  statement.ptx_line = tokens_.Peek().line;
  statement.place = place_;
  if (tokens_.Accept("@")) {
    statement.guard_negated = tokens_.Accept("!");
    statement.guard = tokens_.Identifier();
  }
  statement.opcode = tokens_.Identifier();
  if (statement.opcode == "call" || statement.opcode.compare(0, 5, "call.") == 0) {
    Call(statement);
  } else {
    while (!tokens_.Is(";")) {
      statement.operands.push_back(ParseOperand(tokens_));
      if (!tokens_.Accept(",") && !tokens_.Is(";")) {
        tokens_.Fail("malformed operands of " + statement.opcode);
      }
    }
  }
  tokens_.Expect(";");
  function_->statements.push_back(std::move(statement));
}

// call (results), function, (arguments), prototype;
void Parser::Call(Statement& statement) {
  const auto list = [&] {
    std::vector<Operand> operands;
    tokens_.Expect("(");
    while (!tokens_.Accept(")")) {
      if (!operands.empty()) tokens_.Expect(",");
      operands.push_back(ParseOperand(tokens_));
    }
    return operands;
  };
  if (tokens_.Is("(")) {
    statement.call_results = list();
    tokens_.Expect(",");
  }
  statement.operands.push_back(ParseOperand(tokens_));  // the function
  while (tokens_.Accept(",")) {
    if (tokens_.Is("(")) {
      statement.call_arguments = list();
    } else {
      statement.operands.push_back(ParseOperand(tokens_));  // prototype of an indirect call
    }
  }
}

}  // namespace

ModuleAst ParseModule(const char* text) { return Parser(text).Module(); }

}  // namespace ptxemu
