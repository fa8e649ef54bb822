#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "support.hpp"

namespace kvstore::test {

/// Long enough for the busiest machine; nobody waits for it unless the test fails.
inline constexpr std::chrono::seconds deadline{20};

/// A change as one line: "set KEY VALUE", "erased KEY", "expired KEY".
inline std::string line_of(const Change& change) {
  switch (change.kind) {
    case Change::Kind::set:
      return "set " + change.key + " " + (change.value ? change.value->dump() : "nothing");
    case Change::Kind::erased:
      return "erased " + change.key + (change.value ? " with a value" : "");
    case Change::Kind::expired:
      return "expired " + change.key + (change.value ? " with a value" : "");
  }
  return "neither";
}

/// What a watch was told, for a test to wait for. Threads: any.
class Told {
 public:
  [[nodiscard]] std::function<void(const Change&)> callback() {
    return [this](const Change& change) { add(change); };
  }

  /// For `Options::on_background_error`.
  [[nodiscard]] std::function<void(std::exception_ptr)> on_error() {
    return [this](const std::exception_ptr& error) {
      Change change;
      try {
        std::rethrow_exception(error);
      } catch (const Error& known) {
        change.key = std::string(to_string(known.code())) + ": " + known.what();
      } catch (const std::exception& other) {
        change.key = other.what();
      }
      add(change);
    };
  }

  /// Waits for this line, and returns all lines up to it, which are forgotten.
  std::vector<std::string> until(const std::string& line) {
    std::vector<std::string> lines;
    for (const Change& change :
         changes_until([&](const Change& c) { return line_of(c) == line; })) {
      lines.push_back(line_of(change));
    }
    return lines;
  }

  /// The same for so many changes.
  std::vector<Change> next(std::size_t count) {
    return changes_until([&, left = count](const Change&) mutable { return --left == 0; });
  }

  /// The only one that came; it is waited for.
  Change one() {
    std::vector<Change> changes = next(1);
    return changes.empty() ? Change{} : changes.front();
  }

  [[nodiscard]] std::size_t size() {
    const std::lock_guard lock(mutex_);
    return changes_.size();
  }

 private:
  void add(const Change& change) {
    const std::lock_guard lock(mutex_);
    changes_.push_back(change);
    added_.notify_all();
  }

  std::vector<Change> changes_until(const std::function<bool(const Change&)>& is_last) {
    std::unique_lock lock(mutex_);
    std::size_t looked_at = 0;
    const bool came = added_.wait_for(lock, deadline, [&] {
      while (looked_at < changes_.size()) {
        if (is_last(changes_[looked_at++])) return true;
      }
      return false;
    });
    if (!came) {
      ADD_FAILURE() << "it did not come; what came is:";
      for (const Change& change : changes_) ADD_FAILURE() << line_of(change);
    }
    const auto end = changes_.begin() + static_cast<std::ptrdiff_t>(looked_at);
    std::vector<Change> taken(changes_.begin(), end);
    changes_.erase(changes_.begin(), end);
    return taken;
  }

  std::mutex mutex_;
  std::condition_variable added_;
  std::vector<Change> changes_;
};

}  // namespace kvstore::test
