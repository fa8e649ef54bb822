#include <functional>
#include <latch>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>

#include "behaviour.hpp"
#include "child.hpp"
#include "outside.hpp"

namespace kvstore::test {
namespace {

using Steps = std::vector<Migration>;

/// The numbers of the steps that are applied.
std::vector<int> versions(const Reader& store) {
  std::vector<int> found;
  for (const migration::Applied& step : migration::history(store)) found.push_back(step.version);
  return found;
}

/// COUNT steps, each of which notes in `log` that it was taken (n) or taken back (-n).
Steps logging_steps(int count) {
  Steps steps;
  const auto note = [](int number) {
    return [number](Transaction& tx) {
      tx.update("log", json::array(), [&](json& log) { log.push_back(number); });
    };
  };
  for (int version = 1; version <= count; ++version) {
    steps.push_back({.version = version,
                     .name = "step " + std::to_string(version),
                     .up = note(version),
                     .down = note(-version)});
  }
  return steps;
}

class Migrations : public OnEveryEngine {
 protected:
  [[nodiscard]] json log() const { return store_.get_or("log", json::array()); }
};
KVSTORE_TEST_ON_EVERY_ENGINE(Migrations);

TEST_P(Migrations, TakeAllStepsInOrder) {
  EXPECT_EQ(migration::current(store_), 0);
  migrate(store_, logging_steps(3));
  EXPECT_EQ(log(), json({1, 2, 3}));
  EXPECT_EQ(migration::current(store_), 3);
}

TEST_P(Migrations, CanBeGivenAsABracedList) {
  store_.set("users/1", {{"name", "Ada Lovelace"}});
  migrate(store_,
          {{.version = 1,
            .name = "split names",
            .up =
                [](Transaction& tx) {
                  for (const std::string& key : tx.keys({.prefix = "users/"})) {
                    tx.update(key, [](json& user) {
                      const auto name = user.at("name").get<std::string>();
                      const std::size_t space = name.find(' ');
                      user = {{"first", name.substr(0, space)}, {"last", name.substr(space + 1)}};
                    });
                  }
                },
            .down = {}},
           {.version = 2,
            .name = "count users",
            .up = [](Transaction& tx) { tx.set("users", tx.count({.prefix = "users/"})); },
            .down = {}}});
  EXPECT_EQ(store_.get("users/1"), json({{"first", "Ada"}, {"last", "Lovelace"}}));
  EXPECT_EQ(store_.get("users"), json(1));
}

TEST_P(Migrations, TakeOnlyTheStepsThatAreMissing) {
  migrate(store_, logging_steps(2));
  migrate(store_, logging_steps(2));
  EXPECT_EQ(log(), json({1, 2}));
  migrate(store_, logging_steps(4));
  EXPECT_EQ(log(), json({1, 2, 3, 4}));
}

TEST_P(Migrations, GoUpAndDownToATarget) {
  const Steps steps = logging_steps(4);
  migrate(store_, steps, 2);
  EXPECT_EQ(migration::current(store_), 2);
  migrate(store_, steps, 3);
  migrate(store_, steps, 1);
  EXPECT_EQ(log(), json({1, 2, 3, -3, -2}));
  EXPECT_EQ(versions(store_), std::vector<int>{1});
  migrate(store_, steps, 0);
  EXPECT_EQ(migration::current(store_), 0);
  migrate(store_, steps);
  EXPECT_EQ(log(), json({1, 2, 3, -3, -2, -1, 1, 2, 3, 4}));
}

TEST_P(Migrations, RememberNamesAndTimes) {
  migrate(store_, logging_steps(1));
  const Time first = clock_.now();
  clock_.advance(Duration(5000));
  migrate(store_, logging_steps(2));
  const std::vector<migration::Applied> history = migration::history(store_);
  ASSERT_EQ(history.size(), 2U);
  EXPECT_EQ(history[0].version, 1);
  EXPECT_EQ(history[0].name, "step 1");
  EXPECT_EQ(history[0].applied_at, first);
  EXPECT_EQ(history[1].name, "step 2");
  EXPECT_EQ(history[1].applied_at, first + Duration(5000));
}

TEST_P(Migrations, KeepTheirNotesOutOfTheDocuments) {
  migrate(store_, {{.version = 1, .name = "nothing", .up = [](Transaction&) {}, .down = {}}});
  EXPECT_EQ(store_.count(), 0U);
  EXPECT_TRUE(store_.check().ok());
}

TEST_P(Migrations, OfNoStepsAreNothing) {
  migrate(store_, {});
  migrate(store_, Steps(), 0);
  EXPECT_EQ(migration::current(store_), 0);
}

TEST_P(Migrations, ThatFailChangeNothingAndKeepTheStepsBefore) {
  Steps steps = logging_steps(3);
  steps[1].up = [](Transaction& tx) {
    tx.set("half", 1);
    tx.erase("log");
    throw std::domain_error("no");
  };
  EXPECT_THROW(migrate(store_, steps), std::domain_error);
  EXPECT_EQ(log(), json({1}));
  EXPECT_FALSE(store_.contains("half"));
  EXPECT_EQ(migration::current(store_), 1);
  migrate(store_, logging_steps(3));
  EXPECT_EQ(log(), json({1, 2, 3}));
}

TEST_P(Migrations, ThatFailOnTheWayDownStayApplied) {
  Steps steps = logging_steps(3);
  migrate(store_, steps);
  steps[1].down = [](Transaction& tx) {
    tx.erase("log");
    throw std::domain_error("no");
  };
  EXPECT_THROW(migrate(store_, steps, 0), std::domain_error);
  EXPECT_EQ(log(), json({1, 2, 3, -3}));
  EXPECT_EQ(versions(store_), (std::vector<int>{1, 2}));
}

TEST_P(Migrations, RefuseAStepThatCommitsOrRollsBackByItself) {
  for (void (Transaction::*const end)() : {&Transaction::commit, &Transaction::rollback}) {
    Steps steps = logging_steps(2);
    steps[1].up = [end](Transaction& tx) {
      tx.set("half", 1);
      (tx.*end)();
    };
    EXPECT_KV_ERROR(migrate(store_, steps), ErrorCode::misuse, "over");
    EXPECT_FALSE(store_.contains("half"));
    EXPECT_EQ(migration::current(store_), 1);
  }
}

TEST_P(Migrations, MakeTheStoreMisuseInsideAStep) {
  EXPECT_KV_ERROR(migrate(store_, {{.version = 1,
                                    .name = "careless",
                                    .up = [&](Transaction&) { store_.set("k", 1); },
                                    .down = {}}}),
                  ErrorCode::misuse, "use the transaction");
  EXPECT_EQ(migration::current(store_), 0);
}

TEST_P(Migrations, RefuseBadNumbers) {
  const std::vector<std::vector<int>> bad = {{2}, {0, 1}, {1, 1}, {1, 3}, {2, 1}, {-1}, {1, 2, 4}};
  for (const std::vector<int>& numbers : bad) {
    SCOPED_TRACE(::testing::PrintToString(numbers));
    Steps steps;
    for (const int number : numbers) {
      steps.push_back({number, "step", [](Transaction& tx) { tx.set("k", 1); }, {}});
    }
    EXPECT_KV_ERROR(migrate(store_, steps), ErrorCode::misuse, "number the steps 1, 2, 3");
  }
  EXPECT_EQ(store_.count(), 0U);
}

TEST_P(Migrations, RefuseAStepThatDoesNothing) {
  Steps steps = logging_steps(3);
  steps[2].up = {};
  EXPECT_KV_ERROR(migrate(store_, steps), ErrorCode::misuse, "no `up`");
  EXPECT_EQ(log(), json::array());
}

TEST_P(Migrations, RefuseANameThatTheTableCannotHold) {
  for (const std::string& name : {std::string("\xFF"), std::string("a\0b", 3)}) {
    Steps steps = logging_steps(1);
    steps[0].name = name;
    EXPECT_KV_ERROR(migrate(store_, steps), ErrorCode::misuse, "UTF-8");
  }
  EXPECT_EQ(log(), json::array());
}

TEST_P(Migrations, RefuseATargetThatIsNoStep) {
  for (const int target : {-1, 4}) {
    EXPECT_KV_ERROR(migrate(store_, logging_steps(3), target), ErrorCode::misuse, "0 to 3");
  }
  EXPECT_EQ(log(), json::array());
}

TEST_P(Migrations, RefuseAWayBackThatIsNotWholeBeforeTheyTakeIt) {
  Steps steps = logging_steps(3);
  migrate(store_, steps);
  steps[1].down = {};
  EXPECT_KV_ERROR(migrate(store_, steps, 0), ErrorCode::misuse, "\"step 2\" has no `down`");
  EXPECT_EQ(migration::current(store_), 3);
  migrate(store_, steps, 2);
  EXPECT_EQ(log(), json({1, 2, 3, -3}));
}

TEST_P(Migrations, RefuseAStoreThatIsNewerThanTheProgram) {
  migrate(store_, logging_steps(3));
  EXPECT_KV_ERROR(migrate(store_, logging_steps(2)), ErrorCode::newer_format, "step 3 \"step 3\"");
  EXPECT_KV_ERROR(migrate(store_, logging_steps(2), 1), ErrorCode::newer_format, "newer program");
  EXPECT_KV_ERROR(migrate(store_, {}), ErrorCode::newer_format, "up to 0");
  EXPECT_EQ(log(), json({1, 2, 3}));
}

TEST_P(Migrations, RefuseAStoreWhoseStepsAreOthers) {
  migrate(store_, logging_steps(2));
  Steps steps = logging_steps(3);
  steps[1].name = "something else";
  EXPECT_KV_ERROR(migrate(store_, steps), ErrorCode::conflict,
                  "step 2 \"step 2\", which this program calls \"something else\"");
  EXPECT_EQ(log(), json({1, 2}));
}

TEST_P(Migrations, AreTakenOnceByManyThreads) {
  const Steps steps = logging_steps(5);
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) threads.emplace_back([&] { migrate(store_, steps); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(log(), json({1, 2, 3, 4, 5}));
}

TEST_P(Migrations, ShowTheirOwnStepInATransactionAndNotInASnapshotBeforeIt) {
  const Snapshot before = store_.snapshot();
  std::vector<int> inside;
  migrate(store_, {{.version = 1, .name = "a", .up = [](Transaction&) {}, .down = {}},
                   {.version = 2,
                    .name = "b",
                    .up = [&](Transaction& tx) { inside = versions(tx); },
                    .down = {}}});
  EXPECT_EQ(inside, std::vector<int>{1});
  EXPECT_EQ(versions(before), std::vector<int>{});
}

TEST_P(Migrations, AnswerMisuseWhenTheStoreIsClosed) {
  store_.close();
  EXPECT_KV_ERROR(migrate(store_, logging_steps(1)), ErrorCode::misuse, "closed");
  EXPECT_KV_ERROR(migration::history(store_), ErrorCode::misuse, "closed");
}

class MigrationsOfAFile : public testing::Test {
 protected:
  TempDir dir_{};
  std::string file_ = dir_.file("store.db");
};

TEST_F(MigrationsOfAFile, AreTakenOnceByManyProcesses) {
  constexpr int together = 4;
  constexpr int steps = 10;
  for (int round = 0; round < (long_run() ? 50 : 3); ++round) {
    const TempDir dir;
    const std::string file = dir.file("store.db");
    std::vector<std::unique_ptr<Process>> processes;
    for (int i = 0; i < together; ++i) {
      processes.push_back(
          std::make_unique<Process>(worker({"migrate", file, std::to_string(steps)})));
    }
    for (const auto& process : processes) ASSERT_EQ(process->line(), "ready");
    for (const auto& process : processes) process->write_line("go");
    for (const auto& process : processes) EXPECT_EQ(process->wait(), 0);
    const KVStore store(file);
    EXPECT_EQ(migration::current(store), steps);
    for (int version = 1; version <= steps; ++version) {
      EXPECT_EQ(store.get("taken/" + std::to_string(version)), json(1)) << version;
    }
  }
}

TEST_F(MigrationsOfAFile, StayInAFileThatIsOpenedAgain) {
  {
    KVStore store(file_);
    migrate(store, logging_steps(2));
  }
  KVStore store(file_);
  EXPECT_EQ(migration::current(store), 2);
  migrate(store, logging_steps(3));
  EXPECT_EQ(store.get("log"), json({1, 2, 3}));
}

TEST_F(MigrationsOfAFile, MakeTheirTableWithTheFirstStepOnly) {
  KVStore store(file_);
  migrate(store, {});
  EXPECT_EQ(migration::current(store), 0);
  const std::string tables = "SELECT count(*) FROM sqlite_master WHERE name = 'kv_migration'";
  EXPECT_EQ(Outside(file_).one(tables), "0");
  migrate(store, logging_steps(1));
  EXPECT_EQ(Outside(file_).one(tables), "1");
}

TEST_F(MigrationsOfAFile, CanBeReadByAnySqliteProgram) {
  FakeClock clock;
  KVStore store(file_, {.clock = clock.source()});
  migrate(store, logging_steps(1));
  EXPECT_EQ(Outside(file_).rows("SELECT * FROM kv_migration"),
            std::vector<std::string>{"1|step 1|2023-11-14 22:13:20.000"});
}

TEST_F(MigrationsOfAFile, AreNotLookedForByAReadOnlyStoreThatHasThem) {
  {
    KVStore store(file_);
    migrate(store, logging_steps(2));
  }
  KVStore store(file_, {.read_only = true});
  migrate(store, logging_steps(2));
  EXPECT_EQ(migration::current(store), 2);
  EXPECT_KV_ERROR(migrate(store, logging_steps(3)), ErrorCode::read_only, "read_only");
}

TEST_F(MigrationsOfAFile, ThatLostAStepAreCorrupt) {
  KVStore store(file_);
  migrate(store, logging_steps(3));
  run_outside(file_, "DELETE FROM kv_migration WHERE version = 2");
  EXPECT_KV_ERROR(migration::history(store), ErrorCode::corrupt, "lacks step 2");
  EXPECT_KV_ERROR(migrate(store, logging_steps(4)), ErrorCode::corrupt, "kv_migration");
}

/// Programs that want the store to be elsewhere do not take the same step for ever.
TEST_F(MigrationsOfAFile, OfTwoProgramsThatGoDifferentWaysEnd) {
  const Steps steps = logging_steps(30);
  KVStore store(file_, {.durability = Durability::normal});
  KVStore other(file_, {.durability = Durability::normal});
  const auto go = [&](KVStore& by, int target) {
    try {
      migrate(by, steps, target);
    } catch (const Error& error) {
      EXPECT_EQ(to_string(error.code()), to_string(ErrorCode::conflict)) << error.what();
      EXPECT_NE(std::string(error.what()).find("the other way"), std::string::npos);
    }
  };
  migrate(store, steps, 15);
  for (int round = 0; round < (long_run() ? 100 : 5); ++round) {
    std::thread up([&] { go(store, 30); });
    std::thread down([&] { go(other, 0); });
    up.join();
    down.join();
  }
  int at = 0;
  const json log = store.get("log").value();
  for (const json& step : log) {
    const int number = step.get<int>();
    ASSERT_EQ(number, number > 0 ? at + 1 : -at) << "a step was taken twice, or one left out";
    at += number > 0 ? 1 : -1;
  }
  EXPECT_EQ(migration::current(store), at);
}

/// Starts `late` on a thread of its own when the step that it returns is taken. That one holds the
/// write lock then, so `late` sees the store before it, and gets the lock some time after it.
std::function<void(Transaction&)> overtaking(std::thread& thread,
                                             const std::function<void()>& late) {
  return [&thread, late](Transaction& /*tx*/) {
    if (thread.joinable()) return;
    const auto started = std::make_shared<std::latch>(1);
    thread = std::thread([started, late] {
      started->count_down();
      late();
    });
    started->wait();
    for (int i = 0; i < 100; ++i) std::this_thread::yield();
  };
}

/// The code with which a migration failed. Absent: it did not.
std::optional<ErrorCode> failure_of(KVStore& store, const Steps& steps, std::optional<int> target) {
  try {
    migrate(store, steps, target);
    return std::nullopt;
  } catch (const Error& error) {
    return error.code();
  }
}

/// That a store may be changed between the look at it and the write lock is a matter of chance.
constexpr int most_rounds = 200;

TEST_F(MigrationsOfAFile, LookAgainWhetherTheStoreIsNewerOnceTheyHoldTheLock) {
  KVStore newer(file_, {.durability = Durability::normal});
  KVStore older(file_, {.durability = Durability::normal});
  std::optional<ErrorCode> failure;
  for (int round = 0; round < most_rounds && !failure; ++round) {
    Steps steps = logging_steps(30);
    migrate(newer, steps, 0);
    newer.erase("log");
    std::thread thread;
    const auto note = steps[0].up;
    const auto overtake =
        overtaking(thread, [&] { failure = failure_of(older, logging_steps(2), std::nullopt); });
    steps[0].up = [&](Transaction& tx) {
      note(tx);
      overtake(tx);
    };
    migrate(newer, steps);
    thread.join();
    json all;
    for (int version = 1; version <= 30; ++version) all.push_back(version);
    ASSERT_EQ(newer.get("log"), all) << "each step is taken once, and none taken back";
  }
  EXPECT_EQ(failure, ErrorCode::newer_format);
}

TEST_F(MigrationsOfAFile, GiveUpWhenAnotherProgramTakesThemTheOtherWay) {
  KVStore down(file_, {.durability = Durability::normal});
  KVStore up(file_, {.durability = Durability::normal});
  std::optional<ErrorCode> failure;
  for (int round = 0; round < most_rounds && !failure; ++round) {
    Steps steps = logging_steps(5);
    migrate(down, steps);
    std::thread thread;
    steps[2].down =
        overtaking(thread, [&] { failure = failure_of(up, logging_steps(5), std::nullopt); });
    // Itself it may give up as well, if the other one was in time.
    const std::optional<ErrorCode> own = failure_of(down, steps, 0);
    thread.join();
    EXPECT_TRUE(!own || own == ErrorCode::conflict);
  }
  EXPECT_EQ(failure, ErrorCode::conflict);
}

/// Tables of the store that a version of the library does not know are none of its business.
TEST_F(MigrationsOfAFile, AreToleratedByTheExaminationOfTheFile) {
  {
    KVStore store(file_);
    migrate(store, logging_steps(1));
    run_outside(file_,
                "CREATE TABLE kv_later(name TEXT PRIMARY KEY, expires_at TIMESTAMP) WITHOUT ROWID;"
                "CREATE UNIQUE INDEX kv_later_expires_at ON kv_later(expires_at)");
    EXPECT_TRUE(store.check().ok());
  }
  KVStore store(file_);
  EXPECT_TRUE(store.check().ok());
  EXPECT_EQ(migration::current(store), 1);
}

TEST_F(MigrationsOfAFile, ComeAlongWithADumpOfTheTables) {
  {
    KVStore store(file_);
    migrate(store, logging_steps(2));
  }
  run_outside(file_, "PRAGMA application_id = 0; PRAGMA user_version = 0");
  KVStore store(file_);
  EXPECT_EQ(migration::current(store), 2);
  EXPECT_TRUE(store.check().ok());
}

}  // namespace
}  // namespace kvstore::test
