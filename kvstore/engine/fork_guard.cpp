#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <vector>

#include <kvstore/engine/fork_guard.hpp>
#include <kvstore/error.hpp>

namespace kvstore::engine {
namespace {

struct Record {
  std::uint64_t device, inode, generation;
  bool operator==(const Record&) const = default;
};

/// Never destroyed: stores may be closed by the destructors of other static objects.
struct Registry {
  std::atomic<std::uint64_t> generation{0};
  std::mutex mutex;
  std::vector<Record> open;

  static Registry& instance() {
    static auto& registry = *new Registry;  // NOLINT(cppcoreguidelines-owning-memory)
    return registry;
  }

 private:
  Registry() {
    pthread_atfork([] { instance().mutex.lock(); }, [] { instance().mutex.unlock(); },
                   [] {
                     instance().generation.fetch_add(1, std::memory_order_relaxed);
                     instance().mutex.unlock();
                   });
  }
};

}  // namespace

std::uint64_t fork_generation() noexcept {
  static const std::atomic<std::uint64_t>& generation = Registry::instance().generation;
  return generation.load(std::memory_order_relaxed);
}

bool is_open_here(std::uint64_t device, std::uint64_t inode) {
  Registry& registry = Registry::instance();
  const std::lock_guard lock(registry.mutex);
  return std::ranges::any_of(registry.open, [&](const Record& record) {
    return record.device == device && record.inode == inode;
  });
}

OpenFile::OpenFile(std::uint64_t device, std::uint64_t inode)
    : device_(device), inode_(inode), generation_(fork_generation()) {
  Registry& registry = Registry::instance();
  const std::lock_guard lock(registry.mutex);
  const bool inherited = std::ranges::any_of(registry.open, [&](const Record& record) {
    return record.device == device && record.inode == inode && record.generation != generation_;
  });
  if (inherited) {
    throw Error(ErrorCode::misuse,
                "this process was forked while its parent had the same store open, and shares its "
                "record of locks; call exec() first, or open the store after the fork only");
  }
  registry.open.push_back({device_, inode_, generation_});
}

bool OpenFile::is_shared() const {
  Registry& registry = Registry::instance();
  const std::lock_guard lock(registry.mutex);
  return std::ranges::count(registry.open, Record{device_, inode_, generation_}) > 1;
}

OpenFile::~OpenFile() noexcept {
  Registry& registry = Registry::instance();
  const std::lock_guard lock(registry.mutex);
  const auto found = std::ranges::find(registry.open, Record{device_, inode_, generation_});
  if (found != registry.open.end()) registry.open.erase(found);
}

}  // namespace kvstore::engine
