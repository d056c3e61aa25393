// Lines of the CUDA source that instructions come from (.loc), with the calls that were inlined.
#pragma once
#include <map>
#include <tuple>
#include <vector>

namespace ptxemu {

struct SourcePlace {
  int file = 0, line = 0, column = 0;
  int inlined_at = -1;  // index of the call's place; always less than that of this one
};

// The places of a module, each of them once.
class SourcePlaces {
 public:
  // .loc without inlined_at. Like AddInlined, returns the index of the place.
  int Add(const SourcePlace& place);
  // PTX names one call only. That of the function around it, if it was inlined, too, is said by the
  // .loc with the call's own place, which comes first.
  int AddInlined(const SourcePlace& place, const SourcePlace& call);
  // Calls are looked for in the function that they are in.
  void StartFunction() { last_.clear(); }

  const std::vector<SourcePlace>& All() const { return places_; }

 private:
  int Index(const SourcePlace& place);

  std::vector<SourcePlace> places_;
  std::map<std::tuple<int, int, int, int>, int> index_;
  std::map<std::tuple<int, int, int>, int> last_;  // with this file, line and column
};

}  // namespace ptxemu
