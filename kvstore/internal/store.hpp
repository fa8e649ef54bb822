#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include <kvstore/engine/engine.hpp>
#include <kvstore/internal/clock.hpp>
#include <kvstore/internal/janitor.hpp>
#include <kvstore/internal/read_pool.hpp>
#include <kvstore/internal/session.hpp>
#include <kvstore/internal/write_queue.hpp>
#include <kvstore/options.hpp>

namespace kvstore::internal {

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
  void write(engine::FunctionRef<void(Writing&)> body) override;
  Store& store() noexcept override { return *this; }

  Stats stats();
  Report check();

  /// Lets calls in flight finish; every later call is `misuse`.
  void close();

  [[nodiscard]] const Options& options() const noexcept { return options_; }

 private:
  struct Parts {
    Parts(std::unique_ptr<engine::Engine> opened, const Options& options, Store& store);

    std::unique_ptr<engine::Engine> engine;
    WriteQueue queue;
    ReadPool readers;
    std::unique_ptr<engine::Connection> writer{};  ///< Used by whoever has the turn.
    std::uint64_t mark = 0;                        ///< After our own last commit.
    Janitor janitor;
  };

  void refuse_misuse() const;
  void refuse_closed() const;
  void with_reader(engine::FunctionRef<void(engine::Connection&)> body);
  void with_writer(WriteQueue::Clock::time_point deadline,
                   engine::FunctionRef<void(engine::Connection&)> body);
  void run_transaction(engine::Connection& connection, WriteQueue::Clock::time_point deadline,
                       engine::FunctionRef<void(Writing&)> body);
  void note_others();
  void tidy_if_needed();
  [[nodiscard]] Reading reading(engine::Connection& connection);

  Options options_;
  std::string name_;
  engine::Traits traits_;
  engine::Dialect dialect_;
  Clock clock_;
  std::uint64_t generation_;
  WriteHistory history_;
  std::atomic<std::thread::id> writing_thread_{};  ///< Runs the caller's code under the write lock.
  std::mutex closing_;  ///< A second `close` returns when the first has finished.
  std::atomic<bool> closed_{false};
  std::atomic<bool> log_is_large_{false};
  std::unique_ptr<Parts> parts_;  ///< Abandoned in a forked child.
};

}  // namespace kvstore::internal
