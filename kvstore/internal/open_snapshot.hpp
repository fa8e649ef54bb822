#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include <kvstore/internal/clock.hpp>
#include <kvstore/internal/holder.hpp>
#include <kvstore/internal/read_pool.hpp>
#include <kvstore/internal/session.hpp>

namespace kvstore::internal {

/// The session of a snapshot: a read transaction on a connection of its own, and a clock that
/// stands still, so that nothing expires in it.
class OpenSnapshot final : public Session, public Holder {
 public:
  /// Throws: what opening a connection throws.
  static std::shared_ptr<OpenSnapshot> open(std::shared_ptr<Store> store);

  explicit OpenSnapshot(std::shared_ptr<Store> store);
  ~OpenSnapshot() noexcept override;
  OpenSnapshot(const OpenSnapshot&) = delete;
  OpenSnapshot& operator=(const OpenSnapshot&) = delete;
  OpenSnapshot(OpenSnapshot&&) = delete;
  OpenSnapshot& operator=(OpenSnapshot&&) = delete;

  void read(Span span, engine::FunctionRef<void(Reading&)> body) override;
  void write(Grouping grouping, engine::FunctionRef<void(Writing&)> body) override;
  Store& store() noexcept override { return *store_; }

  /// Ends it; what was made from it answers `misuse`.
  void let_go() noexcept override;
  [[nodiscard]] std::optional<Time> pins_since() override;

 private:
  std::shared_ptr<Store> store_;
  std::mutex mutex_;  ///< Guards `loan_`.
  std::unique_ptr<ReadPool::Loan> loan_;
  Time moment_;
  Clock clock_;
};

}  // namespace kvstore::internal
