#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <kvstore/change.hpp>
#include <kvstore/engine/engine.hpp>
#include <kvstore/internal/changes.hpp>
#include <kvstore/internal/foreign_commits.hpp>
#include <kvstore/internal/known.hpp>

namespace kvstore::internal {

class Store;
class Watcher;

using OnChange = std::function<void(const Change&)>;

/// One subscription.
class Watch {
 public:
  Watch(std::shared_ptr<Watcher> watcher, std::string prefix, OnChange on_change)
      : watcher_(std::move(watcher)),
        prefix_(std::move(prefix)),
        on_change_(std::move(on_change)) {}

  [[nodiscard]] Watcher& watcher() const noexcept { return *watcher_; }

 private:
  friend class Watcher;

  const std::shared_ptr<Watcher> watcher_;
  const std::string prefix_;

  // Guarded by the watcher's mutex.
  OnChange on_change_;  ///< Emptied when it has ended and does not run.
  bool ready_ = false;  ///< It is known what is there already.
  bool ended_ = false;
  bool compare_ = false;           ///< Any key may have changed.
  std::set<std::string> touched_;  ///< Keys that commits of ours may have changed.

  // Of the watcher's thread, once ready.
  Known known_;
  std::set<std::string> suspects_;  ///< Keys to look at.
};

/// Tells subscribers what was committed, on a thread of its own, which lives as long as there are
/// any.
///
/// Whatever may have changed, by whomever, ends up as a key to look at. Right before a callback is
/// run the key is read and compared with what is known; so a callback sees the newest state,
/// however slow the ones before it were, what waits is bounded by the number of keys, and what was
/// rolled back is never seen. Our own commits name their keys. After a commit of somebody else, and
/// one of ours of very many keys, all rows under the prefix are compared.
///
/// It outlives the store where a callback destroyed that.
class Watcher final : public std::enable_shared_from_this<Watcher> {
 public:
  Watcher(const engine::Engine& engine, std::function<void(std::exception_ptr)> on_error);

  /// Subscribes. Throws: what a read throws, misuse.
  std::shared_ptr<Watch> add(const std::shared_ptr<Store>& store, std::string prefix,
                             OnChange on_change);

  /// Ends a subscription; waits for its callback, except inside of it.
  void end(Watch& watch) noexcept;

  /// After each commit of ours: what it may have changed, the engine's mark under its write lock
  /// and after it, and whether nothing else lies between. Costs one load while nobody watches.
  void committed(const Changes& changes, const engine::Mark& before, const engine::Mark& after,
                 bool alone) noexcept;

  /// Whether the caller runs on the watcher's thread, in a callback or the error handler.
  [[nodiscard]] bool is_this_thread();

  /// Throws: misuse, in a forked child.
  void refuse_forked() const;

  /// Ends all subscriptions, and the thread; no more are accepted.
  void stop() noexcept;

 private:
  using Clock = std::chrono::steady_clock;
  using Watches = std::vector<std::shared_ptr<Watch>>;

  void start();
  void wake() noexcept;
  void loop() noexcept;
  void round(Store& store) noexcept;
  Watches ready_watches();
  void notice_others();
  bool file_was_written();
  Watches take_to_compare(Watches watches);
  void compare(Store& store, const Watches& watches);
  void compare_rows(Store& store, const Watches& watches, std::size_t keys);
  void gather_suspects(Store& store, Watch& watch);
  void tell(Store& store, Watch& watch);
  bool has_ended(const Watch& watch);
  void call(Watch& watch, const Change& change) noexcept;
  void release_callback(Watch& watch) noexcept;

  const engine::Engine& engine_;
  const std::string name_;
  const std::function<void(std::exception_ptr)> on_error_;
  const std::uint64_t generation_;
  std::atomic<bool> anybody_{false};  ///< Whether `watches_` has any.

  std::mutex mutex_;  ///< Guards what follows; never held while the store is used.
  std::condition_variable changed_, returned_;
  Watches watches_;
  std::weak_ptr<Store> store_;
  ForeignCommits foreign_;
  Watch* running_ = nullptr;  ///< Whose callback runs.
  bool woken_ = false, stopping_ = false, alive_ = false;
  std::uint64_t last_look_ = 0;
  std::thread thread_;
  std::thread::id thread_id_{};  ///< Also while the thread is being joined.

  // Of the thread.
  Clock::time_point next_look_{}, next_comparison_{}, next_attempt_{};
  std::size_t rows_of_table_ = 0;  ///< As counted last.
  bool failing_ = false, moved_ = false;
};

}  // namespace kvstore::internal
