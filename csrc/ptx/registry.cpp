#include "registry.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "text.h"

namespace ptxemu {
namespace {

struct Registration {
  size_t bytes;
  std::string name;
  std::shared_ptr<WrittenBytes> written;  // of fresh memory
};

std::mutex mutex;
// By address; the same address may be registered several times.
std::multimap<uint64_t, Registration>& Registrations() {
  static auto* registrations = new std::multimap<uint64_t, Registration>;
  return *registrations;
}

}  // namespace

void WrittenBytes::Mark(uint64_t address, size_t bytes) {
  for (uint64_t i = address - low, end = i + bytes; i < end;) {
    const uint64_t bit = i & 63, count = std::min<uint64_t>(64 - bit, end - i);
    const uint64_t mask = (count == 64 ? ~0ull : (1ull << count) - 1) << bit;
    __atomic_fetch_or(&bits[i >> 6], mask, __ATOMIC_RELAXED);
    i += count;
  }
}

int WrittenBytes::FirstUnwritten(uint64_t address, int bytes) const {
  for (int k = 0; k < bytes; ++k) {
    const uint64_t i = address - low + k;
    if (!(__atomic_load_n(&bits[i >> 6], __ATOMIC_RELAXED) >> (i & 63) & 1)) return k;
  }
  return -1;
}

void RegisterMemory(const void* address, size_t bytes, const std::string& name, bool fresh) {
  const uint64_t low = reinterpret_cast<uint64_t>(address);
  Registration registration{bytes, name, nullptr};
  if (fresh && bytes) registration.written = std::make_shared<WrittenBytes>(low, bytes);
  std::lock_guard<std::mutex> lock(mutex);
  Registrations().emplace(low, std::move(registration));
}

void UnregisterMemory(const void* address) {
  std::lock_guard<std::mutex> lock(mutex);
  auto& registrations = Registrations();
  const auto range = registrations.equal_range(reinterpret_cast<uint64_t>(address));
  // Of equal keys the last inserted is the last in order.
  if (range.first != range.second) registrations.erase(std::prev(range.second));
}

void MarkWritten(const void* address, size_t bytes) {
  const uint64_t low = reinterpret_cast<uint64_t>(address), high = low + bytes;
  std::lock_guard<std::mutex> lock(mutex);
  for (auto& [start, registration] : Registrations()) {
    if (!registration.written) continue;
    const uint64_t from = std::max(low, start), to = std::min(high, start + registration.bytes);
    if (from < to) registration.written->Mark(from, to - from);
  }
}

MemoryMap MemoryMap::Snapshot() {
  MemoryMap map;
  std::lock_guard<std::mutex> lock(mutex);
  for (const auto& [low, registration] : Registrations()) {
    if (registration.bytes == 0) continue;
    const uint64_t high = low + registration.bytes;
    if (map.buffers_.empty() || low >= map.buffers_.back()->high) {
      map.buffers_.push_back(std::make_unique<Buffer>());
      map.buffers_.back()->low = low;
      map.buffers_.back()->high = high;
      map.buffers_.back()->name = registration.name;
    }
    Buffer& buffer = *map.buffers_.back();
    if (high > buffer.high) {  // it overlaps the buffer before, or is the larger at its address
      buffer.high = high;
      if (low == buffer.low) buffer.name = registration.name;
    }
    if (registration.written) buffer.fresh.push_back({low, high, registration.written});
  }
  for (auto& buffer : map.buffers_) {
    const uint64_t sectors = ((buffer->high - 1) >> 5) - (buffer->low >> 5) + 1;
    buffer->sectors_read.assign((sectors + 63) / 64, 0);
    buffer->sectors_written.assign((sectors + 63) / 64, 0);
  }
  return map;
}

const Buffer* MemoryMap::Find(uint64_t address) const {
  const auto after = std::upper_bound(
      buffers_.begin(), buffers_.end(), address,
      [](uint64_t value, const std::unique_ptr<Buffer>& buffer) { return value < buffer->high; });
  return after != buffers_.end() && (*after)->low <= address ? after->get() : nullptr;
}

std::string MemoryMap::Describe(uint64_t address) const {
  constexpr uint64_t kNear = 1 << 16;
  const Buffer* nearest = nullptr;
  uint64_t least = kNear;
  for (const auto& buffer : buffers_) {
    const uint64_t distance = address < buffer->low    ? buffer->low - address
                              : address < buffer->high ? 0
                                                       : address - buffer->high;
    if (distance < least) {
      least = distance;
      nearest = buffer.get();
    }
  }
  if (!nearest) return "";
  return Format(" (buffer '%s' of %llu bytes, offset %lld)", nearest->name.c_str(),
                (unsigned long long)(nearest->high - nearest->low),
                (long long)(address - nearest->low));
}

}  // namespace ptxemu
