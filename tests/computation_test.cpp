#include <array>
#include <atomic>
#include <cmath>
#include <future>
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

using std::chrono::minutes;
using std::chrono::seconds;

struct Forecast {
  std::string city{};
  int celsius = 0;

  bool operator==(const Forecast&) const = default;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Forecast, city, celsius)

/// The code of the error that a call ends with. Absent: it returns.
std::optional<ErrorCode> code_of(const std::function<void()>& call) {
  try {
    call();
    return std::nullopt;
  } catch (const Error& error) {
    return error.code();
  }
}

json fail() {
  throw std::domain_error("no");
}

class Computing : public OnEveryEngine {
 protected:
  /// Counts how often it is called.
  std::function<json()> counting() {
    return [this] { return json(++computed_); };
  }

  std::atomic<int> computed_{0};
};
KVSTORE_TEST_ON_EVERY_ENGINE(Computing);

TEST_P(Computing, HappensOnceAndTheResultIsKept) {
  EXPECT_EQ(store_.get_or_compute("key", minutes(1), counting()), json(1));
  EXPECT_EQ(store_.get_or_compute("key", minutes(1), counting()), json(1));
  EXPECT_EQ(store_.get("key"), json(1));
  EXPECT_EQ(store_.entry("key")->expires_at, clock_.now() + minutes(1));
}

TEST_P(Computing, IsSparedWhenTheValueIsThere) {
  store_.set("key", "set");
  EXPECT_EQ(store_.get_or_compute("key", minutes(1), counting()), json("set"));
  EXPECT_EQ(computed_, 0);
}

TEST_P(Computing, HappensAgainWhenTheResultHasExpired) {
  store_.get_or_compute("key", minutes(1), counting());
  clock_.advance(minutes(1));
  EXPECT_EQ(store_.get_or_compute("key", minutes(1), counting()), json(2));
}

TEST_P(Computing, WithoutATtlIsForEver) {
  store_.get_or_compute("key", ComputeOptions{}, counting());
  EXPECT_EQ(store_.entry("key")->expires_at, std::nullopt);
}

TEST_P(Computing, WithATtlThatIsNotPositiveHappensEachTimeAndShowsNothing) {
  for (const Duration ttl : {Duration(0), Duration(-1)}) {
    computed_ = 0;
    EXPECT_EQ(store_.get_or_compute("key", ttl, counting()), json(1));
    EXPECT_EQ(store_.get_or_compute("key", ttl, counting()), json(2));
    EXPECT_FALSE(store_.contains("key"));
  }
}

TEST_P(Computing, NullIsAResult) {
  int calls = 0;
  const auto nothing = [&] {
    ++calls;
    return json();
  };
  EXPECT_EQ(store_.get_or_compute("key", minutes(1), nothing), json());
  EXPECT_EQ(store_.get_or_compute("key", minutes(1), nothing), json());
  EXPECT_EQ(calls, 1);
}

TEST_P(Computing, GivesTypedResults) {
  const Forecast oslo{"Oslo", 12};
  EXPECT_EQ(store_.get_or_compute<Forecast>("oslo", minutes(1), [&] { return Forecast(oslo); }),
            oslo);
  EXPECT_EQ(store_.get_or_compute<Forecast>("oslo", {.ttl = minutes(1)}, [] { return Forecast(); }),
            oslo);
  EXPECT_EQ(store_.get<int>("oslo", json::json_pointer("/celsius")), 12);
  EXPECT_KV_ERROR(store_.get_or_compute<int>("oslo", minutes(1), [] { return 1; }),
                  ErrorCode::type_mismatch, "oslo");
}

TEST_P(Computing, OfWhatCannotBeStoredIsRefusedAndNotKept) {
  const auto bad = [] { return json{{"x", std::nan("")}}; };
  EXPECT_KV_ERROR(store_.get_or_compute("key", minutes(1), bad), ErrorCode::invalid_value, "/x");
  EXPECT_EQ(store_.get_or_compute("key", minutes(1), counting()), json(1));
}

TEST_P(Computing, ForARefusedKeyDoesNotHappen) {
  EXPECT_KV_ERROR(store_.get_or_compute(std::string("\0", 1), minutes(1), counting()),
                  ErrorCode::invalid_key, "");
  EXPECT_EQ(computed_, 0);
}

TEST_P(Computing, ThatThrowsStoresNothingAndMayBeTriedAgain) {
  EXPECT_THROW(store_.get_or_compute("key", minutes(1), fail), std::domain_error);
  EXPECT_FALSE(store_.contains("key"));
  EXPECT_EQ(store_.get_or_compute("key", minutes(1), counting()), json(1));
}

TEST_P(Computing, HappensOnceForManyThreads) {
  constexpr int many = 16;
  std::latch asked(many);
  std::vector<std::thread> threads;
  std::array<json, many> values;
  for (json& value : values) {
    threads.emplace_back([&] {
      asked.count_down();
      value = store_.get_or_compute("key", minutes(1), [&] {
        asked.wait();
        return json(++computed_);
      });
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(computed_, 1);
  for (const json& value : values) EXPECT_EQ(value, json(1));
}

TEST_P(Computing, ThatThrowsReachesAllWhoWait) {
  constexpr int many = 4;
  // Nobody can see from outside whether the others wait already; so until they did.
  bool shared = false;
  for (int round = 0; round < 1'000 && !shared; ++round) {
    computed_ = 0;
    std::atomic<int> failures = 0;
    std::latch asked(many);
    std::vector<std::thread> threads;
    for (int i = 0; i < many; ++i) {
      threads.emplace_back([&] {
        const auto fails = [&] {
          asked.wait();
          ++computed_;
          std::this_thread::yield();
          return fail();
        };
        asked.count_down();
        try {
          store_.get_or_compute("key", minutes(1), fails);
        } catch (const std::domain_error&) {
          ++failures;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(failures, many);
    shared = computed_ < many;
  }
  EXPECT_TRUE(shared);
  EXPECT_FALSE(store_.contains("key"));
}

TEST_P(Computing, MayUseTheStore) {
  const json result = store_.get_or_compute("sum", minutes(1), [&] {
    store_.set("a", 1);
    store_.transaction([](Transaction& tx) { tx.set("b", 2); });
    const json c = store_.get_or_compute("c", minutes(1), [] { return json(3); });
    return json(store_.get_or("a", 0) + store_.get_or("b", 0) + c.get<int>());
  });
  EXPECT_EQ(result, json(6));
}

TEST_P(Computing, FromItselfIsMisuse) {
  const auto again = [&] { return store_.get_or_compute("key", minutes(1), counting()); };
  EXPECT_KV_ERROR(store_.get_or_compute("key", minutes(1), again), ErrorCode::misuse, "\"key\"");
  EXPECT_EQ(store_.get_or_compute("key", minutes(1), counting()), json(1));
}

TEST_P(Computing, InACircleOfThreadsIsMisuseAndNoHang) {
  std::latch both(2);
  const auto ask = [&](const char* key, const char* other) {
    store_.get_or_compute(key, minutes(1), [&] {
      both.arrive_and_wait();
      return store_.get_or_compute(other, minutes(1), counting());
    });
  };
  auto first = std::async(std::launch::async, [&] { return code_of([&] { ask("a", "b"); }); });
  try {
    ask("b", "a");
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    // First the other is done with it: ThreadSanitizer cannot see that the two share it in order.
    EXPECT_EQ(first.get(), ErrorCode::misuse);
    EXPECT_EQ(error.code(), ErrorCode::misuse);
  }
}

TEST_P(Computing, IsNoCircleWithAThreadThatIsAboutToWakeUp) {
  for (int round = 0; round < 300; ++round) {
    const std::string inner = "inner" + std::to_string(round);
    const std::string outer = "outer" + std::to_string(round);
    std::latch inner_began(1);
    std::latch outer_began(1);
    auto other = std::async(std::launch::async, [&] {
      inner_began.wait();
      return code_of([&] {
        store_.get_or_compute(outer, minutes(1), [&] {
          outer_began.count_down();
          return store_.get_or_compute(inner, minutes(1), counting());
        });
      });
    });
    store_.get_or_compute(inner, minutes(1), [&] {
      inner_began.count_down();
      outer_began.wait();
      for (int i = 0; i < 100; ++i) std::this_thread::yield();  // so that it waits, most times
      return json(1);
    });
    // The other has its result now, though it may not have woken up.
    EXPECT_EQ(code_of([&] { store_.get_or_compute(outer, minutes(1), counting()); }), std::nullopt);
    EXPECT_EQ(other.get(), std::nullopt);
  }
}

TEST_P(Computing, UnderTheWriteLockIsMisuse) {
  store_.set("other", 1);
  store_.transaction([&](Transaction& /*tx*/) {
    EXPECT_KV_ERROR(store_.get_or_compute("key", minutes(1), counting()), ErrorCode::misuse, "");
  });
  store_.update("other", [&](json& /*value*/) {
    EXPECT_KV_ERROR(store_.get_or_compute("other", minutes(1), counting()), ErrorCode::misuse, "");
  });
  EXPECT_EQ(computed_, 0);
}

TEST_P(Computing, IsMisuseForAllWhoWaitWhenTheStoreIsClosed) {
  std::latch computing(1);
  std::latch closed(1);
  const auto ask = [&] {
    return code_of([&] {
      store_.get_or_compute("key", minutes(1), [&] {
        computing.count_down();
        closed.wait();
        return json(1);
      });
    });
  };
  auto leader = std::async(std::launch::async, ask);
  computing.wait();
  auto waiter = std::async(std::launch::async, ask);
  store_.close();
  EXPECT_EQ(waiter.get(), ErrorCode::misuse);
  closed.count_down();
  EXPECT_EQ(leader.get(), ErrorCode::misuse);
}

TEST_P(Computing, MayEvenDestroyTheStore) {
  const TempDir dir;
  auto store = std::make_unique<KVStore>(open_in(dir, options()));
  const auto destroy = [&] {
    store.reset();
    return json(1);
  };
  EXPECT_KV_ERROR(store->get_or_compute("key", minutes(1), destroy), ErrorCode::misuse, "closed");
}

TEST_P(Computing, DoesNotReplaceWhatWasSetMeanwhile) {
  const auto compute = [&] {
    store_.set("key", "set");
    return json("computed");
  };
  EXPECT_EQ(store_.get_or_compute("key", minutes(1), compute), json("set"));
  EXPECT_EQ(store_.get("key"), json("set"));
}

class Refreshing : public Computing {
 protected:
  [[nodiscard]] json ask(KVStore& store, const std::function<json()>& compute) const {
    return store.get_or_compute("key", how_, compute);
  }

  ComputeOptions how_{.ttl = minutes(10), .refresh_before = minutes(1)};
};
KVSTORE_TEST_ON_EVERY_ENGINE(Refreshing);

TEST_P(Refreshing, HappensOnlyWhenLittleLifeIsLeft) {
  EXPECT_EQ(ask(store_, counting()), json(1));
  clock_.advance(minutes(9));
  EXPECT_EQ(ask(store_, counting()), json(1));
  clock_.advance(Duration(1));
  EXPECT_EQ(ask(store_, counting()), json(2));
  EXPECT_EQ(ask(store_, counting()), json(2));
  EXPECT_EQ(store_.entry("key")->expires_at, clock_.now() + minutes(10));
}

TEST_P(Refreshing, LetsAllOthersHaveTheOldValue) {
  EXPECT_EQ(ask(store_, counting()), json(1));
  clock_.advance(minutes(9) + seconds(30));
  const json result = ask(store_, [&] {
    auto other = std::async(std::launch::async, [&] { return ask(store_, counting()); });
    EXPECT_EQ(other.get(), json(1));
    return json("new");
  });
  EXPECT_EQ(result, json("new"));
  EXPECT_EQ(computed_, 1);
}

TEST_P(Refreshing, OfWhatExpiresMeanwhileIsWaitedFor) {
  EXPECT_EQ(ask(store_, counting()), json(1));
  clock_.advance(minutes(9) + seconds(30));
  std::future<json> other;
  const json result = ask(store_, [&] {
    clock_.advance(minutes(1));
    other = std::async(std::launch::async, [&] { return ask(store_, counting()); });
    return json("new");
  });
  EXPECT_EQ(result, json("new"));
  EXPECT_EQ(other.get(), json("new"));
  EXPECT_EQ(computed_, 1);
}

TEST_P(Refreshing, ThatFailsIsToldAndTheOldValueServes) {
  const TempDir dir;
  std::vector<std::string> told;
  Options options = this->options();
  options.on_background_error = [&](const std::exception_ptr& error) {
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& failure) {
      told.emplace_back(failure.what());
    }
  };
  KVStore store = open_in(dir, options);
  EXPECT_EQ(ask(store, counting()), json(1));
  clock_.advance(minutes(9) + seconds(30));
  EXPECT_EQ(ask(store, fail), json(1));
  EXPECT_EQ(told, std::vector<std::string>{"no"});
  clock_.advance(minutes(1));
  EXPECT_THROW(static_cast<void>(ask(store, fail)), std::domain_error);
  EXPECT_EQ(told.size(), 1U);
}

/// Two stores on one file share nothing but the file, as two processes do.
class ComputingInAFile : public ::testing::Test {
 protected:
  [[nodiscard]] KVStore open() const {
    return KVStore(file_, {.durability = Durability::normal, .clock = clock_});
  }

  /// From now on the clock shows the present, and `step` more after many looks: so many as only a
  /// call takes that waits.
  void count_looks(Duration step = {}) {
    time_.set(std::chrono::floor<Duration>(std::chrono::system_clock::now()));
    clock_ = [this, step] {
      const int look = ++looks_;
      if (look <= many) many_looks_.count_down();
      if (look == many) time_.advance(step);
      return time_.now();
    };
  }

  static constexpr int many = 30;
  std::atomic<int> looks_{0};
  std::latch many_looks_{many};
  TempDir dir_;
  FakeClock time_;
  std::function<Time()> clock_ = time_.source();
  std::string file_ = dir_.file("store.db");
  ComputeOptions how_{.ttl = minutes(10), .refresh_before = minutes(1), .lease = seconds(30)};
};

TEST_F(ComputingInAFile, IsWaitedForByOtherProcesses) {
  KVStore one = open();
  KVStore other = open();
  std::future<json> waiting;
  one.get_or_compute("key", how_, [&] {
    waiting = std::async(std::launch::async, [&] {
      return other.get_or_compute("key", how_, [] { return json("twice"); });
    });
    return json("once");
  });
  EXPECT_EQ(waiting.get(), json("once"));
}

TEST_F(ComputingInAFile, EarlyLetsOtherProcessesHaveTheOldValue) {
  KVStore one = open();
  KVStore other = open();
  one.get_or_compute("key", how_, [] { return json("old"); });
  time_.advance(minutes(9) + seconds(30));
  one.get_or_compute("key", how_, [&] {
    EXPECT_EQ(other.get_or_compute("key", how_, [] { return json("twice"); }), json("old"));
    return json("new");
  });
  EXPECT_EQ(other.get("key"), json("new"));
}

TEST_F(ComputingInAFile, EarlyLetsOtherProcessesHaveTheOldValueAlsoBesideALongWrite) {
  KVStore one = open();
  one.get_or_compute("key", how_, [] { return json("old"); });
  int failures = 0;
  KVStore other(file_, {.durability = Durability::normal,
                        .busy_timeout = {},
                        .clock = clock_,
                        .on_background_error = [&](const std::exception_ptr&) { ++failures; }});
  time_.advance(minutes(9) + seconds(30));
  one.get_or_compute("key", how_, [&] {
    const Transaction writing = one.begin();
    EXPECT_EQ(other.get_or_compute("key", how_, [] { return json("twice"); }), json("old"));
    return json("new");
  });
  EXPECT_EQ(failures, 0) << "it asked for the write lock";
}

TEST_F(ComputingInAFile, ThatFailsHandsTheLeaseBackAtOnce) {
  KVStore one = open();
  KVStore other = open();
  EXPECT_THROW(one.get_or_compute("key", how_, fail), std::domain_error);
  EXPECT_EQ(other.get_or_compute("key", how_, [] { return json(1); }), json(1));
}

TEST_F(ComputingInAFile, ThatIsOvertakenStoresNothingOverTheLaterResult) {
  KVStore one = open();
  KVStore other = open();
  const json result = one.get_or_compute("key", how_, [&] {
    time_.advance(seconds(30));
    other.get_or_compute("key", how_, [] { return json("later"); });
    return json("slow");
  });
  EXPECT_EQ(result, json("later"));
  EXPECT_EQ(other.get("key"), json("later"));
}

TEST_F(ComputingInAFile, ThatIsOvertakenKeepsItsResultToItselfAndLeavesTheOthersLeaseAlone) {
  KVStore one = open();
  KVStore other = open();
  std::latch computing(1);
  std::latch overtaken(1);
  std::future<json> slow = std::async(std::launch::async, [&] {
    return one.get_or_compute("key", how_, [&] {
      computing.count_down();
      overtaken.wait();
      return json("slow");
    });
  });
  computing.wait();
  time_.advance(seconds(30));
  const json result = other.get_or_compute("key", how_, [&] {
    overtaken.count_down();
    EXPECT_EQ(slow.get(), json("slow"));
    EXPECT_FALSE(other.contains("key"));
    EXPECT_EQ(Outside(file_).one("SELECT count(*) FROM kv_lease"), "1");
    return json("later");
  });
  EXPECT_EQ(result, json("later"));
  EXPECT_EQ(one.get("key"), json("later"));
  EXPECT_EQ(Outside(file_).one("SELECT count(*) FROM kv_lease"), "0");
}

TEST_F(ComputingInAFile, DoesNotWaitForALeaseThatAWrongClockGave) {
  KVStore store = open();
  store.get_or_compute("other", how_, [] { return json(1); });
  run_outside(file_, "INSERT INTO kv_lease VALUES ('key', 1, '2999-01-01 00:00:00.000')");
  EXPECT_EQ(store.get_or_compute("key", how_, [] { return json(1); }), json(1));
}

TEST_F(ComputingInAFile, TakesNoLeaseForLongerThanADay) {
  KVStore store = open();
  how_.lease = std::chrono::hours(24 * 365);
  store.get_or_compute("key", how_, [&] {
    EXPECT_EQ(Outside(file_).one("SELECT expires_at FROM kv_lease"), "2023-11-15 22:13:20.000");
    return json(1);
  });
}

TEST_F(ComputingInAFile, GoesOnWhenTheOwnerOfTheLeaseWasKilled) {
  Process owner(worker({"compute-forever", file_, "key"}));
  ASSERT_EQ(owner.line(), "computing");
  owner.kill_now();
  // The lease runs out after some looks at the clock, so that the store has to wait for it.
  count_looks(minutes(1));
  KVStore store = open();
  const json result = store.get_or_compute("key", how_, [&] {
    EXPECT_TRUE(many_looks_.try_wait());
    return json("computed");
  });
  EXPECT_EQ(result, json("computed"));
  EXPECT_EQ(store.get("key"), json("computed"));
}

TEST_F(ComputingInAFile, IsMisuseWhenTheStoreIsClosedWhileItWaitsForAnotherProcess) {
  Process owner(worker({"compute-forever", file_, "key"}));
  ASSERT_EQ(owner.line(), "computing");
  count_looks();
  KVStore store = open();
  auto asked = std::async(std::launch::async, [&] {
    return code_of([&] { store.get_or_compute("key", how_, [] { return json(1); }); });
  });
  many_looks_.wait();
  store.close();
  EXPECT_EQ(asked.get(), ErrorCode::misuse);
}

TEST_F(ComputingInAFile, IsMisuseInAForkedChildAlsoWhileAThreadOfTheParentWaits) {
  Process owner(worker({"compute-forever", file_, "key"}));
  ASSERT_EQ(owner.line(), "computing");
  count_looks();
  KVStore store = open();
  auto asked = std::async(std::launch::async, [&] {
    return code_of([&] { store.get_or_compute("key", how_, [] { return json(1); }); });
  });
  many_looks_.wait();
  const std::string said = in_child([&]() -> std::string {
    KVStore taken = std::move(store);
    const auto code = code_of([&] { taken.get_or_compute("key", how_, [] { return json(1); }); });
    return code ? std::string(to_string(*code)) : "none";
  });
  EXPECT_EQ(said, "misuse");
  store.close();
  EXPECT_EQ(asked.get(), ErrorCode::misuse);
}

TEST_F(ComputingInAFile, LeavesAFileThatIsSoundAndCanBeOpenedAgain) {
  {
    open().get_or_compute("key", how_, [] { return json(1); });
  }
  const KVStore store = open();
  EXPECT_TRUE(store.check().ok());
  EXPECT_EQ(store.get("key"), json(1));
}

TEST_F(ComputingInAFile, StoresNothingWhenItIsOpenForReadingOnly) {
  open().set("there", "stored", {.ttl = seconds(30)});
  KVStore store(file_, {.read_only = true, .clock = clock_});
  EXPECT_EQ(store.get_or_compute("there", how_, [] { return json(1); }), json("stored"));
  EXPECT_EQ(store.get_or_compute("absent", how_, [] { return json(1); }), json(1));
  EXPECT_EQ(store.get_or_compute("absent", how_, [] { return json(2); }), json(2));
  EXPECT_KV_ERROR(store.get_or_compute("absent", how_, [] { return json(std::nan("")); }),
                  ErrorCode::invalid_value, "absent");
}

TEST_F(ComputingInAFile, HappensOnceForManyThreadsOfManyProcesses) {
  const int rounds = long_run() ? 50 : 3;
  const std::string threads = long_run() ? "64" : "16";
  for (int round = 0; round < rounds; ++round) {
    const std::string key = "key" + std::to_string(round);
    std::vector<std::unique_ptr<Process>> processes;
    for (int i = 0; i < 4; ++i) {
      processes.push_back(std::make_unique<Process>(worker({"compute", file_, key, threads})));
    }
    for (const auto& process : processes) ASSERT_EQ(process->line(), "ready");
    for (const auto& process : processes) process->write_line("go");
    int computed = 0;
    std::vector<std::string> values;
    for (const auto& process : processes) {
      for (const std::string& line : process->lines()) {
        if (line == "computing") {
          ++computed;
        } else {
          values.push_back(line);
        }
      }
      EXPECT_EQ(process->wait(), 0);
    }
    ASSERT_EQ(computed, 1) << "round " << round;
    EXPECT_EQ(values, std::vector<std::string>(4, values.at(0)));
  }
}

}  // namespace
}  // namespace kvstore::test
