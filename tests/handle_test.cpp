#include <latch>
#include <thread>
#include <type_traits>

#include "behaviour.hpp"

namespace kvstore::test {
namespace {

template <class T>
constexpr bool movable_only =
    std::is_nothrow_move_constructible_v<T>&& std::is_nothrow_move_assignable_v<T> &&
    !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T>;
static_assert(movable_only<KVStore> && movable_only<Cursor>);
static_assert(movable_only<Transaction> && movable_only<Snapshot>);
static_assert(std::is_nothrow_destructible_v<KVStore> && std::is_nothrow_destructible_v<Cursor>);

// What a KVStore is made of can be referred to, but neither held nor cut out of it.
template <class Base>
constexpr bool only_a_base =
    std::is_convertible_v<KVStore&, Base&> && !std::is_constructible_v<Base, KVStore&> &&
    !std::is_constructible_v<Base, KVStore&&> && !std::is_default_constructible_v<Base> &&
    !std::is_destructible_v<Base> && !std::is_move_assignable_v<Base> &&
    !std::is_copy_assignable_v<Base>;
static_assert(only_a_base<Reader> && only_a_base<Keyspace>);

// A location must be meant: neither a string nor a path turns into a store by itself.
static_assert(!std::is_convertible_v<std::string_view, KVStore>);
static_assert(!std::is_convertible_v<std::filesystem::path, KVStore>);

template <class Value, class Expected>
concept can_replace = requires(KVStore& store, const Value& value, Expected expected) {
  static_cast<void>(store.replace("k", value, expected));
};
static_assert(can_replace<json, Revision>);
static_assert(!can_replace<json, json> && !can_replace<Revision, json>);

/// What needs no key.
std::vector<Verb> verbs_of_the_store() {
  return {
      {"purge_expired", [](KVStore& s, std::string_view) { return json(s.purge_expired()); }},
      {"check", [](KVStore& s, std::string_view) { return json(s.check().ok()); }},
      {"stats", [](KVStore& s, std::string_view) { return json(s.stats().engine); }},
  };
}

std::vector<Verb> every_verb() {
  std::vector<Verb> all = verbs_of_one_key();
  for (Verb& verb : verbs_of_many_keys()) all.push_back(std::move(verb));
  for (Verb& verb : verbs_of_the_store()) all.push_back(std::move(verb));
  return all;
}

void expect_misuse_of_all(KVStore& store, const std::string& part) {
  for (const Verb& verb : every_verb()) {
    SCOPED_TRACE(verb.name);
    EXPECT_KV_ERROR(verb.call(store, "k"), ErrorCode::misuse, part);
  }
}

class Handle : public OnEveryEngine {
 protected:
  void store_many(int count) {
    std::vector<std::pair<std::string, int>> items;
    for (int i = 0; i < count; ++i) items.emplace_back("k" + std::to_string(i), i);
    store_.set_many(items);
  }
};
KVSTORE_TEST_ON_EVERY_ENGINE(Handle);

TEST_P(Handle, ThatWasMovedFromIsMisuse) {
  store_.set("k", 1);
  const KVStore other = std::move(store_);
  expect_misuse_of_all(store_, "moved from");  // NOLINT(bugprone-use-after-move)
  EXPECT_KV_ERROR(store_.close(), ErrorCode::misuse, "moved from");
  EXPECT_KV_ERROR(store_.scan(), ErrorCode::misuse, "moved from");
  EXPECT_EQ(other.get("k"), json(1));
}

TEST_P(Handle, ThatWasMovedFromMayBeAssigned) {
  store_.set("k", 1);
  KVStore other = std::move(store_);
  store_ = std::move(other);
  EXPECT_EQ(store_.get("k"), json(1));
}

TEST_P(Handle, MayBeAssignedToItself) {
  store_.set("k", 1);
  KVStore& same = store_;
  store_ = std::move(same);
  EXPECT_EQ(store_.get("k"), json(1));
}

TEST_P(Handle, ThatIsMovedDisturbsNothingMadeFromIt) {
  store_many(600);
  Cursor cursor = store_.scan();
  Cursor::iterator at = cursor.begin();
  const KVStore other = std::move(store_);
  std::size_t seen = 0;
  for (; at != Cursor::end(); ++at) ++seen;
  EXPECT_EQ(seen, 600U);
}

TEST_P(Handle, ThatIsAssignedClosesWhatItHeld) {
  store_many(1);
  Cursor cursor = store_.scan();
  const TempDir dir;
  store_ = open_in(dir, options());
  EXPECT_KV_ERROR(cursor.begin(), ErrorCode::misuse, "closed");
  EXPECT_EQ(store_.count(), 0U);
}

TEST_P(Handle, OfAClosedStoreIsMisuse) {
  store_.close();
  expect_misuse_of_all(store_, "closed");
}

TEST_P(Handle, MayBeClosedTwice) {
  store_.close();
  EXPECT_NO_THROW(store_.close());
}

TEST_P(Handle, OfACursorIsMisuseOnceTheStoreIsClosed) {
  store_many(600);
  Cursor fresh = store_.scan();
  Cursor begun = store_.scan();
  Cursor::iterator at = begun.begin();
  store_.close();
  EXPECT_KV_ERROR(fresh.begin(), ErrorCode::misuse, "closed");
  std::size_t seen = 0;
  const auto go_on = [&] {
    for (; at != Cursor::end(); ++at) ++seen;
  };
  EXPECT_KV_ERROR(go_on(), ErrorCode::misuse, "closed");
  EXPECT_LT(seen, 600U);
  EXPECT_EQ(at, Cursor::end());
}

TEST_P(Handle, OfACursorIsMisuseOnceTheStoreIsGone) {
  std::optional<KVStore> store(std::move(store_));
  store->set_many({{"a", 1}, {"b", 2}});
  Cursor fresh = store->scan();
  Cursor begun = store->scan();
  Cursor::iterator at = begun.begin();
  store.reset();
  EXPECT_KV_ERROR(fresh.begin(), ErrorCode::misuse, "closed");
  EXPECT_EQ(at->key, "a");
  ++at;
  EXPECT_EQ(at->key, "b");
}

TEST_P(Handle, OfACursorThatWasMovedFromIsMisuse) {
  Cursor cursor = store_.scan();
  const Cursor other = std::move(cursor);
  EXPECT_KV_ERROR(cursor.begin(), ErrorCode::misuse, "moved");  // NOLINT(bugprone-use-after-move)
}

class InsideACallback : public Handle {
 protected:
  /// Every call on the store, from where the caller's code runs under the write lock.
  void expect_misuse(Cursor::iterator& page_end) {
    expect_misuse_of_all(store_, "callback");
    EXPECT_KV_ERROR(store_.close(), ErrorCode::misuse, "callback");
    const auto next_page = [&] {
      for (int i = 0; i < 600; ++i) ++page_end;
    };
    EXPECT_KV_ERROR(next_page(), ErrorCode::misuse, "callback");
    ++calls_;
  }

  void expect_unharmed() {
    EXPECT_EQ(calls_, 1);
    store_.set("afterwards", 1);
    EXPECT_EQ(store_.get("afterwards"), json(1));
    EXPECT_EQ(store_.count({.prefix = "k"}), 600U);
  }

  int calls_ = 0;
};
KVSTORE_TEST_ON_EVERY_ENGINE(InsideACallback);

TEST_P(InsideACallback, OfUpdateTheStoreIsMisuseAndNeverHangs) {
  store_many(600);
  Cursor cursor = store_.scan();
  Cursor::iterator at = cursor.begin();
  store_.update("k1", [&](json& value) {
    expect_misuse(at);
    value = "changed";
  });
  expect_unharmed();
  EXPECT_EQ(store_.get("k1"), json("changed"));
}

TEST_P(InsideACallback, OfUpdateFromAnInitialValueTheStoreIsMisuse) {
  store_many(600);
  Cursor cursor = store_.scan();
  Cursor::iterator at = cursor.begin();
  store_.update("new", json(1), [&](json&) { expect_misuse(at); });
  expect_unharmed();
}

/// One pair, whose reading calls back.
struct OnePair {
  std::function<void()> on_read{};

  struct iterator {
    OnePair* range = nullptr;
    std::pair<std::string, int> operator*() const {
      range->on_read();
      return {"from the range", 1};
    }
    iterator& operator++() {
      range = nullptr;
      return *this;
    }
    bool operator==(const iterator&) const = default;
  };
  iterator begin() { return {this}; }
  static iterator end() { return {}; }
};

TEST_P(InsideACallback, OfTheRangeOfSetManyTheStoreIsMisuse) {
  store_many(600);
  Cursor cursor = store_.scan();
  Cursor::iterator at = cursor.begin();
  EXPECT_EQ(store_.set_many(OnePair{[&] { expect_misuse(at); }}), 1U);
  expect_unharmed();
  EXPECT_TRUE(store_.contains("from the range"));
}

TEST_P(InsideACallback, AScanOfTheSameStoreCannotFeedSetMany) {
  store_many(600);
  EXPECT_KV_ERROR(store_.set_many(store_.scan(), {.ttl = Duration(5)}), ErrorCode::misuse,
                  "callback");
  EXPECT_EQ(store_.entry("k0")->expires_at, std::nullopt);
}

TEST_P(InsideACallback, AShortScanOfTheSameStoreCannotFeedSetManyEither) {
  store_many(3);
  EXPECT_KV_ERROR(store_.set_many(store_.scan()), ErrorCode::misuse, "callback");
}

TEST_P(InsideACallback, WhatTheRangeOfSetManyThrowsArrivesAndNothingIsStored) {
  EXPECT_THROW(store_.set_many(OnePair{[] { throw std::logic_error("the caller's own"); }}),
               std::logic_error);
  EXPECT_EQ(store_.count(), 0U);
  store_.set("afterwards", 1);
}

TEST_P(InsideACallback, AMisuseThatIsNotCaughtEndsTheWriteAndIsReported) {
  store_.set("k", 1);
  const auto careless = [&](json& value) {
    value = 2;
    static_cast<void>(store_.get("k"));
  };
  EXPECT_KV_ERROR(store_.update("k", careless), ErrorCode::misuse, "callback");
  EXPECT_EQ(store_.get("k"), json(1));
}

TEST_P(InsideACallback, TheStoreMayBeAssignedAnother) {
  const TempDir dir;
  store_.set("k", 1);
  const std::optional<json> result = store_.update("k", [&](json& value) {
    store_ = open_in(dir, options());
    value = 2;
  });
  EXPECT_EQ(result, json(2));
  EXPECT_FALSE(store_.contains("k"));
}

TEST_P(InsideACallback, AnotherStoreMayBeUsed) {
  const TempDir dir;
  KVStore other = open_in(dir, options());
  store_.set("k", 1);
  store_.update("k", [&](json& value) {
    other.set("k", value);
    other.update("k",
                 [&](json&) { EXPECT_KV_ERROR(store_.get("k"), ErrorCode::misuse, "callback"); });
    value = other.get("k").value().get<int>() + 1;
  });
  EXPECT_EQ(store_.get("k"), json(2));
}

TEST(BusyTimeout, MayBeTheLongestDuration) {
  const TempDir dir;
  KVStore store(dir.file("store.db"), {.busy_timeout = Duration::max()});
  std::latch writing(1);
  std::thread writer([&] { store.update("k", json(1), [&](json&) { writing.count_down(); }); });
  writing.wait();
  store.set("k", 2);
  writer.join();
  EXPECT_EQ(store.get("k"), json(2));
}

TEST(AnOptionsClock, MayGiveTheLastMomentThereIs) {
  KVStore store(":memory:", {.clock = [] { return Time::max(); }});
  EXPECT_GT(store.set("k", 1), 0);
  EXPECT_EQ(store.get("k"), json(1));
}

TEST(Error, TellsWhetherTheSameCallMaySucceedLater) {
  for (int code = 0; code <= static_cast<int>(ErrorCode::misuse); ++code) {
    const Error error(static_cast<ErrorCode>(code), "what");
    EXPECT_STREQ(error.what(), "what");
    EXPECT_EQ(error.retryable(),
              error.code() == ErrorCode::busy || error.code() == ErrorCode::connection);
    EXPECT_NE(to_string(error.code()), "unknown");
  }
  EXPECT_EQ(to_string(ErrorCode::outcome_unknown), "outcome_unknown");
  EXPECT_EQ(to_string(static_cast<ErrorCode>(200)), "unknown");
}

}  // namespace
}  // namespace kvstore::test
