#pragma once

#include <cstdint>

namespace kvstore::engine {

/// How many times this process came out of a `fork()`. A store remembers it and refuses to work
/// when it has grown: in a forked child neither the locks nor the threads of the parent exist.
/// Costs one load, no system call.
std::uint64_t fork_generation() noexcept;

/// Whether a store in this process has the file open.
bool is_open_here(std::uint64_t device, std::uint64_t inode);

/// Identifies an open database file for as long as it lives.
///
/// POSIX locks are not inherited over `fork()`, but the engine's own record of them is, so a child
/// that opened a file which its parent had open would believe in locks that it does not hold.
/// Source: https://sqlite.org/howtocorrupt.html §2.6.
class OpenFile {
 public:
  /// Throws: misuse in a forked child, when a parent had the file open.
  OpenFile(std::uint64_t device, std::uint64_t inode);
  ~OpenFile() noexcept;
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  OpenFile(OpenFile&&) = delete;
  OpenFile& operator=(OpenFile&&) = delete;

  /// Whether another store in this process has the file open.
  [[nodiscard]] bool is_shared() const;

 private:
  std::uint64_t device_, inode_, generation_;
};

}  // namespace kvstore::engine
