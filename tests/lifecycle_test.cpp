#include <algorithm>
#include <array>
#include <memory>
#include <thread>

#include "behaviour.hpp"

namespace kvstore::test {
namespace {

/// Everything that can be made from a store, each in its place, so that it can end in any order.
struct Made {
  std::unique_ptr<KVStore> store;
  std::unique_ptr<Snapshot> snapshot;
  std::unique_ptr<Transaction> transaction;
  std::unique_ptr<Transaction> savepoint;
  std::unique_ptr<Cursor> cursor;

  explicit Made(KVStore opened)
      : store(std::make_unique<KVStore>(std::move(opened))),
        snapshot(std::make_unique<Snapshot>(store->snapshot())),
        transaction(std::make_unique<Transaction>(store->begin())) {
    transaction->set("outer", 1);
    savepoint = std::make_unique<Transaction>(transaction->begin());
    savepoint->set("inner", 1);
    cursor = std::make_unique<Cursor>(savepoint->scan());
    EXPECT_NE(cursor->begin(), Cursor::end());
  }

  void end(int which) {
    if (which == 0) store.reset();
    if (which == 1) snapshot.reset();
    if (which == 2) transaction.reset();
    if (which == 3) savepoint.reset();
    if (which == 4) cursor.reset();
  }

  /// What is left does what it can, or answers with one of ours; it never hangs or crashes.
  void use_all() const {
    const auto tried = [](const auto& call) {
      try {
        call();
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::misuse) << error.what();
      }
    };
    if (snapshot != nullptr) tried([&] { EXPECT_FALSE(snapshot->contains("outer")); });
    if (savepoint != nullptr) tried([&] { EXPECT_TRUE(savepoint->contains("outer")); });
    if (transaction != nullptr) tried([&] { EXPECT_TRUE(transaction->contains("outer")); });
    if (cursor != nullptr) tried([&] { static_cast<void>(cursor->begin()); });
  }
};

class Lifecycle : public OnEveryEngine {};
KVSTORE_TEST_ON_EVERY_ENGINE(Lifecycle);

TEST_P(Lifecycle, EndsInEveryOrderWithoutHarm) {
  std::array<int, 5> order = {0, 1, 2, 3, 4};
  do {
    SCOPED_TRACE(::testing::PrintToString(order));
    const TempDir directory;
    Made made(open_in(directory, options()));
    for (const int which : order) {
      made.end(which);
      made.use_all();
    }
  } while (std::ranges::next_permutation(order).found);
}

TEST_P(Lifecycle, NothingThatWasNotCommittedIsLeftBehind) {
  const TempDir directory;
  std::array<int, 4> order = {1, 2, 3, 4};
  KVStore store = open_in(directory, options());
  do {
    SCOPED_TRACE(::testing::PrintToString(order));
    {
      Made made(std::move(store));
      for (const int which : order) made.end(which);
      EXPECT_EQ(made.store->count(), 0U);
      made.store->set("k", 1);
      made.store->erase("k");
      store = std::move(*made.store);
    }
  } while (std::ranges::next_permutation(order).found);
}

/// Closing in place of destroying: what is left says that the store was closed.
TEST_P(Lifecycle, ClosingEndsTransactionsAndSnapshots) {
  store_.set("k", 1);
  Snapshot snapshot = store_.snapshot();
  Cursor rows = snapshot.scan();
  Transaction tx = store_.begin();
  tx.set("k", 2);
  Transaction inner = tx.begin();
  store_.close();
  EXPECT_KV_ERROR(snapshot.get("k"), ErrorCode::misuse, "closed");
  EXPECT_KV_ERROR(rows.begin(), ErrorCode::misuse, "closed");
  EXPECT_KV_ERROR(tx.get("k"), ErrorCode::misuse, "closed");
  EXPECT_KV_ERROR(inner.get("k"), ErrorCode::misuse, "closed");
  EXPECT_KV_ERROR(inner.commit(), ErrorCode::misuse, "closed");
  EXPECT_KV_ERROR(tx.commit(), ErrorCode::misuse, "closed");
}

TEST_P(Lifecycle, ClosingInTheBodyOfATransactionIsNoCommit) {
  EXPECT_KV_ERROR(store_.transaction([&](Transaction& tx) {
    tx.set("k", 1);
    store_.close();
  }),
                  ErrorCode::misuse, "closed");
}

TEST_P(Lifecycle, ClosingByAnotherThreadRollsATransactionBack) {
  Transaction tx = store_.begin();
  tx.set("k", 1);
  std::thread([&] { store_.close(); }).join();
  EXPECT_KV_ERROR(tx.commit(), ErrorCode::misuse, "closed");
}

TEST_P(Lifecycle, ClosingInACallbackOfATransactionIsMisuse) {
  store_.transaction([&](Transaction& tx) {
    tx.update("k", 1,
              [&](json&) { EXPECT_KV_ERROR(store_.close(), ErrorCode::misuse, "callback"); });
  });
  EXPECT_EQ(store_.get("k"), json(1));
}

TEST_P(Lifecycle, MovingTheStoreDisturbsNothingMadeFromIt) {
  store_.set("k", 1);
  const Snapshot snapshot = store_.snapshot();
  Transaction tx = store_.begin();
  tx.set("k", 2);
  const KVStore moved = std::move(store_);
  EXPECT_EQ(snapshot.get("k"), json(1));
  tx.commit();
  EXPECT_EQ(moved.get("k"), json(2));
}

}  // namespace
}  // namespace kvstore::test
