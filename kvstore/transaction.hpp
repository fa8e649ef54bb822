#pragma once

#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include <kvstore/api.hpp>
#include <kvstore/keyspace.hpp>

namespace kvstore {

namespace internal {
class TransactionSession;
}  // namespace internal

/// Reads and writes that happen together or not at all. It sees its own writes; nobody else does
/// before `commit`. From its beginning it holds the write lock, so other writers wait for its end.
///
/// A call that throws has changed nothing, and the transaction goes on; unless the engine had to
/// roll back by itself, as on a full disk: then every further call throws the first cause again.
///
/// A transaction inside a transaction is a savepoint, which ends with the outer one. The outer one
/// cannot be used while it lives.
///
/// Valid until: the store is closed, which rolls it back. Threads: the one that began it; so is
/// using the store itself from that thread `misuse`, except for closing it.
class KVSTORE_API Transaction : public Keyspace {
 public:
  Transaction(Transaction&&) noexcept = default;

  /// Rolls back what this object held.
  Transaction& operator=(Transaction&& other) noexcept;

  /// Rolls back, unless it was committed.
  ~Transaction() noexcept;

  /// Throws: outcome_unknown, full, io, busy; the transaction is over then, too.
  void commit();

  void rollback();

  /// Runs `body(Transaction&)` in a transaction inside this one, as `KVStore::transaction` does.
  template <class Body>
  auto transaction(Body&& body) {
    return run(begin(), body);
  }

  /// A transaction inside this one, which rolls back alone unless it is committed.
  [[nodiscard]] Transaction begin();

 private:
  friend class KVStore;
  explicit Transaction(std::shared_ptr<internal::TransactionSession> session) noexcept;

  template <class Body>
  static auto run(Transaction transaction, Body& body) {
    if constexpr (std::is_void_v<std::invoke_result_t<Body&, Transaction&>>) {
      std::invoke(body, transaction);
      if (!transaction.over()) transaction.commit();
    } else {
      auto result = std::invoke(body, transaction);
      if (!transaction.over()) transaction.commit();
      return result;
    }
  }

  [[nodiscard]] internal::TransactionSession& transaction_session() const;
  [[nodiscard]] bool over() const;
  void abandon() noexcept;
};

}  // namespace kvstore
