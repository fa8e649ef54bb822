#include <sqlite3.h>

#include <latch>
#include <memory>
#include <stdexcept>
#include <thread>

#include "behaviour.hpp"

namespace kvstore::test {
namespace {

class Transactions : public OnEveryEngine {};
KVSTORE_TEST_ON_EVERY_ENGINE(Transactions);

TEST_P(Transactions, StoreAllTheirWritesOnReturn) {
  store_.transaction([](Transaction& tx) {
    tx.set("a", 1);
    tx.set("b", 2);
  });
  EXPECT_EQ(store_.get("a"), json(1));
  EXPECT_EQ(store_.get("b"), json(2));
}

TEST_P(Transactions, StoreNothingWhenTheBodyThrows) {
  store_.set("a", 0);
  EXPECT_THROW(store_.transaction([](Transaction& tx) {
    tx.set("a", 1);
    tx.erase("a");
    throw std::domain_error("no");
  }),
               std::domain_error);
  EXPECT_EQ(store_.get("a"), json(0));
}

TEST_P(Transactions, HandBackWhatTheBodyReturns) {
  EXPECT_EQ(store_.transaction([](Transaction& tx) {
    return tx.set_many({{"a", 1}, {"b", 2}});
  }),
            2U);
  const auto owned =
      store_.transaction([](Transaction& tx) { return std::make_unique<json>(*tx.get("a")); });
  EXPECT_EQ(*owned, json(1));
}

TEST_P(Transactions, SeeTheirOwnWrites) {
  store_.set("old", 0);
  store_.transaction([](Transaction& tx) {
    tx.set("new", 1);
    tx.erase("old");
    EXPECT_EQ(tx.get("new"), json(1));
    EXPECT_FALSE(tx.contains("old"));
    EXPECT_EQ(tx.keys(), std::vector<std::string>{"new"});
    EXPECT_EQ(tx.count(), 1U);
    std::size_t scanned = 0;
    for (const Entry& entry : tx.scan()) scanned += entry.key == "new" ? 1 : 100;
    EXPECT_EQ(scanned, 1U);
  });
}

TEST_P(Transactions, ThatWereRolledBackByTheBodyStillReturnItsResult) {
  const int result = store_.transaction([](Transaction& tx) {
    tx.set("a", 1);
    tx.rollback();
    return 7;
  });
  EXPECT_EQ(result, 7);
  EXPECT_FALSE(store_.contains("a"));
}

TEST_P(Transactions, ThatTheBodyCommittedAreNotCommittedAgain) {
  store_.transaction([](Transaction& tx) {
    tx.set("a", 1);
    tx.commit();
  });
  EXPECT_EQ(store_.get("a"), json(1));
}

TEST_P(Transactions, ThatAreNotCommittedRollBack) {
  {
    Transaction tx = store_.begin();
    tx.set("a", 1);
  }
  EXPECT_FALSE(store_.contains("a"));
}

TEST_P(Transactions, AreOverAfterCommitAndAfterRollback) {
  Transaction committed = store_.begin();
  committed.commit();
  EXPECT_KV_ERROR(committed.get("a"), ErrorCode::misuse, "over");
  EXPECT_KV_ERROR(committed.set("a", 1), ErrorCode::misuse, "over");
  EXPECT_KV_ERROR(committed.commit(), ErrorCode::misuse, "over");
  EXPECT_KV_ERROR(committed.rollback(), ErrorCode::misuse, "over");
  Transaction rolled_back = store_.begin();
  rolled_back.rollback();
  EXPECT_KV_ERROR(rolled_back.set("a", 1), ErrorCode::misuse, "over");
  EXPECT_KV_ERROR(rolled_back.commit(), ErrorCode::misuse, "over");
}

TEST_P(Transactions, GoOnAfterACallThatThrew) {
  Transaction tx = store_.begin();
  tx.set("a", 1);
  EXPECT_KV_ERROR(tx.set(std::string(5000, 'k'), 1), ErrorCode::invalid_key, "1024");
  const std::vector<std::pair<std::string, json>> half_good = {{"b", 1}, {"", 2}, {"\xFF", 3}};
  EXPECT_KV_ERROR(tx.set_many(half_good), ErrorCode::invalid_key, "UTF-8");
  EXPECT_EQ(tx.keys(), std::vector<std::string>{"a"}) << "a call is all or nothing";
  tx.commit();
  EXPECT_EQ(store_.keys(), std::vector<std::string>{"a"});
}

TEST_P(Transactions, KeepRevisionsGrowingOverARollback) {
  const Revision first = store_.set("k", 1);
  {
    Transaction tx = store_.begin();
    EXPECT_GT(tx.set("k", 2), first);
    tx.erase("k");
    Transaction inner = tx.begin();
    inner.set("k", 3);
    inner.rollback();
    EXPECT_GT(tx.set("k", 4), first);
  }
  EXPECT_EQ(store_.entry("k")->revision, first);
  EXPECT_GT(store_.set("k", 5), first);
}

TEST_P(Transactions, RememberAnErasedRevisionThatASavepointForgot) {
  clock_.advance(Duration(1000));
  const Revision first = store_.set("k", 1);
  clock_.set(Time(Duration(0)));
  Transaction tx = store_.begin();
  Transaction inner = tx.begin();
  inner.erase("k");
  inner.rollback();
  tx.erase("k");
  tx.commit();
  EXPECT_GT(store_.set("k", 2), first);
}

TEST_P(Transactions, MakeTheStoreMisuseForTheirThread) {
  Transaction tx = store_.begin();
  for (const Verb& verb : verbs_of_one_key()) {
    SCOPED_TRACE(verb.name);
    EXPECT_KV_ERROR(verb.call(store_, "k"), ErrorCode::misuse, "transaction");
  }
  EXPECT_KV_ERROR(store_.begin(), ErrorCode::misuse, "transaction");
  EXPECT_KV_ERROR(store_.snapshot(), ErrorCode::misuse, "transaction");
  tx.rollback();
  store_.set("k", 1);
}

TEST_P(Transactions, BelongToTheThreadThatBeganThem) {
  Transaction tx = store_.begin();
  std::thread([&] {
    EXPECT_KV_ERROR(tx.get("k"), ErrorCode::misuse, "another thread");
    EXPECT_KV_ERROR(tx.set("k", 1), ErrorCode::misuse, "another thread");
    EXPECT_KV_ERROR(tx.commit(), ErrorCode::misuse, "another thread");
  }).join();
  tx.set("k", 2);
  tx.commit();
  EXPECT_EQ(store_.get("k"), json(2));
}

TEST_P(Transactions, CanBeDestroyedByAnotherThread) {
  auto tx = std::make_unique<Transaction>(store_.begin());
  tx->set("k", 1);
  std::thread([&] { tx.reset(); }).join();
  EXPECT_FALSE(store_.contains("k"));
  store_.set("k", 2);
}

TEST_P(Transactions, RefuseToBeUsedInTheirOwnCallback) {
  store_.set("k", 1);
  Transaction tx = store_.begin();
  EXPECT_KV_ERROR(tx.update("k", [&](json&) { tx.set("other", 1); }), ErrorCode::misuse,
                  "callback");
  tx.update("k", [](json& value) { value = 2; });
  tx.commit();
  EXPECT_EQ(store_.get("k"), json(2));
  EXPECT_FALSE(store_.contains("other"));
}

TEST_P(Transactions, DroppedInTheirOwnCallbackRollBackAfterIt) {
  store_.set("k", 1);
  auto tx = std::make_unique<Transaction>(store_.begin());
  EXPECT_KV_ERROR(tx->update("k",
                             [&](json& value) {
                               value = 2;
                               tx.reset();
                             }),
                  ErrorCode::misuse, "over");
  EXPECT_EQ(store_.get("k"), json(1));
}

TEST_P(Transactions, MakeOtherWritersWait) {
  std::latch begun(1);
  std::latch writing(1);
  std::thread other([&] {
    begun.wait();
    writing.count_down();
    store_.update("k", 0, [](json& value) { value = value.get<int>() + 1; });
  });
  Transaction tx = store_.begin();
  begun.count_down();
  writing.wait();
  tx.set("k", 10);
  tx.commit();
  other.join();
  EXPECT_EQ(store_.get("k"), json(11));
}

TEST_P(Transactions, MovedFromAreMisuse) {
  Transaction tx = store_.begin();
  Transaction moved = std::move(tx);
  // NOLINTNEXTLINE(bugprone-use-after-move): the point of the test
  EXPECT_KV_ERROR(tx.set("k", 1), ErrorCode::misuse, "moved from");
  moved.set("k", 1);
  moved.commit();
  EXPECT_EQ(store_.get("k"), json(1));
}

TEST_P(Transactions, AssignedToRollBackWhatTheyHeld) {
  const TempDir directory;
  KVStore other = open_in(directory, options());
  Transaction tx = store_.begin();
  tx.set("k", 1);
  tx = other.begin();
  tx.set("k", 2);
  tx.commit();
  EXPECT_FALSE(store_.contains("k"));
  EXPECT_EQ(other.get("k"), json(2));
}

class Savepoints : public OnEveryEngine {};
KVSTORE_TEST_ON_EVERY_ENGINE(Savepoints);

TEST_P(Savepoints, RollBackAlone) {
  store_.transaction([](Transaction& tx) {
    tx.set("a", 1);
    EXPECT_THROW(tx.transaction([](Transaction& inner) {
      EXPECT_EQ(inner.get("a"), json(1));
      inner.set("a", 2);
      inner.set("b", 2);
      throw std::domain_error("no");
    }),
                 std::domain_error);
    EXPECT_EQ(tx.get("a"), json(1));
    tx.set("c", 3);
  });
  EXPECT_EQ(store_.keys(), (std::vector<std::string>{"a", "c"}));
}

TEST_P(Savepoints, EndWithTheOuterTransaction) {
  EXPECT_THROW(store_.transaction([](Transaction& tx) {
    tx.transaction([](Transaction& inner) { inner.set("a", 1); });
    EXPECT_EQ(tx.get("a"), json(1));
    throw std::domain_error("no");
  }),
               std::domain_error);
  EXPECT_FALSE(store_.contains("a"));
}

TEST_P(Savepoints, NestToAnyDepth) {
  constexpr int depth = 100;
  const std::function<void(Transaction&, int)> descend = [&](Transaction& tx, int level) {
    tx.set("level/" + std::to_string(level), level);
    if (level == depth) return;
    Transaction inner = tx.begin();
    descend(inner, level + 1);
    if (level % 2 == 0) inner.commit();
  };
  Transaction tx = store_.begin();
  descend(tx, 0);
  tx.commit();
  EXPECT_EQ(store_.count(), 2U) << "the savepoint begun at level 1 rolls back all inside it";
}

TEST_P(Savepoints, MakeTheOuterTransactionMisuseWhileTheyLive) {
  Transaction tx = store_.begin();
  Transaction inner = tx.begin();
  EXPECT_KV_ERROR(tx.get("k"), ErrorCode::misuse, "inner");
  EXPECT_KV_ERROR(tx.set("k", 1), ErrorCode::misuse, "inner");
  EXPECT_KV_ERROR(tx.commit(), ErrorCode::misuse, "inner");
  EXPECT_KV_ERROR(tx.rollback(), ErrorCode::misuse, "inner");
  EXPECT_KV_ERROR(tx.begin(), ErrorCode::misuse, "inner");
  inner.set("k", 2);
  inner.commit();
  tx.commit();
  EXPECT_EQ(store_.get("k"), json(2));
}

TEST_P(Savepoints, ThatAreOverStaySoBesideALaterOne) {
  Transaction tx = store_.begin();
  Transaction first = tx.begin();
  first.commit();
  Transaction second = tx.begin();
  EXPECT_KV_ERROR(first.set("k", 1), ErrorCode::misuse, "over");
  second.set("k", 2);
  second.commit();
  tx.commit();
  EXPECT_EQ(store_.get("k"), json(2));
}

TEST_P(Savepoints, LetABatchSkipItsBadItems) {
  const std::vector<std::string> lines = {R"({"id":"a"})", "{", R"({"id":"b"})", R"({"no":1})"};
  std::size_t skipped = 0;
  store_.transaction([&](Transaction& tx) {
    for (const std::string& line : lines) {
      try {
        tx.transaction([&](Transaction& item) {
          item.update("lines", 0, [](json& count) { count = count.get<int>() + 1; });
          const json document = json::parse(line);
          item.set(document.at("id").get<std::string>(), document);
        });
      } catch (const json::exception&) {
        ++skipped;
      }
    }
  });
  EXPECT_EQ(skipped, 2U);
  EXPECT_EQ(store_.get("lines"), json(2));
}

TEST(TransactionOfAFile, IsSeenByNobodyBeforeTheCommit) {
  const TempDir directory;
  KVStore store(directory.file("store.db"));
  store.set("k", 1);
  Transaction tx = store.begin();
  tx.set("k", 2);
  std::thread([&] { EXPECT_EQ(store.get("k"), json(1)); }).join();
  KVStore other(directory.file("store.db"));
  EXPECT_EQ(other.get("k"), json(1));
  tx.commit();
  EXPECT_EQ(other.get("k"), json(2));
}

TEST(TransactionOfAFile, IsOverWhenTheEngineRunsOutOfMemory) {
  const TempDir directory;
  KVStore store(directory.file("store.db"));
  Transaction tx = store.begin();
  tx.set("before", 1);
  const std::string large(8U << 20U, 'x');
  sqlite3_hard_heap_limit64(sqlite3_memory_used() + (1 << 20));
  EXPECT_THROW(tx.set("large", large), std::bad_alloc);
  sqlite3_hard_heap_limit64(0);
  EXPECT_KV_ERROR(tx.set("after", 1), ErrorCode::io, "was rolled back");
  EXPECT_KV_ERROR(tx.commit(), ErrorCode::io, "was rolled back");
  EXPECT_EQ(store.count(), 0U);
  store.set("works", 1);
}

TEST(TransactionOfAFile, KeepsOtherStoresFromWriting) {
  const TempDir directory;
  KVStore store(directory.file("store.db"));
  KVStore other(directory.file("store.db"), {.busy_timeout = Duration(20)});
  Transaction tx = store.begin();
  EXPECT_KV_ERROR(other.set("k", 1), ErrorCode::busy, "other connections held it");
  tx.commit();
  other.set("k", 1);
}

TEST(TransactionOfAFile, IsRefusedByAReadOnlyStore) {
  const TempDir directory;
  KVStore(directory.file("store.db")).set("k", 1);
  KVStore store(directory.file("store.db"), {.read_only = true});
  EXPECT_KV_ERROR(store.begin(), ErrorCode::read_only, "read_only");
}

}  // namespace
}  // namespace kvstore::test
