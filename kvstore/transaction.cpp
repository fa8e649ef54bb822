#include <utility>

#include <kvstore/internal/open_transaction.hpp>
#include <kvstore/transaction.hpp>

namespace kvstore {

Transaction::Transaction(std::shared_ptr<internal::TransactionSession> session) noexcept
    : Keyspace(std::move(session)) {}

Transaction& Transaction::operator=(Transaction&& other) noexcept {
  if (this != &other) {
    abandon();
    Keyspace::operator=(std::move(other));
  }
  return *this;
}

Transaction::~Transaction() noexcept {
  abandon();
}

internal::TransactionSession& Transaction::transaction_session() const {
  return static_cast<internal::TransactionSession&>(session());
}

void Transaction::commit() {
  transaction_session().commit();
}

void Transaction::rollback() {
  transaction_session().rollback();
}

Transaction Transaction::begin() {
  return Transaction(transaction_session().begin());
}

bool Transaction::over() const {
  return transaction_session().over();
}

void Transaction::abandon() noexcept {
  if (!moved_from()) transaction_session().abandon();
}

}  // namespace kvstore
