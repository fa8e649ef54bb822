#include <utility>

#include <kvstore/error.hpp>
#include <kvstore/internal/open_snapshot.hpp>
#include <kvstore/internal/store.hpp>

namespace kvstore::internal {

std::shared_ptr<OpenSnapshot> OpenSnapshot::open(std::shared_ptr<Store> store) {
  auto snapshot = std::make_shared<OpenSnapshot>(std::move(store));
  snapshot->store_->adopt(snapshot);
  return snapshot;
}

OpenSnapshot::OpenSnapshot(std::shared_ptr<Store> store)
    : store_(std::move(store)),
      // Not make_unique: a loan cannot be moved.
      loan_(new ReadPool::Loan(store_->borrow_for_snapshot())),
      moment_(store_->now()),
      clock_([moment = moment_] { return moment; }) {
  loan_->connection().begin(engine::Access::snapshot, store_->options().busy_timeout);
}

OpenSnapshot::~OpenSnapshot() noexcept {
  let_go();
}

void OpenSnapshot::let_go() noexcept {
  if (store_->forked()) {
    // The connection is the parent's.
    static_cast<void>(loan_.release());  // NOLINT(bugprone-unused-return-value)
    return;
  }
  const std::lock_guard lock(mutex_);
  loan_.reset();
}

std::optional<Time> OpenSnapshot::pins_since() {
  const std::lock_guard lock(mutex_);
  return loan_ == nullptr ? std::nullopt : std::optional(moment_);
}

void OpenSnapshot::read(Span /*span*/, engine::FunctionRef<void(Reading&)> body) {
  store_->refuse_forked();
  const std::lock_guard lock(mutex_);
  if (loan_ == nullptr) {
    store_->refuse_closed();
    throw Error(ErrorCode::misuse, "the snapshot of " + store_->name() +
                                       " is gone; keep it for as long as what was made from it");
  }
  Reading reading{loan_->connection(), clock_, store_->options(), store_->dialect()};
  body(reading);
}

void OpenSnapshot::write(Grouping /*grouping*/, engine::FunctionRef<void(Writing&)> /*body*/) {
  throw Error(ErrorCode::misuse, "a snapshot of " + store_->name() + " cannot be written");
}

}  // namespace kvstore::internal
