// Branches, calls, barriers and instructions without an effect here. The scheduler executes them.
#include "decoder.h"
#include "launch.h"
#include "memory.h"

namespace ptxemu {
namespace {

void Nothing(Warp&, const Instruction&, uint32_t) {}

void SyncLanes(Warp& warp, const Instruction&, uint32_t) {
  SharedHazards& hazards = warp.block->shared_hazards;
  if (hazards.clocks.SyncLanes(warp.id)) hazards.Forget();
}

void Fence(Warp& warp, const Instruction&, uint32_t) {
  if (warp.block->launch->global_races) warp.block->launch->global_races->Fence(warp.block->index);
}

void DecodeIndexedBranch(Decoder& d) {
  d.out.kind = Kind::kIndexed;
  d.out.operands[0] = d.Source(0, 4);
  auto& tables = d.builder().kernel().branch_tables;
  tables.emplace_back(new std::vector<int>);
  for (int target : d.BranchTargets(d.operand(1).name)) tables.back()->push_back(target);
  d.out.targets = tables.back().get();
}

// Copies between the .param variables of both sides.
bool ParameterCopies(Decoder& d, const std::vector<Operand>& actual,
                     const std::vector<Variable>& formal, std::vector<CallSite::Copy>& copies) {
  if (actual.size() != formal.size()) return false;
  for (size_t i = 0; i < actual.size(); ++i) {
    const Variable* variable = d.FindVariable(actual[i].name);
    if (!variable || variable->space != Space::kLocal || variable->bytes < formal[i].bytes) {
      return false;
    }
    copies.push_back({static_cast<uint32_t>(variable->offset),
                      static_cast<uint32_t>(formal[i].offset),
                      static_cast<uint32_t>(formal[i].bytes)});
  }
  return true;
}

void DecodeCall(Decoder& d) {
  const std::string& name = d.operand(0).name;
  if (!d.builder().FindFunction(name)) {
    return d.Unsupported(d.FindRegister(name) ? "indirect call"
                                              : "call of '" + name + "', which has no body here");
  }
  auto& sites = d.builder().kernel().call_sites;
  sites.emplace_back(new CallSite);
  CallSite& site = *sites.back();
  if (!ParameterCopies(d, d.statement().call_arguments, d.CalleeVariables(name, false),
                       site.arguments) ||
      !ParameterCopies(d, d.statement().call_results, d.CalleeVariables(name, true),
                       site.results)) {
    return d.Unsupported("arguments do not match the function's parameters");
  }
  for (CallSite::Copy& copy : site.results) std::swap(copy.from, copy.to);
  d.out.kind = Kind::kCall;
  d.out.call = &site;
}

}  // namespace

void DecodeControl(Decoder& d) {
  d.out.category = Category::kBranch;
  const std::string& base = d.base();
  if (base == "bra") {
    d.out.kind = Kind::kBranch;
    d.out.target = d.LabelTarget(d.operand(0).name);
  } else if (base == "brx") {
    DecodeIndexedBranch(d);
  } else if (base == "exit") {
    d.out.kind = Kind::kExit;
  } else if (base == "ret") {
    d.out.kind = d.in_kernel() ? Kind::kExit : Kind::kReturn;
  } else if (base == "call") {
    DecodeCall(d);
  } else {
    d.Unsupported();
    d.info.fault = base + " executed";  // trap, brkpt
  }
}

// bar{.cta}.sync/.red/.arrive, barrier..., bar.warp.sync. Operands: d, [p,] id [, threads].
void DecodeBarrier(Decoder& d) {
  d.out.category = Category::kSync;
  if (d.Has("warp")) {
    d.out.execute = SyncLanes;
    return;
  }
  if (d.Has("cluster")) return d.Unsupported("clusters");
  const bool reduces = d.Has("red"), arrives = d.Has("arrive");
  if (!reduces && !arrives && !d.Has("sync")) return d.Unsupported();
  d.out.kind = Kind::kBarrier;
  size_t next = 0;
  if (reduces) {
    d.out.variant = d.Has("popc") ? kBarrierPopcount : d.Has("and") ? kBarrierAnd : kBarrierOr;
    d.out.operands[0] =
        d.Has("popc") ? d.Destination(next, 4) : d.PredicateDestination(d.operand(next).name);
    ++next;
  } else {
    d.out.variant = arrives ? kBarrierArrive : kBarrierSync;
  }
  d.out.operands[1] = d.Source(next++, 4);
  const size_t trailing = reduces ? 1 : 0;  // the predicate comes last
  if (d.operand_count() > next + trailing) d.out.operands[2] = d.Source(next++, 4);
  if (reduces) {
    d.out.operands[3] = d.Predicate(d.operand(next));
    d.out.negate = d.operand(next).negated;
  }
}

// Fences order nothing here that is not in order already, and hints have no effect.
void DecodeNothing(Decoder& d) {
  d.out.category = Category::kSync;
  if (d.Has("mbarrier_init") || d.Has("proxy") || d.Has("bulk")) return d.Unsupported();
  const bool fences = d.base() == "membar" || d.base() == "fence";
  d.out.execute = fences && !d.Has("cta") ? Fence : Nothing;
}

}  // namespace ptxemu
