#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace kvstore::test {

/// Numbers in shared memory, by which a process tells others what it has stored.
class Announcements {
 public:
  /// Makes a file of `count` zeros. Throws: std::runtime_error.
  Announcements(const std::string& path, std::size_t count);

  /// Opens a file of them.
  explicit Announcements(const std::string& path);
  ~Announcements() noexcept;
  Announcements(const Announcements&) = delete;
  Announcements& operator=(const Announcements&) = delete;
  Announcements(Announcements&&) = delete;
  Announcements& operator=(Announcements&&) = delete;

  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  [[nodiscard]] std::int64_t of(std::size_t key) const noexcept;
  [[nodiscard]] std::int64_t largest() const noexcept;
  void announce(std::size_t key, std::int64_t number) const noexcept;

 private:
  void map(int file);

  std::size_t count_ = 0;
  std::int64_t* numbers_ = nullptr;
};

}  // namespace kvstore::test
