#include "source_places.h"

namespace ptxemu {

int SourcePlaces::Index(const SourcePlace& place) {
  const auto key = std::make_tuple(place.file, place.line, place.column, place.inlined_at);
  const auto [found, is_new] = index_.emplace(key, static_cast<int>(places_.size()));
  if (is_new) places_.push_back(place);
  last_[{place.file, place.line, place.column}] = found->second;
  return found->second;
}

int SourcePlaces::Add(const SourcePlace& place) { return Index(place); }

int SourcePlaces::AddInlined(const SourcePlace& place, const SourcePlace& call) {
  const auto known = last_.find({call.file, call.line, call.column});
  SourcePlace inlined = place;
  inlined.inlined_at = known != last_.end() ? known->second : Index(call);
  return Index(inlined);
}

}  // namespace ptxemu
