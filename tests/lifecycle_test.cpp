#include <algorithm>
#include <array>
#include <memory>
#include <thread>

#include "behaviour.hpp"

namespace kvstore::test {
namespace {

/// How the handles end that can end in more than one way; otherwise they are destroyed.
struct Ways {
  bool close_store = false, commit_transaction = false, commit_savepoint = false;
};

/// Everything that can be made from a store, each in its place, so that it can end in any order.
struct Handles {
  std::unique_ptr<KVStore> store;
  std::unique_ptr<Snapshot> snapshot;
  std::unique_ptr<Transaction> transaction;
  std::unique_ptr<Transaction> savepoint;
  std::unique_ptr<Cursor> cursor;

  explicit Handles(KVStore opened)
      : store(std::make_unique<KVStore>(std::move(opened))),
        snapshot(std::make_unique<Snapshot>(store->snapshot())),
        transaction(std::make_unique<Transaction>(store->begin())) {
    transaction->set("outer", 1);
    savepoint = std::make_unique<Transaction>(transaction->begin());
    savepoint->set("inner", 1);
    cursor = std::make_unique<Cursor>(savepoint->scan());
    EXPECT_NE(cursor->begin(), Cursor::end());
  }

  void end(int which, const Ways& ways) {
    if (which == 0) end_store(ways.close_store);
    if (which == 1) snapshot.reset();
    if (which == 2) end_transaction(transaction, ways.commit_transaction);
    if (which == 3) end_transaction(savepoint, ways.commit_savepoint);
    if (which == 4) cursor.reset();
  }

  /// What is left does what it can, or answers with one of ours; it never hangs or crashes.
  void use_all() const {
    if (snapshot != nullptr) tried([&] { EXPECT_FALSE(snapshot->contains("outer")); });
    if (savepoint != nullptr) tried([&] { EXPECT_TRUE(savepoint->contains("outer")); });
    if (transaction != nullptr) tried([&] { EXPECT_TRUE(transaction->contains("outer")); });
    if (cursor != nullptr) tried([&] { static_cast<void>(cursor->begin()); });
  }

 private:
  template <class Call>
  static void tried(const Call& call) {
    try {
      call();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::misuse) << error.what();
    }
  }

  void end_store(bool close) {
    if (!close) return store.reset();
    store->close();
    EXPECT_KV_ERROR(store->count(), ErrorCode::misuse, "closed");
  }

  static void end_transaction(std::unique_ptr<Transaction>& ended, bool commit) {
    if (commit) tried([&] { ended->commit(); });
    ended.reset();
  }
};

/// What is stored in the end: what was committed from the inside to the outside, before the store
/// ended.
std::vector<std::string> left_behind(const std::array<int, 5>& order, const Ways& ways) {
  const auto place = [&](int which) { return std::ranges::find(order, which); };
  const bool committed = ways.commit_transaction && place(3) < place(2) && place(2) < place(0);
  if (!committed) return {};
  return ways.commit_savepoint ? std::vector<std::string>{"inner", "outer"}
                               : std::vector<std::string>{"outer"};
}

class Lifecycle : public OnEveryEngine {};
KVSTORE_TEST_ON_EVERY_ENGINE(Lifecycle);

TEST_P(Lifecycle, EndsInEveryOrderAndKeepsWhatWasCommitted) {
  constexpr std::array<Ways, 6> all_ways = {{{false, false, false},
                                             {false, true, false},
                                             {false, true, true},
                                             {true, false, false},
                                             {true, true, false},
                                             {true, true, true}}};
  const TempDir directory;
  std::vector<std::string> left;
  const auto expect_left = [&](const KVStore& store) {
    if (GetParam().name != "memory") {
      EXPECT_EQ(store.keys(), left);
    }
  };
  std::array<int, 5> order = {0, 1, 2, 3, 4};
  std::size_t turn = 0;
  do {
    // In the short run, by turns, one way that destroys the store and one that closes it.
    const std::size_t first = long_run() ? 0 : turn++ % 3;
    for (std::size_t i = first; i < all_ways.size(); i += long_run() ? 1 : 3) {
      const Ways& ways = all_ways[i];
      SCOPED_TRACE(::testing::PrintToString(order) + " in way " + std::to_string(i));
      KVStore store = open_in(directory, options());
      expect_left(store);
      store.erase_range({});
      Handles made(std::move(store));
      for (const int which : order) {
        made.end(which, ways);
        made.use_all();
      }
      left = left_behind(order, ways);
    }
  } while (std::ranges::next_permutation(order).found);
  expect_left(open_in(directory, options()));
}

TEST_P(Lifecycle, NothingThatWasNotCommittedIsLeftBehind) {
  const TempDir directory;
  std::array<int, 4> order = {1, 2, 3, 4};
  KVStore store = open_in(directory, options());
  do {
    SCOPED_TRACE(::testing::PrintToString(order));
    {
      Handles made(std::move(store));
      for (const int which : order) made.end(which, {});
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
