#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <kvstore/engine/engine.hpp>
#include <kvstore/internal/cache.hpp>
#include <kvstore/internal/clock.hpp>
#include <kvstore/internal/holder.hpp>
#include <kvstore/internal/janitor.hpp>
#include <kvstore/internal/read_pool.hpp>
#include <kvstore/internal/room.hpp>
#include <kvstore/internal/session.hpp>
#include <kvstore/internal/single_flight.hpp>
#include <kvstore/internal/ticker.hpp>
#include <kvstore/internal/watcher.hpp>
#include <kvstore/internal/write_queue.hpp>
#include <kvstore/options.hpp>

namespace kvstore::internal {

/// Marks the thread that does something, for as long as it does.
class ThreadMark {
 public:
  explicit ThreadMark(std::atomic<std::thread::id>& thread) noexcept : thread_(thread) {
    thread_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  }
  ~ThreadMark() noexcept { thread_.store({}, std::memory_order_relaxed); }
  ThreadMark(const ThreadMark&) = delete;
  ThreadMark& operator=(const ThreadMark&) = delete;
  ThreadMark(ThreadMark&&) = delete;
  ThreadMark& operator=(ThreadMark&&) = delete;

 private:
  std::atomic<std::thread::id>& thread_;
};

/// An open store: what all handles made from one `KVStore` share. By itself it is the session in
/// which every call is a transaction of its own.
class Store final : public Session, public std::enable_shared_from_this<Store> {
 public:
  Store(std::unique_ptr<engine::Engine> engine, Options options);
  ~Store() noexcept override;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  Store(Store&&) = delete;
  Store& operator=(Store&&) = delete;

  void read(Span span, engine::FunctionRef<void(Reading&)> body) override;
  using Session::write;
  void write(Grouping grouping, engine::FunctionRef<void(Writing&)> body) override;
  Store& store() noexcept override { return *this; }
  Cache* cache() override;

  /// The writer's connection, in its turn. What is left open at the end is rolled back: it would
  /// keep every other writer out.
  class Writer {
   public:
    Writer(Store& store, WriteQueue::Turn turn);
    ~Writer() noexcept;
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;
    Writer(Writer&&) = delete;
    Writer& operator=(Writer&&) = delete;
    [[nodiscard]] engine::Connection& connection() const noexcept { return *writer_; }

   private:
    WriteQueue::Turn turn_;
    std::unique_ptr<engine::Connection>& writer_;
  };

  /// A transaction that holds the write lock; rolled back unless it was committed.
  class WriteTransaction {
   public:
    explicit WriteTransaction(Store& store);
    WriteTransaction(Store& store, WriteQueue::Turn turn, WriteQueue::Clock::time_point deadline);
    [[nodiscard]] engine::Connection& connection() const noexcept { return writer_.connection(); }
    [[nodiscard]] Writing writing() {
      return {store_.reading(connection()), store_.history_, changes_, store_.room_};
    }
    void commit();

    /// Keeps what was stored in the cache, in place of a document that was read from there. To be
    /// called after the commit of a single call, no part of which was taken back. `writing`: what
    /// that call wrote with.
    void keep_changed(const Writing& writing) noexcept;

   private:
    WriteTransaction(Store& store, WriteQueue::Clock::time_point deadline);

    Store& store_;
    Writer writer_;
    Changes changes_;
    bool changed_read_ = false;  ///< A document that was read from the cache.
    std::optional<ThreadMark> mark_{};
  };

  /// A connection that reads one moment, until it is returned.
  [[nodiscard]] ReadPool::Loan borrow_for_snapshot();

  /// Remembers who must let go before the store can close. Throws: misuse, when it is closed.
  void adopt(const std::shared_ptr<Holder>& holder);

  /// Marks this thread as one that runs the caller's code under the write lock.
  [[nodiscard]] ThreadMark mark_callback() noexcept { return ThreadMark(callback_thread_); }

  /// Who computes what in this process.
  [[nodiscard]] SingleFlight& flights() noexcept { return parts_->flights; }

  /// The engine's mark now; not known where there is only one connection.
  engine::Mark mark();

  Stats stats();
  Report check();

  /// Tells `on_change` of what is committed from now on.
  std::shared_ptr<Watch> watch(std::string prefix, OnChange on_change);

  void backup(const std::filesystem::path& to, const Progress& progress);
  void compact();

  /// Of the file; empty when there is none.
  std::string path();

  /// Lets calls in flight finish; every later call is `misuse`.
  void close();

  [[nodiscard]] const Options& options() const noexcept { return options_; }
  [[nodiscard]] const engine::Dialect& dialect() const noexcept { return dialect_; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] Time now() { return clock_.now(); }
  [[nodiscard]] Clock& clock() noexcept { return clock_; }

  /// Whether this is a child of the process that opened the store.
  [[nodiscard]] bool forked() const noexcept;
  void refuse_forked() const;
  void refuse_closed() const;

 private:
  struct Parts {
    Parts(std::unique_ptr<engine::Engine> opened, const Options& options, Store& store);

    std::unique_ptr<engine::Engine> engine;
    WriteQueue queue;
    Ticker ticker;  ///< Ends the reads that connections keep; stopped before they go.
    ReadPool readers;
    SingleFlight flights{};
    std::unique_ptr<engine::Connection> writer{};  ///< Used by whoever has the turn.
    engine::Mark mark{};                           ///< After our own last commit.
    Cache cache;
    Janitor janitor;
    std::shared_ptr<Watcher> watcher;
  };

  void refuse_misuse() const;
  void refuse_read_only() const;
  void write_alone(engine::FunctionRef<void(Writing&)> body);
  static void write_group(WriteTransaction& transaction,
                          std::span<WriteQueue::Member* const> members);
  bool end_idle_reads() noexcept;
  void end();
  void with_reader(Span span, engine::FunctionRef<void(Reading&)> body);
  void with_writer(WriteQueue::Clock::time_point deadline,
                   engine::FunctionRef<void(engine::Connection&)> body);
  WriteQueue::Clock::time_point deadline_of_write();
  void note_others();
  void let_go_of_all() noexcept;
  void tidy_if_needed();
  [[nodiscard]] Reading reading(engine::Connection& connection, const engine::Mark& mark = {});

  Options options_;
  std::string name_;
  engine::Traits traits_;
  engine::Dialect dialect_;
  Clock clock_;
  std::uint64_t generation_;
  WriteHistory history_;
  Room room_;
  std::atomic<std::thread::id> writing_thread_{};   ///< Has a transaction under the write lock.
  std::atomic<std::thread::id> callback_thread_{};  ///< Runs the caller's code in one.
  std::mutex holding_;                              ///< Guards the two that follow.
  std::vector<std::weak_ptr<Holder>> holders_;
  bool no_more_holders_ = false;
  std::mutex closing_;  ///< A second `close` returns when the first has finished.
  std::atomic<bool> closed_{false};
  std::atomic<bool> log_is_large_{false};
  std::unique_ptr<Parts> parts_;  ///< Abandoned in a forked child.
};

}  // namespace kvstore::internal
