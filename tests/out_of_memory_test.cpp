#include <functional>
#include <map>
#include <new>
#include <optional>
#include <ostream>

#include "failing_heap.hpp"
#include "outside.hpp"
#include "support.hpp"

namespace kvstore::test {
namespace {

using Fails = FailingHeap::Fails;

/// A call, and what tells its result. No document of it is an array or an object: nlohmann::json
/// allocates memory to destroy those, and ends the program when there is none.
struct Call {
  std::string name{};
  std::function<std::string(KVStore& store)> run{};

  friend std::ostream& operator<<(std::ostream& out, const Call& call) { return out << call.name; }
};

const std::string short_text = "short";  // fits into a string
const std::string long_text(200, 'x');
const std::string other_text(300, 'y');

std::string yes_or_no(bool yes) {
  return yes ? "yes" : "no";
}

std::vector<Call> writing_calls() {
  return {
      {"Set", [](KVStore& s) { return yes_or_no(s.set("a", other_text) != 0); }},
      {"SetNew", [](KVStore& s) { return yes_or_no(s.set(long_text, 1) != 0); }},
      {"SetText", [](KVStore& s) { return yes_or_no(s.set_text("a", "  12.50 ") != 0); }},
      {"SetAtAPlace",
       [](KVStore& s) { return yes_or_no(s.set("a", json::json_pointer(), other_text) != 0); }},
      {"Insert", [](KVStore& s) { return yes_or_no(s.insert("new", other_text).has_value()); }},
      {"Replace",
       [](KVStore& s) {
         return yes_or_no(s.replace("a", other_text, s.entry("a")->revision).has_value());
       }},
      {"Update",
       [](KVStore& s) {
         return s.update("a", [](json& value) { value = short_text; })->get<std::string>();
       }},
      {"Merge", [](KVStore& s) { return s.merge("a", short_text).get<std::string>(); }},
      {"Increment", [](KVStore& s) { return std::to_string(s.increment("n", 5)); }},
      {"Erase", [](KVStore& s) { return yes_or_no(s.erase("a")); }},
      {"EraseRange", [](KVStore& s) { return std::to_string(s.erase_range({.prefix = "row/"})); }},
      {"Touch", [](KVStore& s) { return yes_or_no(s.touch("a", Duration(1'000'000))); }},
      {"SetMany",
       [](KVStore& s) {
         return std::to_string(s.set_many({{"row/2", other_text}, {"row/8", 8}, {"a", 9}}));
       }},
      {"Transaction",
       [](KVStore& s) {
         return std::to_string(s.transaction([](Transaction& tx) {
           tx.set("a", other_text);
           tx.transaction([](Transaction& inner) { inner.set("row/1", long_text); });
           return tx.count();
         }));
       }},
  };
}

std::vector<Call> reading_calls() {
  return {
      {"Get", [](KVStore& s) { return s.get("a")->get<std::string>(); }},
      {"GetAtAPlace",
       [](KVStore& s) { return s.get("a", json::json_pointer())->get<std::string>(); }},
      {"GetShared", [](KVStore& s) { return s.get_shared("a")->get<std::string>(); }},
      {"GetText", [](KVStore& s) { return s.get_text("a").value(); }},
      {"GetMany",
       [](KVStore& s) {
         std::string all;
         for (const auto& value : s.get_many({"a", "n", "absent"})) {
           all += value ? value->dump() : "nothing";
         }
         return all;
       }},
      {"Entry", [](KVStore& s) { return s.entry("a")->value.get<std::string>(); }},
      {"Contains", [](KVStore& s) { return yes_or_no(s.contains("a")); }},
      {"Scan",
       [](KVStore& s) {
         std::string all;
         for (const Entry& entry : s.scan()) all += entry.key + entry.value.dump();
         return all;
       }},
      {"Keys",
       [](KVStore& s) {
         std::string all;
         for (const std::string& key : s.keys({.prefix = "row/"})) all += key;
         return all;
       }},
      {"Count", [](KVStore& s) { return std::to_string(s.count({.from = "b"})); }},
      {"Snapshot", [](KVStore& s) { return s.snapshot().get("a")->get<std::string>(); }},
      {"Check", [](KVStore& s) { return std::to_string(s.check().entries); }},
  };
}

std::string name_of(const ::testing::TestParamInfo<Call>& info) {
  return info.param.name;
}

void fill(KVStore& store) {
  store.set("a", long_text);
  store.set("n", 1);
  for (int i = 0; i < 8; ++i) store.set("row/" + std::to_string(i), i);
  store.set("works", 1);
}

using Texts = std::map<std::string, std::string>;

class OutOfMemory : public ::testing::TestWithParam<Call> {
 protected:
  OutOfMemory() { fill(store_); }

  /// What an outsider reads.
  Texts stored() {
    Texts texts;
    for (const std::string& row : outside_.rows("SELECT key, value FROM kv ORDER BY key")) {
      const std::size_t bar = row.find('|');
      texts[row.substr(0, bar)] = row.substr(bar + 1);
    }
    return texts;
  }

  void expect_sound(const Texts& expected) {
    ASSERT_EQ(stored(), expected);
    for (const auto& [key, text] : expected) ASSERT_EQ(store_.get(key), json::parse(text)) << key;
    store_.set("works", 1);
  }

  /// Makes each allocation of the call fail in turn, until none is left.
  /// Returns its result, when all succeed. Absent: that was not so within 10,000.
  std::optional<std::string> with_each_failing(
      Fails how, const std::function<void()>& before = [] {}) {
    const Texts at_first = stored();
    for (std::size_t n = 0; n < 10'000; ++n) {
      SCOPED_TRACE("allocation " + std::to_string(n));
      before();
      std::optional<std::string> result;
      bool failed = false;
      {
        const FailingHeap heap(n, how);
        try {
          result = GetParam().run(store_);
        } catch (const std::bad_alloc&) {
          result.reset();
        }
        failed = heap.failed();
      }
      if (result) return result;
      EXPECT_TRUE(failed);
      expect_sound(at_first);
      if (HasFatalFailure()) return std::nullopt;
    }
    return std::nullopt;
  }

  TempDir dir_;
  std::string file_ = dir_.file("store.db");
  KVStore store_{file_, {.durability = Durability::normal}};
  Outside outside_{file_};
};

class OutOfMemoryWhileWriting : public OutOfMemory {
 protected:
  void expect_all_or_nothing(Fails how) {
    const Subscription watched = store_.watch("", [](const Change&) {});
    TempDir dir;
    KVStore twin(dir.file("twin.db"));
    fill(twin);
    const std::string expected = GetParam().run(twin);
    EXPECT_EQ(with_each_failing(how), expected);
    Texts after;
    for (const Entry& entry : twin.scan()) after[entry.key] = twin.get_text(entry.key).value();
    expect_sound(after);
  }
};

INSTANTIATE_TEST_SUITE_P(Call, OutOfMemoryWhileWriting, ::testing::ValuesIn(writing_calls()),
                         name_of);

TEST_P(OutOfMemoryWhileWriting, OnceStoresAllOrNothing) {
  expect_all_or_nothing(Fails::once);
}

TEST_P(OutOfMemoryWhileWriting, LastinglyStoresAllOrNothing) {
  expect_all_or_nothing(Fails::lastingly);
}

class OutOfMemoryWhileReading : public OutOfMemory {
 protected:
  void expect_right_or_nothing(Fails how, const std::function<void()>& before) {
    const std::string expected = GetParam().run(store_);
    EXPECT_EQ(with_each_failing(how, before), expected);
  }

  /// A commit of a stranger empties the cache.
  void empty_cache() { outside_.run("UPDATE kv_floor SET revision = revision + 1"); }
};

INSTANTIATE_TEST_SUITE_P(Call, OutOfMemoryWhileReading, ::testing::ValuesIn(reading_calls()),
                         name_of);

TEST_P(OutOfMemoryWhileReading, OnceReadsWhatIsThereOrThrows) {
  expect_right_or_nothing(Fails::once, [&] { empty_cache(); });
}

TEST_P(OutOfMemoryWhileReading, LastinglyReadsWhatIsThereOrThrows) {
  expect_right_or_nothing(Fails::lastingly, [&] { empty_cache(); });
}

TEST_P(OutOfMemoryWhileReading, FromAWarmCacheReadsWhatIsThereOrThrows) {
  expect_right_or_nothing(Fails::lastingly, [&] { ASSERT_TRUE(store_.get("a")); });
}

TEST(OutOfMemoryInATransaction, TakesBackTheCallAlone) {
  const TempDir dir;
  KVStore store(dir.file("store.db"), {.durability = Durability::normal});
  for (const Fails fails : {Fails::once, Fails::lastingly}) {
    bool stored = false;
    for (int n = 0; n < 10'000 && !stored; ++n) {
      SCOPED_TRACE("allocation " + std::to_string(n));
      store.erase_range({.prefix = "row/"});
      Transaction tx = store.begin();
      tx.set("before", n);
      {
        const FailingHeap heap(static_cast<std::size_t>(n), fails);
        try {
          stored = tx.set_many({{"row/1", other_text}, {"row/2", 2}, {"row/3", long_text}}) == 3;
        } catch (const std::bad_alloc&) {
          EXPECT_TRUE(heap.failed());
        }
      }
      tx.commit();
      EXPECT_EQ(store.get("before"), json(n));
      EXPECT_EQ(store.count({.prefix = "row/"}), stored ? 3U : 0U);
    }
    EXPECT_TRUE(stored);
  }
}

TEST(OutOfMemoryInATransaction, RollsItBackAllTheSame) {
  const TempDir dir;
  for (const std::string& place : {dir.file("store.db"), std::string(":memory:")}) {
    SCOPED_TRACE(place);
    KVStore store(place);
    store.set("k", 1);
    std::optional<Transaction> tx(store.begin());
    tx->set("k", 2);
    {
      const FailingHeap heap(0, Fails::lastingly);
      tx.reset();
    }
    EXPECT_EQ(store.get("k"), json(1));
    if (place != ":memory:") run_outside(place, "UPDATE kv SET value = '3'");
    store.set("k", 4);
    EXPECT_EQ(store.get("k"), json(4));
  }
}

TEST(OutOfMemoryWhileComputing, StoresTheResultOrNothing) {
  const TempDir dir;
  KVStore store(dir.file("store.db"));
  const ComputeOptions how{.lease = Duration(1)};  // one that could not be given up is over soon
  for (const Fails fails : {Fails::once, Fails::lastingly}) {
    bool computed = false;
    for (std::size_t n = 0; n < 10'000 && !computed; ++n) {
      SCOPED_TRACE("allocation " + std::to_string(n));
      store.erase("k");
      {
        const FailingHeap heap(n, fails);
        try {
          computed = store.get_or_compute("k", how, [] { return json(other_text); }) == other_text;
        } catch (const std::bad_alloc&) {
          EXPECT_TRUE(heap.failed());
        }
      }
      EXPECT_EQ(store.get("k").value_or(other_text), json(other_text));
    }
    EXPECT_TRUE(computed);
    EXPECT_EQ(store.get("k"), json(other_text));
  }
}

TEST(OutOfMemoryWhileOpening, LeavesTheFileToWhoOpensItNext) {
  for (const Fails how : {Fails::once, Fails::lastingly}) {
    const TempDir dir;
    const std::string file = dir.file("store.db");
    bool opened = false;
    for (std::size_t n = 0; n < 10'000 && !opened; ++n) {
      SCOPED_TRACE("allocation " + std::to_string(n));
      std::optional<KVStore> store;
      {
        const FailingHeap heap(n, how);
        try {
          store.emplace(file);
          opened = true;
        } catch (const std::bad_alloc&) {
          EXPECT_TRUE(heap.failed());
        }
      }
      store.reset();
      KVStore(file).set("k", static_cast<int>(n));
    }
    EXPECT_TRUE(opened);
    EXPECT_TRUE(KVStore(file).check().ok());
  }
}

TEST(OutOfMemoryAtRest, GivesTheEntryOrFailsAndGivesItLater) {
  const TempDir dir;
  const std::string file = dir.file("store.db");
  KVStore(file).set("k", long_text);
  for (const bool others_write : {false, true}) {
    for (const Fails how : {Fails::once, Fails::lastingly}) {
      bool given = false;
      for (std::size_t n = 0; n < 10'000 && !given; ++n) {
        SCOPED_TRACE("allocation " + std::to_string(n));
        const KVStore store(file);
        if (others_write) KVStore(file).set("other", n);
        {
          const FailingHeap heap(n, how);
          try {
            given = store.get("k") == json(long_text);
            EXPECT_TRUE(given);
          } catch (const std::bad_alloc&) {
            EXPECT_TRUE(heap.failed());
          }
        }
        EXPECT_EQ(store.get("k"), json(long_text));
      }
      EXPECT_TRUE(given);
    }
  }
}

TEST(OutOfMemoryWhileClosing, CommitsWhatWasCommittedAndNothingElse) {
  const TempDir dir;
  const std::string file = dir.file("store.db");
  std::optional<KVStore> store(std::in_place, file);
  store->set("k", 1);
  const Snapshot snapshot = store->snapshot();
  const Subscription watched = store->watch("", [](const Change&) {});
  Transaction tx = store->begin();
  tx.set("k", "not committed");
  {
    const FailingHeap heap(0, Fails::lastingly);
    store.reset();
    EXPECT_FALSE(heap.failed()) << "it asked for memory";
  }
  EXPECT_EQ(KVStore(file).get("k"), json(1));
}

}  // namespace
}  // namespace kvstore::test
