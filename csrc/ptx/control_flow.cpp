#include "control_flow.h"

#include <algorithm>
#include <map>
#include <set>

namespace ptxemu {
namespace {

class ControlFlowGraph {
 public:
  explicit ControlFlowGraph(Kernel& kernel) : kernel_(kernel), code_(kernel.code) {}

  void Build() {
    FindBlocks();
    FindEdges();
  }
  void SetReconvergence();
  void SetLoopDepths();

 private:
  void FindBlocks();
  void FindEdges();
  void AddEdge(int from, int to) {
    successors_[from].push_back(to);
    predecessors_[to].push_back(from);
  }
  int BlockOf(int instruction) const { return code_[instruction].block; }
  int Count() const { return static_cast<int>(kernel_.blocks.size()); }
  int Exit() const { return Count(); }  // the virtual node that every path ends in
  std::vector<int> PostOrderFromExit() const;
  std::vector<int> PostDominators() const;

  Kernel& kernel_;
  std::vector<Instruction>& code_;
  std::vector<std::vector<int>> successors_, predecessors_;
};

bool EndsBlock(const Instruction& instruction) {
  return instruction.kind == Kind::kBranch || instruction.kind == Kind::kIndexed ||
         instruction.kind == Kind::kExit || instruction.kind == Kind::kReturn;
}

void ControlFlowGraph::FindBlocks() {
  const int size = static_cast<int>(code_.size());
  std::vector<char> leads(size + 1, 0);
  leads[0] = 1;
  for (const Instruction& instruction : code_) {
    if (EndsBlock(instruction)) leads[instruction.id + 1] = 1;
    if (instruction.target >= 0) leads[instruction.target] = 1;
    if (instruction.targets) {
      for (int target : *instruction.targets) leads[target] = 1;
    }
  }
  for (int i = 0; i < size; ++i) {
    if (leads[i]) kernel_.blocks.push_back({i, i, 0});
    kernel_.blocks.back().last = i;
    code_[i].block = Count() - 1;
  }
}

void ControlFlowGraph::FindEdges() {
  successors_.resize(Count() + 1);
  predecessors_.resize(Count() + 1);
  // Where each device function returns: an `exit` in it must not hide that its lanes meet there.
  std::vector<int> return_block(Count(), -1);
  for (int block = Count() - 1, current = -1; block >= 0; --block) {
    const Instruction& last = code_[kernel_.blocks[block].last];
    if (last.kind == Kind::kReturn) current = block;
    return_block[block] = current;
  }
  int kernel_end = 0;  // the kernel's own code comes first and ends with its implicit exit
  while (kernel_end + 1 < static_cast<int>(code_.size()) &&
         kernel_.info[kernel_end].text.compare(0, 7, "end of ") != 0) {
    ++kernel_end;
  }
  for (int block = 0; block < Count(); ++block) {
    const Instruction& last = code_[kernel_.blocks[block].last];
    const bool guarded = last.guard != kNoSlot;
    const bool has_next = block + 1 < Count();
    switch (last.kind) {
      case Kind::kBranch:
        AddEdge(block, BlockOf(last.target));
        if (guarded && has_next) AddEdge(block, block + 1);
        break;
      case Kind::kIndexed:
        for (int target : *last.targets) AddEdge(block, BlockOf(target));
        if (guarded && has_next) AddEdge(block, block + 1);
        break;
      case Kind::kExit:
        AddEdge(block, last.id <= kernel_end ? Exit() : return_block[block]);
        if (guarded && has_next) AddEdge(block, block + 1);
        break;
      case Kind::kReturn:
        AddEdge(block, Exit());
        break;
      default:
        if (has_next) AddEdge(block, block + 1);
    }
  }
}

std::vector<int> ControlFlowGraph::PostOrderFromExit() const {
  std::vector<int> order;
  std::vector<char> seen(Count() + 1, 0);
  std::vector<std::pair<int, size_t>> stack{{Exit(), 0}};
  seen[Exit()] = 1;
  while (!stack.empty()) {
    auto& [node, next] = stack.back();
    if (next < predecessors_[node].size()) {
      const int before = predecessors_[node][next++];
      if (!seen[before]) {
        seen[before] = 1;
        stack.push_back({before, 0});
      }
    } else {
      order.push_back(node);
      stack.pop_back();
    }
  }
  return order;
}

// Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm", on the reversed graph.
std::vector<int> ControlFlowGraph::PostDominators() const {
  const std::vector<int> order = PostOrderFromExit();
  std::vector<int> number(Count() + 1, -1), dominator(Count() + 1, -1);
  for (size_t i = 0; i < order.size(); ++i) number[order[i]] = static_cast<int>(i);
  dominator[Exit()] = Exit();
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = order.size(); i--;) {
      const int node = order[i];
      if (node == Exit()) continue;
      int common = -1;
      for (int successor : successors_[node]) {
        if (number[successor] < 0 || dominator[successor] < 0) continue;
        if (common < 0) common = successor;
        for (int other = successor; common != other;) {
          while (number[common] < number[other]) common = dominator[common];
          while (number[other] < number[common]) other = dominator[other];
        }
      }
      if (common >= 0 && dominator[node] != common) {
        dominator[node] = common;
        changed = true;
      }
    }
  }
  return dominator;
}

void ControlFlowGraph::SetReconvergence() {
  const std::vector<int> dominator = PostDominators();
  const int never = static_cast<int>(code_.size());
  for (Instruction& instruction : code_) {
    if (instruction.kind != Kind::kBranch && instruction.kind != Kind::kIndexed) continue;
    const int block = dominator[instruction.block];
    instruction.reconverge = block < 0 || block == Exit() ? never : kernel_.blocks[block].first;
  }
}

// A natural loop is what reaches a back edge without passing its head; the depth of a block is the
// number of loops, counted by heads, that it belongs to.
void ControlFlowGraph::SetLoopDepths() {
  std::vector<char> state(Count() + 1, 0);  // 0 new, 1 on the path, 2 done
  std::map<int, std::set<int>> loops;       // head -> members
  for (int root = 0; root < Count(); ++root) {
    if (state[root]) continue;
    std::vector<std::pair<int, size_t>> path{{root, 0}};
    state[root] = 1;
    while (!path.empty()) {
      auto& [node, next] = path.back();
      if (next == successors_[node].size()) {
        state[node] = 2;
        path.pop_back();
        continue;
      }
      const int successor = successors_[node][next++];
      if (state[successor] == 0) {
        state[successor] = 1;
        path.push_back({successor, 0});
      } else if (state[successor] == 1) {
        std::set<int>& members = loops[successor];
        members.insert(successor);
        std::vector<int> pending{node};
        while (!pending.empty()) {
          const int member = pending.back();
          pending.pop_back();
          if (!members.insert(member).second) continue;
          pending.insert(pending.end(), predecessors_[member].begin(), predecessors_[member].end());
        }
      }
    }
  }
  for (const auto& [head, members] : loops) {
    for (int member : members) ++kernel_.blocks[member].loop_depth;
  }
  for (Instruction& instruction : code_) {
    instruction.loop_depth = static_cast<int16_t>(kernel_.blocks[instruction.block].loop_depth);
  }
}

}  // namespace

void RefuseRecursion(Kernel& kernel) {
  // Functions are consecutive: each ends with its implicit exit or return.
  std::vector<int> function_of(kernel.code.size());
  int functions = 0;
  for (size_t i = 0; i < kernel.code.size(); ++i) {
    function_of[i] = functions;
    if (kernel.info[i].text.compare(0, 7, "end of ") == 0) ++functions;
  }
  std::vector<std::set<int>> reaches(functions + 1);
  for (bool changed = true; changed;) {
    changed = false;
    for (const Instruction& call : kernel.code) {
      if (call.kind != Kind::kCall) continue;
      std::set<int>& reached = reaches[function_of[call.id]];
      const int callee = function_of[call.target];
      const size_t before = reached.size();
      reached.insert(callee);
      reached.insert(reaches[callee].begin(), reaches[callee].end());
      changed |= reached.size() != before;
    }
  }
  for (Instruction& call : kernel.code) {
    if (call.kind != Kind::kCall ||
        !reaches[function_of[call.target]].count(function_of[call.id])) {
      continue;
    }
    call.kind = Kind::kFault;
    call.target = -1;
    kernel.info[call.id].fault = "recursive call: not supported";
  }
}

void AnalyseControlFlow(Kernel& kernel) {
  ControlFlowGraph graph(kernel);
  graph.Build();
  graph.SetReconvergence();
  graph.SetLoopDepths();
}

}  // namespace ptxemu
