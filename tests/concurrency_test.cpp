#include <algorithm>
#include <atomic>
#include <functional>
#include <latch>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "behaviour.hpp"

namespace kvstore::test {
namespace {

constexpr int thread_count = 8;

/// Runs a body on many threads, which all begin at the same moment.
void on_threads(int count, const std::function<void(int)>& body) {
  std::latch start(count);
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      start.arrive_and_wait();
      body(i);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

/// A writer that stays inside the callback of `update` until it is let go.
class LongUpdate {
 public:
  LongUpdate(KVStore& store, std::string key)
      : thread_([this, &store, key = std::move(key)] {
          store.update(key, json("started"), [this](json& value) {
            inside_.count_down();
            go_on_.wait();
            value = "finished";
            finished_ = true;
          });
        }) {
    inside_.wait();
  }
  ~LongUpdate() { end(); }
  LongUpdate(const LongUpdate&) = delete;
  LongUpdate& operator=(const LongUpdate&) = delete;
  LongUpdate(LongUpdate&&) = delete;
  LongUpdate& operator=(LongUpdate&&) = delete;

  void end() {
    if (!thread_.joinable()) return;
    go_on_.count_down();
    thread_.join();
  }
  [[nodiscard]] bool finished() const noexcept { return finished_; }

 private:
  std::latch inside_{1}, go_on_{1};
  std::atomic<bool> finished_{false};
  std::thread thread_;
};

/// The milliseconds that the text of an error speaks of.
int waited_ms(const std::string& text) {
  const std::size_t unit = text.find(" ms;");
  if (unit == std::string::npos) return -1;
  return std::stoi(text.substr(text.rfind(' ', unit - 1) + 1));
}

template <class Call>
void expect_busy_for_50_ms(Call&& call, const std::string& part) {
  try {
    call();
    ADD_FAILURE() << "the call was not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::busy);
    EXPECT_TRUE(error.retryable());
    const std::string text = error.what();
    EXPECT_NE(text.find(part), std::string::npos) << text;
    EXPECT_GE(waited_ms(text), 45) << text;
    EXPECT_LT(waited_ms(text), 5000) << text;
  }
}

class Threads : public OnEveryEngine {};
KVSTORE_TEST_ON_EVERY_ENGINE(Threads);

TEST_P(Threads, LoseNoUpdate) {
  constexpr int rounds = 100;
  on_threads(thread_count, [&](int) {
    for (int i = 0; i < rounds; ++i) {
      store_.update("n", json(0), [](json& value) { value = value.get<int>() + 1; });
    }
  });
  EXPECT_EQ(store_.get("n"), json(thread_count * rounds));
}

TEST_P(Threads, SeeEveryUpdateOnceAndInOrder) {
  constexpr int rounds = 60;
  std::vector<std::vector<int>> seen(thread_count);
  on_threads(thread_count, [&](int thread) {
    for (int i = 0; i < rounds; ++i) {
      const json value =
          store_.update("n", json(0), [](json& stored) { stored = stored.get<int>() + 1; });
      const int now = value.get<int>();
      seen[static_cast<std::size_t>(thread)].push_back(now);
      EXPECT_GE(store_.get<int>("n"), now);
    }
  });
  std::vector<int> all;
  for (const std::vector<int>& one : seen) {
    EXPECT_TRUE(std::is_sorted(one.begin(), one.end()));
    all.insert(all.end(), one.begin(), one.end());
  }
  std::sort(all.begin(), all.end());
  for (std::size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], static_cast<int>(i) + 1);
}

TEST_P(Threads, HaveOneWinnerOfAnInsert) {
  for (int round = 0; round < 25; ++round) {
    const std::string key = "k" + std::to_string(round);
    std::atomic<int> winner{-1};
    std::atomic<int> winners{0};
    on_threads(thread_count, [&](int thread) {
      if (store_.insert(key, thread)) {
        winner = thread;
        ++winners;
      }
    });
    EXPECT_EQ(winners, 1);
    EXPECT_EQ(store_.get(key), json(winner.load()));
  }
}

TEST_P(Threads, HaveOneWinnerOfAnErase) {
  for (int round = 0; round < 25; ++round) {
    const Revision revision = store_.set("k", round);
    std::atomic<int> winners{0};
    on_threads(thread_count, [&](int thread) {
      const bool won = thread % 2 == 0 ? store_.erase("k") : store_.erase("k", revision);
      winners += won ? 1 : 0;
    });
    EXPECT_EQ(winners, 1);
  }
}

TEST_P(Threads, LoseNothingByCompareAndSet) {
  constexpr int rounds = 40;
  store_.set("n", 0);
  on_threads(thread_count, [&](int) {
    for (int i = 0; i < rounds;) {
      const Entry entry = store_.entry("n").value();
      if (store_.replace("n", entry.value.get<int>() + 1, entry.revision)) ++i;
    }
  });
  EXPECT_EQ(store_.get("n"), json(thread_count * rounds));
}

TEST_P(Threads, NeverGetTheSameRevisionOfAKey) {
  std::vector<std::vector<Revision>> revisions(thread_count);
  on_threads(thread_count, [&](int thread) {
    for (int i = 0; i < 50; ++i) {
      revisions[static_cast<std::size_t>(thread)].push_back(store_.set("k", i));
      if (i % 10 == 9) store_.erase("k");
    }
  });
  std::vector<Revision> all;
  for (const std::vector<Revision>& one : revisions) {
    EXPECT_TRUE(std::is_sorted(one.begin(), one.end()));
    all.insert(all.end(), one.begin(), one.end());
  }
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::adjacent_find(all.begin(), all.end()), all.end());
}

TEST_P(Threads, SeeManyKeysOfOneMoment) {
  const auto write = [&](int value) { store_.set_many({{"a", value}, {"b", value}}); };
  write(0);
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (int i = 1; i <= 300; ++i) write(i);
    done = true;
  });
  while (!done) {
    const std::vector<std::optional<json>> values = store_.get_many({"a", "b"});
    EXPECT_EQ(values[0], values[1]);
  }
  writer.join();
}

TEST_P(Threads, MayUseAllVerbsAtOnce) {
  on_threads(thread_count, [&](int thread) {
    const std::string own = std::to_string(thread);
    for (int i = 0; i < 40; ++i) {
      store_.set("shared", i, {.ttl = Duration(i)});
      store_.set(own, i);
      EXPECT_EQ(store_.get(own), json(i));
      store_.touch("shared", std::nullopt);
      for (const Entry& entry : store_.scan()) EXPECT_FALSE(entry.key.empty());
      EXPECT_GE(store_.count(), 1U);
      store_.purge_expired();
      EXPECT_TRUE(store_.erase(own));
    }
  });
  EXPECT_TRUE(store_.check().ok());
}

TEST_P(Threads, WaitForTheirTurnWhileAnotherWrites) {
  LongUpdate long_update(store_, "k");
  std::latch started(1);
  std::thread writer([&] {
    started.count_down();
    store_.set("other", store_.update("k", [](json&) {}).value());
  });
  started.wait();
  long_update.end();
  writer.join();
  EXPECT_EQ(store_.get("other"), json("finished"));
}

TEST_P(Threads, GiveUpWaitingForTheirTurnAfterTheBusyTimeout) {
  Options impatient = options();
  impatient.busy_timeout = Duration(50);
  const TempDir dir;
  KVStore store = open_in(dir, impatient);
  LongUpdate long_update(store, "k");
  expect_busy_for_50_ms([&] { store.set("k", 1); }, "writers of this process");
  expect_busy_for_50_ms([&] { store.erase("k"); }, "writers of this process");
  long_update.end();
  EXPECT_EQ(store.get("k"), json("finished"));
  EXPECT_GT(store.set("k", 1), 0);
}

TEST_P(Threads, WithoutPatienceAreRefusedAtOnce) {
  Options impatient = options();
  impatient.busy_timeout = Duration(0);
  const TempDir dir;
  KVStore store = open_in(dir, impatient);
  store.set("k", 1);
  LongUpdate long_update(store, "k");
  EXPECT_KV_ERROR(store.set("k", 1), ErrorCode::busy, "Options::busy_timeout");
  long_update.end();
  EXPECT_EQ(store.get("k"), json("finished"));
}

TEST_P(Threads, OnWhichOneIsInsideACallbackMayUseTheStoreOnOthers) {
  LongUpdate long_update(store_, "k");
  std::thread other([&] { EXPECT_NO_THROW(store_.set("other", 1)); });
  long_update.end();
  other.join();
  EXPECT_TRUE(store_.contains("other"));
}

// What only a file has: readers beside a writer, and a second store on the same database.
class ThreadsOnAFile : public ::testing::Test {
 protected:
  [[nodiscard]] std::string file() const { return dir_.file("store.db"); }

  TempDir dir_;
  KVStore store_{file()};
};

TEST_F(ThreadsOnAFile, ReadOnWhileAWriterIsInsideALongUpdate) {
  store_.set_many({{"k", "before"}, {"other", 1}});
  LongUpdate long_update(store_, "k");
  EXPECT_EQ(store_.get("k"), json("before"));
  EXPECT_EQ(store_.get_many({"k", "other"}).at(1), json(1));
  EXPECT_EQ(store_.keys().size(), 2U);
  EXPECT_EQ(store_.count(), 2U);
  EXPECT_EQ(all_entries(store_).at(0).value, json("before"));
  EXPECT_TRUE(store_.check().ok());
  EXPECT_FALSE(long_update.finished());
  long_update.end();
  EXPECT_EQ(store_.get("k"), json("finished"));
}

TEST_F(ThreadsOnAFile, ManyReadOnWhileAWriterIsInsideALongUpdate) {
  store_.set("k", "before");
  LongUpdate long_update(store_, "k");
  on_threads(thread_count, [&](int) {
    for (int i = 0; i < 50; ++i) EXPECT_EQ(store_.get("k"), json("before"));
  });
  EXPECT_FALSE(long_update.finished());
}

TEST_F(ThreadsOnAFile, OfAnotherStoreAreBusyWhileOneIsInsideALongUpdate) {
  KVStore other(file(), {.busy_timeout = Duration(50)});
  LongUpdate long_update(store_, "k");
  expect_busy_for_50_ms([&] { other.set("k", 1); }, file());
  EXPECT_EQ(other.get("k"), std::nullopt);
  long_update.end();
  EXPECT_EQ(other.get("k"), json("finished"));
  EXPECT_GT(other.set("k", 1), 0);
}

TEST_F(ThreadsOnAFile, OfTwoStoresLoseNoUpdate) {
  KVStore other(file());
  on_threads(4, [&](int thread) {
    KVStore& store = thread % 2 == 0 ? store_ : other;
    for (int i = 0; i < 50; ++i) {
      store.update("n", json(0), [](json& value) { value = value.get<int>() + 1; });
    }
  });
  EXPECT_EQ(store_.get("n"), json(200));
  EXPECT_EQ(other.get("n"), json(200));
}

TEST_F(ThreadsOnAFile, ClosingWaitsForTheCallsInFlight) {
  LongUpdate long_update(store_, "k");
  std::atomic<bool> closed{false};
  std::thread closer([&] {
    store_.close();
    closed = true;
  });
  const auto refused = [&] {
    try {
      static_cast<void>(store_.contains("k"));
      return false;
    } catch (const Error& error) {
      return error.code() == ErrorCode::misuse;
    }
  };
  while (!refused()) std::this_thread::yield();
  EXPECT_FALSE(closed);
  long_update.end();
  closer.join();
  EXPECT_TRUE(long_update.finished());
  EXPECT_EQ(KVStore(file()).get("k"), json("finished"));
}

TEST_F(ThreadsOnAFile, WaitingForTheirTurnAreToldThatTheStoreWasClosed) {
  LongUpdate long_update(store_, "k");
  std::latch started(1);
  std::thread writer([&] {
    started.count_down();
    try {
      store_.set("late", 1);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::misuse) << error.what();
    }
  });
  started.wait();
  std::thread closer([&] { store_.close(); });
  long_update.end();
  writer.join();
  closer.join();
}

TEST(ThreadsOnMemory, WaitWithTheirReadsAsWell) {
  KVStore store(":memory:", {.busy_timeout = Duration(50)});
  LongUpdate long_update(store, "k");
  expect_busy_for_50_ms([&] { static_cast<void>(store.get("k")); }, ":memory:");
  long_update.end();
  EXPECT_EQ(store.get("k"), json("finished"));
}

/// Calls that meet while the write lock is taken share a transaction when it comes free.
class MeetingWrites : public OnEveryEngine {
 protected:
  /// Runs the calls at once, each on a thread of its own, from while another write is under way.
  void meet(const std::vector<std::function<void()>>& calls) {
    LongUpdate other(store_, "other");
    std::latch at_the_lock(static_cast<std::ptrdiff_t>(calls.size()));
    std::vector<std::thread> threads;
    for (const auto& call : calls) {
      threads.emplace_back([&] {
        at_the_lock.count_down();
        call();
      });
    }
    at_the_lock.wait();
    other.end();
    for (std::thread& thread : threads) thread.join();
  }
};
INSTANTIATE_TEST_SUITE_P(Engine, MeetingWrites, ::testing::ValuesIn(engines()), engine_name);

TEST_P(MeetingWrites, AreAllStored) {
  std::vector<std::function<void()>> calls;
  for (int i = 0; i < 40; ++i) {
    calls.emplace_back([this, i] { store_.set("k" + std::to_string(i), i); });
  }
  for (int round = 0; round < 20; ++round) meet(calls);
  for (int i = 0; i < 40; ++i) EXPECT_EQ(store_.get("k" + std::to_string(i)), i);
}

TEST_P(MeetingWrites, FailEachByItself) {
  store_.set("text", "no number");
  std::atomic<int> refused{0};
  std::vector<std::function<void()>> calls;
  for (int i = 0; i < 20; ++i) {
    calls.emplace_back([this] { store_.increment("number"); });
    calls.emplace_back([this, &refused] {
      EXPECT_KV_ERROR(store_.increment("text"), ErrorCode::type_mismatch, "\"text\"");
      ++refused;
    });
  }
  for (int round = 0; round < 20; ++round) meet(calls);
  EXPECT_EQ(store_.get("number"), 400);
  EXPECT_EQ(store_.get("text"), "no number");
  EXPECT_EQ(refused, 400);
}

TEST_P(MeetingWrites, SeeWhatThoseBeforeThemDid) {
  std::atomic<int> inserted{0};
  std::vector<std::function<void()>> calls(30, [this, &inserted] {
    if (store_.insert("one", true)) ++inserted;
  });
  for (int round = 0; round < 20; ++round) {
    store_.erase("one");
    meet(calls);
  }
  EXPECT_EQ(inserted, 20);
}

TEST_P(MeetingWrites, GiveEveryCallARevisionOfItsOwn) {
  std::mutex mutex;
  std::set<Revision> revisions;
  std::vector<std::function<void()>> calls(30, [&] {
    const Revision revision = store_.set("k", 1);
    const std::lock_guard lock(mutex);
    revisions.insert(revision);
  });
  for (int round = 0; round < 20; ++round) meet(calls);
  EXPECT_EQ(revisions.size(), 600U);
  EXPECT_EQ(store_.entry("k")->revision, *revisions.rbegin());
}

}  // namespace
}  // namespace kvstore::test
