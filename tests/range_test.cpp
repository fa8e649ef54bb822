#include <algorithm>
#include <limits>

#include "behaviour.hpp"

namespace kvstore::test {
namespace {

using Keys = std::vector<std::string>;

class Ranges : public OnEveryEngine {
 protected:
  void store_keys(const Keys& keys) {
    std::vector<std::pair<std::string, std::string>> items;
    for (const std::string& key : keys) items.emplace_back(key, key);
    store_.set_many(items);
  }

  /// The keys of a range, which `scan`, `keys` and `count` must agree on.
  [[nodiscard]] Keys seen(const Range& range) const {
    Keys keys = store_.keys(range);
    EXPECT_EQ(store_.count(range), keys.size());
    Keys scanned;
    for (const Entry& entry : store_.scan(range)) {
      EXPECT_EQ(entry.value, entry.key);
      scanned.push_back(entry.key);
    }
    EXPECT_EQ(scanned, keys);
    return keys;
  }
};
KVSTORE_TEST_ON_EVERY_ENGINE(Ranges);

const Keys letters = {"a", "b", "c", "d", "e"};

TEST_P(Ranges, WithoutBoundsAreAllInOrderOfTheBytes) {
  const Keys sorted = {"",
                       "\x01",
                       "\n",
                       "-1",
                       "0",
                       "00",
                       "1",
                       "10",
                       "9",
                       "A",
                       "B",
                       "a",
                       "a\x01",
                       "a ",
                       "aa",
                       "\x7F",
                       "\xC3\xA9",
                       "\xEF\xBF\xBF",
                       "\xF0\x9F\x98\x80",
                       "\xF4\x8F\xBF\xBF"};
  Keys shuffled = sorted;
  std::reverse(shuffled.begin(), shuffled.end());
  store_keys(shuffled);
  EXPECT_EQ(seen({}), sorted);
  EXPECT_EQ(seen({.descending = true}), shuffled);
}

TEST_P(Ranges, OfAnEmptyStoreAreEmpty) {
  EXPECT_TRUE(seen({}).empty());
  EXPECT_TRUE(seen({.prefix = "a", .limit = 3, .descending = true}).empty());
}

TEST_P(Ranges, BeginWithTheKeyFromAndEndBeforeTheKeyUntil) {
  store_keys(letters);
  EXPECT_EQ(seen({.from = "c"}), (Keys{"c", "d", "e"}));
  EXPECT_EQ(seen({.from = "bb"}), (Keys{"c", "d", "e"}));
  EXPECT_EQ(seen({.until = "c"}), (Keys{"a", "b"}));
  EXPECT_EQ(seen({.from = "b", .until = "d"}), (Keys{"b", "c"}));
  EXPECT_EQ(seen({.from = "b", .until = "d", .descending = true}), (Keys{"c", "b"}));
}

TEST_P(Ranges, BeginBehindTheKeyAfter) {
  store_keys({"a", "a\x01", "a\x01\x01", "aa", "b"});
  EXPECT_EQ(seen({.after = "a"}), (Keys{"a\x01", "a\x01\x01", "aa", "b"}));
  EXPECT_EQ(seen({.after = "a\x01"}), (Keys{"a\x01\x01", "aa", "b"}));
  EXPECT_EQ(seen({.after = "ab"}), Keys{"b"});
  EXPECT_EQ(seen({.after = "b"}), Keys());
}

TEST_P(Ranges, AfterTheEmptyKeyAreAllOthers) {
  store_keys({"", "\x01", "a"});
  EXPECT_EQ(seen({.after = ""}), (Keys{"\x01", "a"}));
}

TEST_P(Ranges, UntilTheEmptyKeyIsNothing) {
  store_keys({"", "a"});
  EXPECT_TRUE(seen({.until = ""}).empty());
}

TEST_P(Ranges, FromAndAfterNarrowTogether) {
  store_keys(letters);
  EXPECT_EQ(seen({.from = "b", .after = "c"}), (Keys{"d", "e"}));
  EXPECT_EQ(seen({.from = "d", .after = "a"}), (Keys{"d", "e"}));
  EXPECT_EQ(seen({.from = "c", .after = "c"}), (Keys{"d", "e"}));
}

TEST_P(Ranges, ThatEndBeforeTheyBeginAreEmpty) {
  store_keys(letters);
  EXPECT_TRUE(seen({.from = "d", .until = "b"}).empty());
  EXPECT_TRUE(seen({.from = "b", .until = "b"}).empty());
  EXPECT_TRUE(seen({.prefix = "b", .from = "c"}).empty());
  EXPECT_TRUE(seen({.prefix = "b", .until = "b"}).empty());
  EXPECT_TRUE(seen({.from = "d", .until = "b", .descending = true}).empty());
}

TEST_P(Ranges, OfAPrefixHoldTheKeysThatBeginWithItsBytes) {
  store_keys({"A/1", "a", "a/", "a/1", "a/2", "a/2/x", "a0", "b"});
  EXPECT_EQ(seen({.prefix = "a/"}), (Keys{"a/", "a/1", "a/2", "a/2/x"}));
  EXPECT_EQ(seen({.prefix = "a/2"}), (Keys{"a/2", "a/2/x"}));
  EXPECT_EQ(seen({.prefix = "a/", .from = "a/1", .until = "a/2/"}), (Keys{"a/1", "a/2"}));
  EXPECT_EQ(seen({.prefix = "a/", .after = "a/1", .descending = true}), (Keys{"a/2/x", "a/2"}));
}

TEST_P(Ranges, OfAPrefixTakeNoSignForAWildcard) {
  store_keys({"%a", "_a", "xa", "*a", "?a", "[a"});
  for (const char* sign : {"%", "_", "*", "?", "["}) {
    EXPECT_EQ(seen({.prefix = sign}), Keys{std::string(sign) + "a"});
  }
}

TEST_P(Ranges, OfAPrefixMayCutACharacterInTwo) {
  store_keys({"b", "\xC3\xA9", "\xC3\xBC", "\xC4\x80"});
  EXPECT_EQ(seen({.prefix = "\xC3"}), (Keys{"\xC3\xA9", "\xC3\xBC"}));
}

TEST_P(Ranges, OfAPrefixAtTheEndOfAllKeysEndWithTheLast) {
  store_keys({"a", "\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF\x01", "\xF4\x8F\xBF\xBF\xF4\x8F\xBF\xBF"});
  EXPECT_EQ(seen({.prefix = "\xF4\x8F\xBF\xBF"}).size(), 3U);
  EXPECT_EQ(seen({.prefix = "\xF4"}).size(), 3U);
}

TEST_P(Ranges, OfBytesThatNoKeyHasAreEmpty) {
  store_keys({"a", "a\x7F", "b", "\xF4\x8F\xBF\xBF"});
  EXPECT_TRUE(seen({.prefix = "\xFF"}).empty());
  EXPECT_TRUE(seen({.prefix = "\xFF\xFF"}).empty());
  EXPECT_TRUE(seen({.prefix = "a\xFF"}).empty());
  EXPECT_TRUE(seen({.prefix = std::string("a\0", 2)}).empty());
  EXPECT_TRUE(seen({.from = "\xFF"}).empty());
}

TEST_P(Ranges, MayBeBoundedByBytesThatNoKeyHas) {
  store_keys({"a", "a\x01", "b"});
  EXPECT_EQ(seen({.from = std::string("a\0", 2)}), (Keys{"a\x01", "b"}));
  EXPECT_EQ(seen({.after = std::string("a\0", 2)}), (Keys{"a\x01", "b"}));
  EXPECT_EQ(seen({.until = std::string("a\0", 2)}), Keys{"a"});
  EXPECT_EQ(seen({.until = "\xFF\xFF"}), (Keys{"a", "a\x01", "b"}));
}

TEST_P(Ranges, AreCutByTheLimitFromTheEndTheyBeginAt) {
  store_keys(letters);
  EXPECT_EQ(seen({.limit = 2}), (Keys{"a", "b"}));
  EXPECT_EQ(seen({.limit = 2, .descending = true}), (Keys{"e", "d"}));
  EXPECT_EQ(seen({.limit = 5}), letters);
  EXPECT_EQ(seen({.limit = 6}), letters);
  EXPECT_EQ(seen({.limit = 0}), letters);
  EXPECT_EQ(seen({.limit = std::numeric_limits<std::size_t>::max()}), letters);
  EXPECT_EQ(seen({.from = "b", .limit = 2, .descending = true}), (Keys{"e", "d"}));
}

TEST_P(Ranges, CanBeReadPageByPageWithAfterOrUntil) {
  store_keys(letters);
  Keys ascending;
  Range range{.limit = 2};
  for (Keys page = seen(range); !page.empty(); page = seen(range)) {
    ascending.insert(ascending.end(), page.begin(), page.end());
    range.after = page.back();
  }
  EXPECT_EQ(ascending, letters);
  Keys descending;
  Range back{.limit = 2, .descending = true};
  for (Keys page = seen(back); !page.empty(); page = seen(back)) {
    descending.insert(descending.end(), page.begin(), page.end());
    back.until = page.back();
  }
  EXPECT_EQ(descending, Keys(letters.rbegin(), letters.rend()));
}

class EraseRange : public Ranges {};
KVSTORE_TEST_ON_EVERY_ENGINE(EraseRange);

TEST_P(EraseRange, RemovesWhatARangeHoldsAndCountsIt) {
  store_keys({"a", "b/1", "b/2", "b/3", "c"});
  EXPECT_EQ(store_.erase_range({.prefix = "b/", .from = "b/2"}), 2U);
  EXPECT_EQ(seen({}), (Keys{"a", "b/1", "c"}));
  EXPECT_EQ(store_.erase_range({.after = "a", .until = "c"}), 1U);
  EXPECT_EQ(store_.erase_range({.after = "a", .until = "c"}), 0U);
  EXPECT_EQ(store_.erase_range({}), 2U);
  EXPECT_EQ(store_.count(), 0U);
}

TEST_P(EraseRange, WithALimitRemovesFromTheEndItBeginsAt) {
  store_keys({"a", "p1", "p1\x01", "p2", "p3", "p4", "q"});
  EXPECT_EQ(store_.erase_range({.prefix = "p", .limit = 1}), 1U);
  EXPECT_EQ(seen({}), (Keys{"a", "p1\x01", "p2", "p3", "p4", "q"}));
  EXPECT_EQ(store_.erase_range({.prefix = "p", .limit = 2, .descending = true}), 2U);
  EXPECT_EQ(seen({}), (Keys{"a", "p1\x01", "p2", "q"}));
  EXPECT_EQ(store_.erase_range({.prefix = "p", .limit = 9, .descending = true}), 2U);
  EXPECT_EQ(seen({}), (Keys{"a", "q"}));
}

TEST_P(EraseRange, WithTheLargestLimitRemovesAll) {
  store_keys({"a", "b", "c"});
  EXPECT_EQ(store_.erase_range({.limit = std::numeric_limits<std::size_t>::max()}), 3U);
  EXPECT_EQ(store_.count(), 0U);
}

TEST_P(EraseRange, WithALimitDoesNotCountWhatHasExpired) {
  store_keys({"a", "c", "e"});
  store_.set("b", 1, {.ttl = Duration(1)});
  clock_.advance(Duration(1));
  EXPECT_EQ(store_.erase_range({.limit = 2}), 2U);
  EXPECT_EQ(seen({}), Keys{"e"});
}

TEST_P(EraseRange, NeverReachesOutsideItsRangeWhenAnEntryExpiresMeanwhile) {
  for (const bool descending : {false, true}) {
    SCOPED_TRACE(descending);
    // Each look at this clock is a millisecond later than the one before.
    std::int64_t now = 1'700'000'000'000;
    Options ticking = options();
    ticking.clock = [&now] { return Time(Duration(++now)); };
    for (int lifetime = 1; lifetime < 12; ++lifetime) {
      const TempDir dir;
      KVStore store = open_in(dir, ticking);
      store.set_many({{"a", 1}, {"z", 1}});
      store.set("p", 1, {.ttl = Duration(lifetime)});
      store.erase_range({.prefix = "p", .limit = 1, .descending = descending});
      EXPECT_EQ(store.keys(), (Keys{"a", "z"})) << lifetime;
    }
  }
}

class Scans : public Ranges {
 protected:
  static std::string numbered(int number) {
    std::string digits = std::to_string(number);
    return "k" + std::string(5 - digits.size(), '0') + digits;
  }

  Keys store_numbered(int count, int step = 1) {
    Keys keys;
    for (int i = 0; i < count; ++i) keys.push_back(numbered(i * step));
    store_keys(keys);
    return keys;
  }
};
KVSTORE_TEST_ON_EVERY_ENGINE(Scans);

TEST_P(Scans, GoThroughManyPagesInBothDirections) {
  Keys keys = store_numbered(1500);
  EXPECT_EQ(seen({}), keys);
  std::reverse(keys.begin(), keys.end());
  EXPECT_EQ(seen({.descending = true}), keys);
}

TEST_P(Scans, StopAtALimitWhereverAPageEnds) {
  const Keys keys = store_numbered(700);
  for (const std::size_t limit : {1U, 31U, 32U, 33U, 287U, 288U, 289U, 544U, 699U, 700U, 701U}) {
    const Keys expected(keys.begin(),
                        keys.begin() + static_cast<std::ptrdiff_t>(std::min(limit, keys.size())));
    EXPECT_EQ(seen({.limit = limit}), expected) << limit;
    EXPECT_EQ(seen({.limit = limit, .descending = true}).size(), expected.size()) << limit;
  }
}

TEST_P(Scans, EndRightlyWhereTheRangeEndsWithAPage) {
  for (const int count : {31, 32, 33, 288, 289}) {
    store_.erase_range({});
    const Keys keys = store_numbered(count);
    EXPECT_EQ(seen({}), keys) << count;
  }
}

TEST_P(Scans, GoThroughValuesLargerThanAPage) {
  const std::string large(700'000, 'x');
  for (int i = 0; i < 12; ++i) store_.set(numbered(i), large + std::to_string(i));
  int next = 0;
  for (const Entry& entry : store_.scan()) {
    EXPECT_EQ(entry.key, numbered(next));
    EXPECT_EQ(entry.value, large + std::to_string(next));
    ++next;
  }
  EXPECT_EQ(next, 12);
}

TEST_P(Scans, ShowWholeEntries) {
  const Revision revision = store_.set("k", {1}, {.ttl = Duration(9)});
  const Entry entry = all_entries(store_).at(0);
  EXPECT_EQ(entry.key, "k");
  EXPECT_EQ(entry.value, json({1}));
  EXPECT_EQ(entry.revision, revision);
  EXPECT_EQ(entry.updated_at, clock_.now());
  EXPECT_EQ(entry.expires_at, clock_.now() + Duration(9));
}

TEST_P(Scans, SeeWhatIsWrittenAheadOfThem) {
  store_numbered(600, 2);
  std::size_t seen = 0;
  bool saw_added = false;
  bool saw_removed = false;
  std::string changed;
  for (const Entry& entry : store_.scan()) {
    if (++seen == 1) {
      store_.set(numbered(1101), numbered(1101));
      store_.erase(numbered(1100));
      store_.set(numbered(1102), "changed");
    }
    saw_added = saw_added || entry.key == numbered(1101);
    saw_removed = saw_removed || entry.key == numbered(1100);
    if (entry.key == numbered(1102)) changed = entry.value;
  }
  EXPECT_EQ(seen, 600U);
  EXPECT_TRUE(saw_added);
  EXPECT_FALSE(saw_removed);
  EXPECT_EQ(changed, "changed");
}

TEST_P(Scans, DoNotGoBackToWhatIsWrittenBehindThem) {
  store_numbered(600, 2);
  Keys keys;
  for (const Entry& entry : store_.scan({.descending = true})) {
    keys.push_back(entry.key);
    store_.set(entry.key + "x", entry.key + "x");
  }
  EXPECT_EQ(keys.size(), 600U);
  EXPECT_TRUE(std::is_sorted(keys.rbegin(), keys.rend()));
}

TEST_P(Scans, MayEraseEveryEntryThatTheyShow) {
  store_numbered(600);
  std::size_t erased = 0;
  for (const Entry& entry : store_.scan()) erased += store_.erase(entry.key) ? 1U : 0U;
  EXPECT_EQ(erased, 600U);
  EXPECT_EQ(store_.count(), 0U);
}

TEST_P(Scans, EndWhenAllAheadOfThemIsErased) {
  store_numbered(600);
  std::size_t seen = 0;
  for (const Entry& entry : store_.scan()) {
    ++seen;
    store_.erase_range({.after = entry.key});
  }
  EXPECT_LT(seen, 600U);
  EXPECT_EQ(store_.keys(), Keys{numbered(0)});
}

TEST_P(Scans, HideWhatExpiresAheadOfThem) {
  store_numbered(600);
  store_.touch(numbered(599), Duration(5));
  Keys keys;
  for (const Entry& entry : store_.scan()) {
    if (keys.empty()) clock_.advance(Duration(5));
    keys.push_back(entry.key);
  }
  EXPECT_EQ(keys.size(), 599U);
  EXPECT_EQ(keys.back(), numbered(598));
}

TEST_P(Scans, LetTheCallerTakeTheEntriesThatTheyShow) {
  const Keys keys = store_numbered(600);
  Keys taken;
  for (Entry& entry : store_.scan()) {
    taken.push_back(std::move(entry.key));
    entry.key.clear();
    if (taken.size() > keys.size()) break;
  }
  EXPECT_EQ(taken, keys);
}

TEST_P(Scans, ShowEachDocumentWholeWhateverTheOneBeforeWasAndWhatBecameOfIt) {
  std::vector<json> documents;
  for (int i = 0; i < 60; ++i) {
    json document = {{"number", i}, {"list", std::vector<int>(static_cast<std::size_t>(i % 4), i)}};
    if (i % 3 == 0) document["more"] = {{"text", std::string(30, 'x')}};
    if (i % 5 == 0) document = document["list"];
    documents.push_back(document);
    store_.set(numbered(i), document);
  }
  std::vector<json> shown;
  for (Entry& entry : store_.scan()) {
    if (shown.size() % 2 == 0) {
      shown.push_back(std::move(entry.value));
    } else {
      shown.push_back(entry.value);
      if (entry.value.is_object()) entry.value["list"].push_back("of the caller");
    }
  }
  EXPECT_EQ(shown, documents);
}

TEST_P(Scans, AreInputRanges) {
  static_assert(std::input_iterator<Cursor::iterator>);
  static_assert(std::is_same_v<decltype(std::declval<Cursor&>().begin()), decltype(Cursor::end())>);
  static_assert(std::copyable<Cursor::iterator>);
  store_numbered(3);
  Cursor cursor = store_.scan();
  Cursor::iterator at = cursor.begin();
  EXPECT_EQ(at, cursor.begin());
  EXPECT_NE(at, Cursor::end());
  EXPECT_EQ(at->key, numbered(0));
  at++;
  EXPECT_EQ((*at).key, numbered(1));
  EXPECT_EQ(cursor.begin()->key, numbered(1));
  ++at;
  ++at;
  EXPECT_EQ(at, Cursor::end());
  EXPECT_EQ(Cursor::iterator(), Cursor::end());
}

TEST_P(Scans, OfDifferentCursorsAreNotEqual) {
  store_numbered(3);
  Cursor one = store_.scan();
  Cursor other = store_.scan();
  EXPECT_NE(one.begin(), other.begin());
}

TEST_P(Scans, GoOnWhereTheyWereWhenTheCursorIsMoved) {
  const Keys keys = store_numbered(600);
  Cursor first = store_.scan();
  Cursor::iterator at = first.begin();
  for (int i = 0; i < 30; ++i) ++at;
  Cursor second = std::move(first);
  Cursor third = store_.scan();
  third = std::move(second);
  Keys rest;
  for (; at != Cursor::end(); ++at) rest.push_back(at->key);
  EXPECT_EQ(rest, Keys(keys.begin() + 30, keys.end()));
}

TEST_P(Scans, MayRunBesideEachOther) {
  store_numbered(400);
  std::size_t pairs = 0;
  for (const Entry& outer : store_.scan({.limit = 40})) {
    for (const Entry& inner : store_.scan({.from = outer.key, .limit = 40})) {
      pairs += inner.key >= outer.key ? 1U : 0U;
    }
  }
  EXPECT_EQ(pairs, 1600U);
}

}  // namespace
}  // namespace kvstore::test
