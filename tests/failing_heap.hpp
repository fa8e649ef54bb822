#pragma once

#include <cstddef>

namespace kvstore::test {

/// While it lives, allocations of this thread by `operator new` fail.
class FailingHeap {
 public:
  enum class Fails { once, lastingly };

  /// The first `before` allocations succeed.
  FailingHeap(std::size_t before, Fails how) noexcept;
  ~FailingHeap() noexcept;
  FailingHeap(const FailingHeap&) = delete;
  FailingHeap& operator=(const FailingHeap&) = delete;
  FailingHeap(FailingHeap&&) = delete;
  FailingHeap& operator=(FailingHeap&&) = delete;

  /// Whether one has failed.
  [[nodiscard]] bool failed() const noexcept;
};

}  // namespace kvstore::test
