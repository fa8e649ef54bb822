#include <algorithm>
#include <atomic>
#include <latch>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>

#include "behaviour.hpp"
#include "child.hpp"
#include "told.hpp"

namespace kvstore::test {
namespace {

using Lines = std::vector<std::string>;

class Watch : public OnEveryEngine {
 protected:
  /// What was told of all that was done so far: a last change, behind all others, brings it out.
  Lines all_told(const std::string& last = "~end") {
    store_.set(last, ++ends_);
    Lines lines = told_.until("set " + last + " " + std::to_string(ends_));
    if (!lines.empty()) lines.pop_back();
    return lines;
  }

  [[nodiscard]] Options reporting() {
    Options with_handler = options();
    with_handler.on_background_error = errors_.on_error();
    return with_handler;
  }

  Told told_, errors_;
  int ends_ = 0;
};
KVSTORE_TEST_ON_EVERY_ENGINE(Watch);

TEST_P(Watch, TellsOfAValueWithItsRevision) {
  const Subscription subscription = store_.watch("a/", told_.callback());
  const Revision revision = store_.set("a/k", {{"n", 1}});
  const Change change = told_.one();
  EXPECT_EQ(change.kind, Change::Kind::set);
  EXPECT_EQ(change.key, "a/k");
  EXPECT_EQ(change.value, json({{"n", 1}}));
  EXPECT_EQ(change.revision, revision);
}

TEST_P(Watch, TellsOfAnErasedKeyWithItsLastRevision) {
  const Revision revision = store_.set("k", 1);
  const Subscription subscription = store_.watch("", told_.callback());
  store_.erase("k");
  const Change change = told_.one();
  EXPECT_EQ(line_of(change), "erased k");
  EXPECT_EQ(change.revision, revision);
}

TEST_P(Watch, TellsNothingOfWhatWasThereBefore) {
  store_.set("old", 1);
  store_.set("gone", 1);
  store_.erase("gone");
  const Subscription subscription = store_.watch("", told_.callback());
  store_.set("new", 2);
  EXPECT_EQ(all_told(), Lines{"set new 2"});
}

TEST_P(Watch, TellsNothingOfOtherPrefixes) {
  const Subscription subscription = store_.watch("a/", told_.callback());
  store_.set_many({{"a", 1}, {"a.", 1}, {"a/x", 1}, {"a0", 1}, {"b/x", 1}, {"A/x", 1}});
  store_.erase("b/x");
  EXPECT_EQ(all_told("a/~"), Lines{"set a/x 1"});
}

TEST_P(Watch, TellsOfEveryWritingVerb) {
  const Subscription subscription = store_.watch("", told_.callback());
  for (const Verb& verb : writing_verbs()) {
    if (verb.name == "touch") continue;
    store_.set("k", json::object());
    told_.until("set k {}");
    verb.call(store_, "k");
    const Lines lines = all_told();
    const bool writes =
        verb.name != "insert" && verb.name != "replace" && verb.name != "erase_revision";
    EXPECT_EQ(lines.size(), writes ? 1U : 0U) << verb.name;
  }
}

TEST_P(Watch, TellsOfACommittedTransaction) {
  store_.set("c", 0);
  const Subscription subscription = store_.watch("", told_.callback());
  store_.transaction([](Transaction& tx) {
    tx.set("a", 0);
    tx.set("a", 1);
    tx.set("b", 1);
    tx.erase("c");
  });
  EXPECT_EQ(all_told(), (Lines{"set a 1", "set b 1", "erased c"}));
}

TEST_P(Watch, TellsNothingOfWhatWasRolledBack) {
  store_.set("b", 0);
  const Subscription subscription = store_.watch("", told_.callback());
  {
    Transaction transaction = store_.begin();
    transaction.set("a", 1);
    transaction.erase("b");
  }
  EXPECT_THROW(store_.update("b", [](json&) { throw std::domain_error("no"); }), std::domain_error);
  EXPECT_EQ(all_told(), Lines{});
}

TEST_P(Watch, TellsNothingOfARolledBackSavepoint) {
  store_.set("b", 0);
  const Subscription subscription = store_.watch("", told_.callback());
  store_.transaction([](Transaction& tx) {
    {
      Transaction inner = tx.begin();
      inner.set("a", 1);
      inner.erase("b");
    }
    tx.set("c", 1);
  });
  EXPECT_EQ(all_told(), Lines{"set c 1"});
}

TEST_P(Watch, TellsNothingOfAKeyThatCameAndWentInOneTransaction) {
  const Subscription subscription = store_.watch("", told_.callback());
  store_.transaction([](Transaction& tx) {
    tx.set("a", 1);
    tx.erase("a");
  });
  EXPECT_EQ(all_told(), Lines{});
}

TEST_P(Watch, TellsOfEachOfVeryManyKeys) {
  constexpr int many = 5000;
  std::map<std::string, int> items;
  for (int i = 0; i < many; ++i) items["k" + std::to_string(i)] = i;
  const Subscription subscription = store_.watch("k", told_.callback());
  store_.set_many(items);
  std::map<std::string, int> seen;
  for (const Change& change : told_.next(many)) seen[change.key] = *change.value;
  EXPECT_EQ(seen, items);
}

TEST_P(Watch, TellsOfEachKeyOfAnErasedRange) {
  store_.set_many({{"a", 1}, {"b1", 1}, {"b2", 1}, {"c", 1}});
  const Subscription subscription = store_.watch("", told_.callback());
  store_.erase_range({.prefix = "b"});
  EXPECT_EQ(all_told(), (Lines{"erased b1", "erased b2"}));
}

TEST_P(Watch, TellsThatAnEntryHasExpired) {
  store_.set("before", 1, {.ttl = Duration(2000)});
  const Subscription subscription = store_.watch("", told_.callback());
  const Revision revision = store_.set("k", 1, {.ttl = Duration(1000)});
  told_.until("set k 1");
  clock_.advance(Duration(1000));
  const Change change = told_.one();
  EXPECT_EQ(line_of(change), "expired k");
  EXPECT_EQ(change.revision, revision);
  clock_.advance(Duration(1000));
  EXPECT_EQ(line_of(told_.one()), "expired before");
  EXPECT_EQ(all_told(), Lines{});
}

TEST_P(Watch, CallsAPurgedEntryExpired) {
  store_.set("k", 1, {.ttl = Duration(1000)});
  const Subscription subscription = store_.watch("", told_.callback());
  clock_.advance(Duration(1000));
  store_.purge_expired();
  EXPECT_EQ(all_told(), Lines{"expired k"});
}

TEST_P(Watch, TellsOfANewValueAfterAnExpiry) {
  store_.set("k", 1, {.ttl = Duration(1000)});
  const Subscription subscription = store_.watch("", told_.callback());
  clock_.advance(Duration(1000));
  told_.until("expired k");
  store_.set("k", 2);
  EXPECT_EQ(all_told(), Lines{"set k 2"});
}

TEST_P(Watch, TellsNothingOfAnEntryThatWasNeverVisible) {
  const Subscription subscription = store_.watch("", told_.callback());
  store_.set("k", 1, {.ttl = Duration(0)});
  EXPECT_EQ(all_told(), Lines{});
}

TEST_P(Watch, CallsAnEntryExpiredThatWasReplacedByAnExpiredOne) {
  store_.set("k", 1);
  const Subscription subscription = store_.watch("", told_.callback());
  const Revision revision = store_.set("k", 2, {.ttl = Duration(-1)});
  const Change change = told_.one();
  EXPECT_EQ(line_of(change), "expired k");
  EXPECT_EQ(change.revision, revision);
}

TEST_P(Watch, FollowsAnExpiryThatIsMovedWithoutTellingOfIt) {
  store_.set("later", 1, {.ttl = Duration(1000)});
  store_.set("never", 1, {.ttl = Duration(1000)});
  store_.set("now", 1);
  const Subscription subscription = store_.watch("", told_.callback());
  store_.touch("later", Duration(5000));
  store_.touch("never", std::nullopt);
  store_.touch("now", Duration(1000));
  EXPECT_EQ(all_told(), Lines{});
  clock_.advance(Duration(1000));
  EXPECT_EQ(line_of(told_.one()), "expired now");
  clock_.advance(Duration(4000));
  EXPECT_EQ(line_of(told_.one()), "expired later");
  EXPECT_EQ(all_told(), Lines{});
}

TEST_P(Watch, ShowsASlowCallbackTheNewestState) {
  std::latch running(1);
  std::latch released(1);
  const Subscription subscription = store_.watch("", [&](const Change& change) {
    if (change.key == "first") {
      running.count_down();
      released.wait();
    }
    told_.callback()(change);
  });
  store_.set("first", 1);
  running.wait();
  for (int i = 0; i < 1500; ++i) {
    store_.set("counter", i);
    store_.set("fleeting" + std::to_string(i % 1200), i);
  }
  store_.erase_range({.prefix = "fleeting"});
  released.count_down();
  EXPECT_EQ(all_told(), (Lines{"set first 1", "set counter 1499"}));
}

TEST_P(Watch, TellsInOrderForAKey) {
  const Subscription subscription = store_.watch("", told_.callback());
  std::vector<std::thread> writers;
  for (int i = 0; i < 3; ++i) {
    writers.emplace_back([&] {
      for (int n = 0; n < 300; ++n) store_.increment("k");
    });
  }
  for (std::thread& writer : writers) writer.join();
  store_.set("~end", 1);
  std::int64_t last = 0;
  Revision revision = 0;
  for (Change change = told_.one(); change.key == "k"; change = told_.one()) {
    EXPECT_GT(*change.value, json(last));
    EXPECT_GT(change.revision, revision);
    last = *change.value;
    revision = change.revision;
  }
  EXPECT_EQ(last, 900);
}

TEST_P(Watch, LivesOnWhenTheCallbackThrows) {
  const TempDir directory;
  KVStore store = open_in(directory, reporting());
  const Subscription subscription = store.watch("", [&](const Change& change) {
    told_.callback()(change);
    if (change.key == "bad") throw std::domain_error("do not like it");
  });
  store.set("bad", 1);
  EXPECT_EQ(errors_.one().key, "do not like it");
  store.set("good", 2);
  EXPECT_EQ(told_.until("set good 2"), (Lines{"set bad 1", "set good 2"}));
  EXPECT_EQ(errors_.size(), 0U);
}

TEST_P(Watch, EndsWithItsSubscription) {
  {
    const Subscription subscription = store_.watch("", told_.callback());
    store_.set("a", 1);
    told_.until("set a 1");
  }
  store_.set("b", 1);
  Told other;
  const Subscription subscription = store_.watch("", other.callback());
  store_.set("c", 1);
  EXPECT_EQ(other.until("set c 1"), Lines{"set c 1"});
  EXPECT_EQ(told_.size(), 0U);
}

TEST_P(Watch, EndsWhenItIsCancelledAndStaysEnded) {
  Subscription subscription = store_.watch("", told_.callback());
  subscription.cancel();
  subscription.cancel();
  const Subscription other = store_.watch("", told_.callback());
  store_.set("k", 1);
  EXPECT_EQ(all_told(), Lines{"set k 1"});
}

TEST_P(Watch, WaitsForARunningCallbackWhenItEnds) {
  std::latch running(1);
  std::latch ending(1);
  std::atomic<bool> finished{false};
  std::optional<Subscription> subscription = store_.watch("", [&](const Change&) {
    running.count_down();
    ending.wait();
    finished = true;
  });
  store_.set("k", 1);
  running.wait();
  std::thread ender([&] {
    ending.count_down();
    subscription.reset();
    EXPECT_TRUE(finished);
  });
  ender.join();
}

TEST_P(Watch, MayEndItselfInItsCallback) {
  std::optional<Subscription> subscription;
  std::latch assigned(1);
  subscription = store_.watch("", [&](const Change& change) {
    assigned.wait();
    told_.callback()(change);
    subscription.reset();
  });
  assigned.count_down();
  Told others;
  const Subscription other = store_.watch("", others.callback());
  store_.set("a", 1);
  told_.until("set a 1");
  store_.set("b", 1);
  others.until("set b 1");
  EXPECT_EQ(told_.size(), 0U);
}

TEST_P(Watch, EndsByBeingAssignedAnother) {
  Told others;
  Subscription subscription = store_.watch("", told_.callback());
  subscription = store_.watch("", others.callback());
  store_.set("k", 1);
  others.until("set k 1");
  EXPECT_EQ(told_.size(), 0U);
}

TEST_P(Watch, GoesOnWhenItsHandleOrTheStoreIsMoved) {
  Subscription first = store_.watch("", told_.callback());
  const Subscription second = std::move(first);
  const TempDir directory;
  KVStore moved = std::move(store_);
  moved.set("k", 1);
  told_.until("set k 1");
  // NOLINTNEXTLINE(bugprone-use-after-move): what it does then is the subject
  EXPECT_KV_ERROR(first.cancel(), ErrorCode::misuse, "moved from");
}

TEST_P(Watch, LetsItsCallbackUseTheStore) {
  Subscription inner = store_.watch("never", told_.callback());
  const Subscription subscription = store_.watch("in/", [&](const Change& change) {
    const std::string key = "out/" + change.key.substr(3);
    inner = store_.watch(key, told_.callback());
    store_.transaction([&](Transaction& tx) { tx.set(key, *tx.get(change.key)); });
    EXPECT_EQ(store_.get(key), change.value);
  });
  store_.set("in/a", 1);
  told_.until("set out/a 1");
  store_.set("in/b", 2);
  told_.until("set out/b 2");
}

TEST_P(Watch, ServesManySubscriptionsWithOverlappingPrefixes) {
  std::vector<std::unique_ptr<Told>> told;
  std::vector<Subscription> subscriptions;
  const std::vector<std::string> prefixes = {"", "a", "a/", "a/b", "a/b/c", "b"};
  for (const std::string& prefix : prefixes) {
    for (int i = 0; i < 10; ++i) {
      told.push_back(std::make_unique<Told>());
      subscriptions.push_back(store_.watch(prefix, told.back()->callback()));
    }
  }
  store_.set_many({{"a/b/c", 1}, {"a/b/~", 1}, {"a/x", 1}, {"b", 1}});
  store_.set_many({{"", 2}, {"a/b/c~", 2}, {"a~", 2}, {"b~", 2}, {"a/b~", 2}, {"a/~", 2}});
  const std::vector<Lines> expected = {
      {"set a/b/c 1", "set a/b/~ 1", "set a/x 1", "set b 1", "set  2", "set a/b/c~ 2", "set a/b~ 2",
       "set a/~ 2", "set a~ 2", "set b~ 2"},
      {"set a/b/c 1", "set a/b/~ 1", "set a/x 1", "set a/b/c~ 2", "set a/b~ 2", "set a/~ 2",
       "set a~ 2"},
      {"set a/b/c 1", "set a/b/~ 1", "set a/x 1", "set a/b/c~ 2", "set a/b~ 2", "set a/~ 2"},
      {"set a/b/c 1", "set a/b/~ 1", "set a/b/c~ 2", "set a/b~ 2"},
      {"set a/b/c 1", "set a/b/c~ 2"},
      {"set b 1", "set b~ 2"}};
  for (std::size_t i = 0; i < told.size(); ++i) {
    Lines lines = told[i]->until(expected[i / 10].back());
    Lines wanted = expected[i / 10];
    std::ranges::sort(lines);
    std::ranges::sort(wanted);
    EXPECT_EQ(lines, wanted) << prefixes[i / 10];
  }
}

TEST_P(Watch, EndsWhenTheStoreIsClosed) {
  Subscription subscription = store_.watch("", told_.callback());
  store_.set("k", 1);
  told_.until("set k 1");
  store_.close();
  subscription.cancel();
  EXPECT_KV_ERROR(store_.watch("", told_.callback()), ErrorCode::misuse, "closed");
}

TEST_P(Watch, IsFinishedWhenCloseReturns) {
  std::latch running(1);
  std::latch closing(1);
  std::atomic<bool> finished{false};
  const Subscription subscription = store_.watch("", [&](const Change&) {
    running.count_down();
    closing.wait();
    store_.set("from the callback", 1);
    finished = true;
  });
  store_.set("k", 1);
  running.wait();
  std::thread closer([&] {
    closing.count_down();
    store_.close();
    EXPECT_TRUE(finished);
  });
  closer.join();
}

TEST_P(Watch, RefusesToCloseTheStoreInACallback) {
  const Subscription subscription = store_.watch("", [&](const Change& change) {
    EXPECT_KV_ERROR(store_.close(), ErrorCode::misuse, "callback");
    told_.callback()(change);
  });
  store_.set("a", 1);
  told_.until("set a 1");
  store_.set("b", 1);
  told_.until("set b 1");
}

TEST_P(Watch, SurvivesThatItsCallbackDestroysTheStore) {
  const TempDir directory;
  auto store = std::make_unique<KVStore>(open_in(directory, options()));
  std::latch destroyed(1);
  Subscription subscription = store->watch("", [&](const Change&) {
    store.reset();
    destroyed.count_down();
  });
  store->set("k", 1);
  destroyed.wait();
  subscription.cancel();
}

TEST_P(Watch, ReleasesWhatItsCallbackHeldWhenItEnds) {
  auto held = std::make_shared<int>(1);
  const std::weak_ptr<int> seen = held;
  Subscription cancelled = store_.watch("", [held](const Change&) {});
  const Subscription closed = store_.watch("", [held](const Change&) {});
  held.reset();
  cancelled.cancel();
  EXPECT_FALSE(seen.expired());
  store_.close();
  EXPECT_TRUE(seen.expired());
}

TEST_P(Watch, SurvivesThatTheLastSubscriptionEndsTheStoreItHolds) {
  const TempDir directory;
  auto store = std::make_shared<KVStore>(open_in(directory, options()));
  std::latch ended(1);
  std::optional<Subscription> subscription;
  std::latch assigned(1);
  subscription = store->watch("", [&, store](const Change&) {
    assigned.wait();
    subscription.reset();
    ended.count_down();
  });
  store->set("k", 1);
  const std::weak_ptr<KVStore> last = store;
  store.reset();
  assigned.count_down();
  ended.wait();
  while (!last.expired()) std::this_thread::yield();
}

TEST_P(Watch, KeepsAThreadOnlyAsLongAsThereIsASubscription) {
  const auto before = threads();
  Subscription first = store_.watch("", told_.callback());
  Subscription second = store_.watch("", told_.callback());
  EXPECT_EQ(threads(), before + 1);
  first.cancel();
  EXPECT_EQ(threads(), before + 1);
  second.cancel();
  const auto latest = std::chrono::steady_clock::now() + deadline;
  while (threads() != before && std::chrono::steady_clock::now() < latest) {
    std::this_thread::yield();
  }
  EXPECT_EQ(threads(), before);
}

TEST_P(Watch, NeedsACallback) {
  EXPECT_KV_ERROR(store_.watch("", nullptr), ErrorCode::misuse, "empty");
}

TEST_P(Watch, CannotStartInsideATransactionOfItsThread) {
  const Transaction transaction = store_.begin();
  EXPECT_KV_ERROR(store_.watch("", told_.callback()), ErrorCode::misuse, "write lock");
}

TEST_P(Watch, BelongsToTheProcessThatStartedIt) {
  Subscription subscription = store_.watch("", told_.callback());
  const std::string answer = in_child([&] {
    std::string answers;
    try {
      subscription.cancel();
    } catch (const Error& error) {
      answers = to_string(error.code());
    }
    { const Subscription destroyed = std::move(subscription); }
    { const KVStore gone = std::move(store_); }
    return answers;
  });
  EXPECT_EQ(answer, "misuse");
  EXPECT_EQ(in_child([&]() -> std::string {
              static_cast<void>(store_.watch("", told_.callback()));
              return "worked";
            }).substr(0, 6),
            "misuse");
  store_.set("k", 1);
  EXPECT_EQ(all_told(), Lines{"set k 1"});
}

TEST_P(Watch, MissesNothingWhileSubscriptionsComeAndGo) {
  std::atomic<bool> over{false};
  std::thread writer([&] {
    for (int i = 0; !over; ++i) store_.set("k", i);
  });
  const int rounds = long_run() ? 2000 : 100;
  for (int i = 0; i < rounds; ++i) {
    Told told;
    const Subscription subscription = store_.watch("k", told.callback());
    const Revision before = store_.entry("k").value_or(Entry{}).revision;
    while (told.one().revision < before) {
    }
    if (HasFailure()) break;
  }
  over = true;
  writer.join();
}

}  // namespace
}  // namespace kvstore::test
