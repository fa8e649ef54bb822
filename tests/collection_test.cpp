#include <concepts>
#include <iterator>
#include <list>
#include <map>
#include <optional>
#include <stdexcept>
#include <thread>

#include "behaviour.hpp"
#include "outside.hpp"

namespace kvstore::test {
namespace {

struct Order {
  std::string user{};
  int total = 0;
  bool operator==(const Order&) const = default;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Order, user, total)

using Keys = std::vector<std::string>;

class Collections : public OnEveryEngine {
 protected:
  Collection<Order> orders_ = store_.collection<Order>("orders");
};
KVSTORE_TEST_ON_EVERY_ENGINE(Collections);

TEST_P(Collections, GiveBackWhatWasStored) {
  const Revision revision = orders_.set("1", {.user = "ada", .total = 7});
  EXPECT_EQ(orders_.get("1"), (Order{"ada", 7}));
  EXPECT_TRUE(orders_.contains("1"));
  EXPECT_FALSE(orders_.contains("2"));
  EXPECT_EQ(orders_.get("2"), std::nullopt);
  EXPECT_EQ(orders_.get_or("2", {"nobody", 0}), (Order{"nobody", 0}));
  const auto entry = orders_.entry("1");
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->key, "1");
  EXPECT_EQ(entry->value, (Order{"ada", 7}));
  EXPECT_EQ(entry->revision, revision);
  EXPECT_EQ(entry->updated_at, clock_.now());
  EXPECT_EQ(entry->expires_at, std::nullopt);
  EXPECT_EQ(orders_.entry("2"), std::nullopt);
}

TEST_P(Collections, AreTheKeysBelowTheirName) {
  orders_.set("1", {"ada", 7});
  EXPECT_EQ(store_.get("orders/1"), json({{"user", "ada"}, {"total", 7}}));
  store_.set("orders/2", {{"user", "bob"}, {"total", 8}});
  EXPECT_EQ(orders_.get("2"), (Order{"bob", 8}));
  EXPECT_EQ(orders_.name(), "orders");
}

TEST_P(Collections, NeverSeeANameThatBeginsAlike) {
  const std::vector<std::string> outside = {"orders",  "orders-old/1", "orders0", "orders.",
                                            "order/1", "ordersx/1",    ""};
  for (const std::string& key : outside) store_.set(key, 1);
  orders_.set("1", {"ada", 7});
  orders_.set("", {"empty", 0});
  EXPECT_EQ(orders_.keys(), (Keys{"", "1"}));
  EXPECT_EQ(orders_.count(), 2U);
  std::size_t scanned = 0;
  for (const auto& entry : orders_.scan()) scanned += entry.key.size() + 1;
  EXPECT_EQ(scanned, 3U);
  EXPECT_EQ(orders_.erase_range({}), 2U);
  EXPECT_EQ(store_.count(), outside.size());
}

TEST_P(Collections, TakeNoSignForAWildcard) {
  store_.set("a%/1", 1);
  store_.set("ab/1", 2);
  store_.set("a_/1", 3);
  EXPECT_EQ(store_.collection<int>("a%").get_many({"1"}), (std::vector<std::optional<int>>{1}));
  EXPECT_EQ(store_.collection<int>("a_").keys(), Keys{"1"});
  EXPECT_EQ(store_.collection<int>("a_").clear(), 1U);
  EXPECT_EQ(store_.keys(), (Keys{"a%/1", "ab/1"}));
}

TEST_P(Collections, ReadManyInTheOrderOfTheCall) {
  orders_.set("1", {"ada", 1});
  orders_.set("2", {"bob", 2});
  const Keys wanted = {"2", "absent", "1", "2"};
  const std::vector<std::optional<Order>> expected = {Order{"bob", 2}, std::nullopt,
                                                      Order{"ada", 1}, Order{"bob", 2}};
  EXPECT_EQ(orders_.get_many(wanted), expected);
  EXPECT_EQ(orders_.get_many({"1", "absent"}),
            (std::vector<std::optional<Order>>{Order{"ada", 1}, std::nullopt}));
}

TEST_P(Collections, AreScannedInOrderWithKeysOfTheirOwn) {
  for (int i = 0; i < 1000; ++i) orders_.set(std::to_string(1000 + i), {"ada", i});
  int next = 0;
  for (TypedEntry<Order>& entry : orders_.scan()) {
    ASSERT_EQ(entry.key, std::to_string(1000 + next));
    ASSERT_EQ(entry.value.total, next);
    ++next;
  }
  EXPECT_EQ(next, 1000);
}

TEST_P(Collections, NarrowARangeByKeysOfTheirOwn) {
  store_.set("aaa", 1);
  store_.set("zzz", 1);
  for (const char* key : {"a", "b1", "b2", "c"}) orders_.set(key, {key, 0});
  EXPECT_EQ(orders_.keys({.prefix = "b"}), (Keys{"b1", "b2"}));
  EXPECT_EQ(orders_.keys({.from = "b2"}), (Keys{"b2", "c"}));
  EXPECT_EQ(orders_.keys({.after = "b2"}), Keys{"c"});
  EXPECT_EQ(orders_.keys({.until = "b1"}), Keys{"a"});
  EXPECT_EQ(orders_.keys({.after = ""}), (Keys{"a", "b1", "b2", "c"}));
  EXPECT_EQ(orders_.keys({.until = ""}), Keys{});
  EXPECT_EQ(orders_.keys({.limit = 2, .descending = true}), (Keys{"c", "b2"}));
  EXPECT_EQ(orders_.count({.from = "b", .until = "c"}), 2U);
  EXPECT_EQ(orders_.erase_range({.limit = 1, .descending = true}), 1U);
  EXPECT_EQ(orders_.keys(), (Keys{"a", "b1", "b2"}));
  Keys scanned;
  for (const auto& entry : orders_.scan({.prefix = "b", .descending = true})) {
    scanned.push_back(entry.key);
  }
  EXPECT_EQ(scanned, (Keys{"b2", "b1"}));
}

TEST_P(Collections, InsertAndReplaceOnlyWhatIsAsExpected) {
  const auto first = orders_.insert("1", {"ada", 1});
  ASSERT_TRUE(first);
  EXPECT_EQ(orders_.insert("1", {"bob", 2}), std::nullopt);
  const auto second = orders_.replace("1", {"ada", 2}, *first);
  ASSERT_TRUE(second);
  EXPECT_EQ(orders_.replace("1", {"ada", 3}, *first), std::nullopt);
  EXPECT_EQ(orders_.get("1"), (Order{"ada", 2}));
  EXPECT_FALSE(orders_.erase("1", *first));
  EXPECT_TRUE(orders_.erase("1", *second));
  EXPECT_FALSE(orders_.erase("1"));
}

TEST_P(Collections, ChangeAValueInPlace) {
  EXPECT_EQ(orders_.update("1", [](Order&) { FAIL() << "there is none"; }), std::nullopt);
  EXPECT_EQ(orders_.update("1", {"ada", 1}, [](Order& order) { order.total += 1; }),
            (Order{"ada", 2}));
  EXPECT_EQ(orders_.update("1", [](Order& order) { order.total += 1; }), (Order{"ada", 3}));
  EXPECT_EQ(orders_.get("1"), (Order{"ada", 3}));
  EXPECT_THROW(orders_.update("1",
                              [](Order& order) {
                                order.total = 0;
                                throw std::domain_error("no");
                              }),
               std::domain_error);
  EXPECT_EQ(orders_.get("1"), (Order{"ada", 3}));
}

TEST_P(Collections, GiveTheirEntriesAnExpiry) {
  orders_.set("1", {"ada", 1}, {.ttl = Duration(10)});
  orders_.set("2", {"bob", 2});
  EXPECT_TRUE(orders_.touch("2", Duration(5)));
  EXPECT_FALSE(orders_.touch("3", Duration(5)));
  EXPECT_EQ(orders_.entry("2")->expires_at, clock_.now() + Duration(5));
  clock_.advance(Duration(5));
  EXPECT_EQ(orders_.keys(), Keys{"1"});
  clock_.advance(Duration(5));
  EXPECT_EQ(orders_.count(), 0U);
}

/// Something that names its parts in its own way.
struct Line {
  std::string text{};
  [[nodiscard]] const std::string& key() const { return text; }
  [[nodiscard]] Order value() const { return {text, 9}; }
};

TEST_P(Collections, TakeManyFromAnyRange) {
  EXPECT_EQ(orders_.set_many({{"1", {.user = "ada", .total = 1}}, {"2", {"bob", 2}}}), 2U);
  EXPECT_EQ(orders_.set_many(std::map<std::string, Order>{{"3", {"eve", 3}}}), 1U);
  EXPECT_EQ(orders_.set_many(std::list<std::pair<const char*, Order>>{{"4", {"kim", 4}}}), 1U);
  EXPECT_EQ(orders_.set_many(std::vector<Line>{{"5"}}), 1U);
  std::vector<std::pair<std::string, Order>> lasting = {{"6", {"lee", 6}}};
  EXPECT_EQ(orders_.set_many(lasting, {.ttl = Duration(5)}), 1U);
  EXPECT_EQ(orders_.keys(), (Keys{"1", "2", "3", "4", "5", "6"}));
  EXPECT_EQ(orders_.get("5"), (Order{"5", 9}));
  EXPECT_EQ(orders_.entry("6")->expires_at, clock_.now() + Duration(5));
  const json document = {{"a", 1}, {"b", 2}};
  EXPECT_EQ(store_.collection<int>("numbers").set_many(document.items()), 2U);
  EXPECT_EQ(store_.get("numbers/b"), json(2));
}

TEST_P(Collections, TakeTheEntriesOfAnotherOne) {
  orders_.set("1", {"ada", 1}, {.ttl = Duration(5)});
  orders_.set("2", {"bob", 2});
  const TempDir directory;
  KVStore other = open_in(directory, options());
  auto kept = other.collection<Order>("kept");
  EXPECT_EQ(kept.set_many(orders_.scan()), 2U);
  EXPECT_EQ(kept.entry("1")->expires_at, clock_.now() + Duration(5));
  EXPECT_EQ(other.keys(), (Keys{"kept/1", "kept/2"}));
}

TEST_P(Collections, StoreManyOrNone) {
  auto numbers = store_.collection<double>("numbers");
  EXPECT_KV_ERROR(numbers.set_many({{"a", 1.0}, {"b", std::nan("")}}), ErrorCode::invalid_value,
                  "numbers/b");
  EXPECT_EQ(numbers.count(), 0U);
}

TEST_P(Collections, AreClearedWithAllInsideThem) {
  orders_.set("1", {"ada", 1});
  orders_.set("2024/1", {"bob", 2});
  store_.set("orders", "stays");
  store_.set("orders2/1", "stays");
  EXPECT_EQ(orders_.clear(), 2U);
  EXPECT_EQ(orders_.clear(), 0U);
  EXPECT_EQ(store_.count(), 2U);
}

TEST_P(Collections, ContainOthers) {
  auto year = orders_.collection<Order>("2024");
  year.set("1", {"ada", 1});
  EXPECT_EQ(year.name(), "orders/2024");
  EXPECT_EQ(store_.keys(), Keys{"orders/2024/1"});
  EXPECT_EQ(orders_.keys(), Keys{"2024/1"});
  EXPECT_EQ(store_.collection<Order>("orders/2024").get("1"), (Order{"ada", 1}));
  const Collection<const Order> reading = orders_;
  EXPECT_EQ(reading.collection<json>("2024").get("1")->at("total"), 1);
  EXPECT_KV_ERROR(orders_.collection<int>(""), ErrorCode::invalid_key, "ends with '/'");
}

TEST_P(Collections, RefuseABadName) {
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"", "empty"},     {"/", "'/'"},       {"/a", "begins"},
      {"a/", "ends"},    {"a//b", "two"},    {std::string("a\0b", 3), "NUL"},
      {"\xFF", "UTF-8"}, {"a/\xC3", "UTF-8"}};
  for (const auto& [name, why] : bad) {
    SCOPED_TRACE(::testing::PrintToString(name));
    EXPECT_KV_ERROR(store_.collection<int>(name), ErrorCode::invalid_key, why);
    EXPECT_KV_ERROR(std::as_const(store_).collection<int>(name), ErrorCode::invalid_key, why);
  }
  store_.collection<int>("ünï cödé.%_*").set("k", 1);
  EXPECT_EQ(store_.keys(), Keys{"ünï cödé.%_*/k"});
}

TEST_P(Collections, CountTheirNameForTheLengthOfAKey) {
  const std::string longest(Options().max_key_bytes - 7, 'k');
  orders_.set(longest, {"ada", 1});
  EXPECT_KV_ERROR(orders_.set(longest + "k", {"ada", 1}), ErrorCode::invalid_key, "1024");
  EXPECT_KV_ERROR(orders_.get("a\xFF"), ErrorCode::invalid_key, "UTF-8");
}

TEST_P(Collections, SayWithTheWholeKeyWhatIsNoT) {
  store_.set("orders/1", {{"user", "ada"}});
  store_.set("orders/2", "text");
  EXPECT_KV_ERROR(orders_.get("1"), ErrorCode::type_mismatch, "\"orders/1\"");
  EXPECT_KV_ERROR(orders_.get_or("2", {}), ErrorCode::type_mismatch, "\"orders/2\"");
  EXPECT_KV_ERROR(orders_.get_many({"2"}), ErrorCode::type_mismatch, "\"orders/2\"");
  EXPECT_KV_ERROR(orders_.entry("2"), ErrorCode::type_mismatch, "\"orders/2\"");
  EXPECT_KV_ERROR(orders_.update("2", [](Order&) {}), ErrorCode::type_mismatch, "\"orders/2\"");
  EXPECT_EQ(store_.get("orders/2"), json("text"));
}

TEST_P(Collections, AreScannedOnBehindWhatIsNoT) {
  orders_.set("1", {"ada", 1});
  store_.set("orders/2", "text");
  orders_.set("3", {"bob", 3});
  auto rows = orders_.scan();
  Keys good;
  int bad = 0;
  for (auto row = rows.begin(); row != TypedCursor<Order>::end(); ++row) {
    try {
      good.push_back(row->key);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::type_mismatch);
      EXPECT_KV_ERROR(*row, ErrorCode::type_mismatch, "\"orders/2\"");
      ++bad;
    }
  }
  EXPECT_EQ(good, (Keys{"1", "3"}));
  EXPECT_EQ(bad, 1);
}

TEST_P(Collections, HoldPlainTypesAndDocuments) {
  auto names = store_.collection<std::string>("names");
  names.set("a", "ada");
  EXPECT_EQ(names.get_or("b", "nobody"), "nobody");
  auto lists = store_.collection<std::vector<int>>("lists");
  lists.set("a", {1, 2});
  EXPECT_EQ(lists.get("a"), (std::vector<int>{1, 2}));
  auto documents = store_.collection<json>("documents");
  documents.set("a", {{"b", json::array({1, 1.0, nullptr})}});
  documents.set("list", json::array({1}));
  EXPECT_EQ(documents.get("a")->dump(), R"({"b":[1,1.0,null]})");
  EXPECT_EQ(documents.update("list", [](json& list) { list.push_back(2); }), json({1, 2}));
  auto numbers = store_.collection<std::int64_t>("numbers");
  numbers.set("n", 7);
  EXPECT_EQ(numbers.replace("n", 8, numbers.entry("n")->revision).has_value(), true);
  store_.set("numbers/x", 7.5);
  EXPECT_KV_ERROR(numbers.get("x"), ErrorCode::type_mismatch, "fraction");
}

TEST_P(Collections, OfATransactionAreSeenByItAlone) {
  {
    Transaction tx = store_.begin();
    auto inside = tx.collection<Order>("orders");
    inside.set("1", {"ada", 1});
    EXPECT_EQ(inside.get("1"), (Order{"ada", 1}));
    EXPECT_EQ(tx.collections(), Keys{"orders"});
    EXPECT_KV_ERROR(orders_.get("1"), ErrorCode::misuse, "transaction");
  }
  EXPECT_EQ(orders_.count(), 0U);
  store_.transaction([](Transaction& tx) {
    tx.collection<Order>("orders").set_many({{"1", {"ada", 1}}, {"2", {"bob", 2}}});
  });
  EXPECT_EQ(orders_.count(), 2U);
}

TEST_P(Collections, EndWithTheirTransaction) {
  Transaction tx = store_.begin();
  auto inside = tx.collection<Order>("orders");
  auto rows = inside.scan();
  tx.commit();
  EXPECT_KV_ERROR(inside.get("1"), ErrorCode::misuse, "over");
  EXPECT_KV_ERROR(inside.set("1", {}), ErrorCode::misuse, "over");
  EXPECT_KV_ERROR(inside.collections(), ErrorCode::misuse, "over");
  EXPECT_KV_ERROR(rows.begin(), ErrorCode::misuse, "over");
}

TEST_P(Collections, OfASnapshotKeepItsMoment) {
  orders_.set("1", {"ada", 1});
  std::optional<Snapshot> snapshot = store_.snapshot();
  const Collection<const Order> then = snapshot->collection<Order>("orders");
  orders_.set("1", {"ada", 2});
  store_.set("users/1", 1);
  EXPECT_EQ(then.get("1"), (Order{"ada", 1}));
  EXPECT_EQ(snapshot->collections(), Keys{"orders"});
  snapshot.reset();
  EXPECT_KV_ERROR(then.get("1"), ErrorCode::misuse, "gone");
}

TEST_P(Collections, AnswerMisuseAfterTheStoreIsClosed) {
  std::optional<KVStore> store = std::move(store_);
  orders_.set("1", {"ada", 1});  // moving the store disturbs nothing
  store->close();
  EXPECT_KV_ERROR(orders_.get("1"), ErrorCode::misuse, "closed");
  EXPECT_KV_ERROR(orders_.set("1", {}), ErrorCode::misuse, "closed");
  store.reset();
  EXPECT_KV_ERROR(orders_.keys(), ErrorCode::misuse, "closed");
  // NOLINTNEXTLINE(bugprone-use-after-move): the point of the test
  EXPECT_KV_ERROR(store_.collection<int>("n"), ErrorCode::misuse, "moved from");
}

TEST_P(Collections, AreTheSameWhenCopiedMovedAndAssigned) {
  Collection<Order> copy = orders_;
  Collection<Order> moved = std::move(copy);
  moved.set("1", {"ada", 1});
  // NOLINTNEXTLINE(bugprone-use-after-move): the point of the test
  EXPECT_EQ(copy.get("1"), (Order{"ada", 1}));
  moved = store_.collection<Order>("others");
  EXPECT_EQ(moved.name(), "others");
  EXPECT_EQ(moved.count(), 0U);
}

TEST_P(Collections, ServeManyThreads) {
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        orders_.update("1", {}, [](Order& order) { ++order.total; });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(orders_.get("1")->total, 200);
}

/// What a typed view lets its user do.
template <class C>
concept Writable = requires(C collection) {
  collection.set("k", Order{});
};
template <class C>
concept Readable = requires(const C collection) {
  collection.get("k");
};
template <class T>
concept OfType =
    std::same_as<decltype(std::declval<KVStore&>().template collection<T>("c")), Collection<T>>;
static_assert(OfType<Order> && OfType<int>);
static_assert(Writable<Collection<Order>> && Readable<Collection<Order>>);
static_assert(!Writable<Collection<const Order>> && Readable<Collection<const Order>>);
static_assert(std::same_as<decltype(std::declval<const KVStore&>().collection<Order>("c")),
                           Collection<const Order>>);
static_assert(std::same_as<decltype(std::declval<Snapshot&>().collection<Order>("c")),
                           Collection<const Order>>);
static_assert(
    std::same_as<decltype(std::declval<Transaction&>().collection<Order>("c")), Collection<Order>>);
static_assert(std::input_iterator<TypedCursor<Order>::iterator>);
static_assert(std::convertible_to<Collection<Order>, Collection<const Order>>);
static_assert(!std::convertible_to<Collection<const Order>, Collection<Order>>);

/// A type without a default value.
class Celsius {
 public:
  explicit Celsius(double degrees) : degrees_(degrees) {}
  [[nodiscard]] double degrees() const { return degrees_; }

 private:
  double degrees_;
};

}  // namespace
}  // namespace kvstore::test

template <>
struct nlohmann::adl_serializer<kvstore::test::Celsius> {
  static kvstore::test::Celsius from_json(const json& value) {
    return kvstore::test::Celsius(value.get<double>());
  }
  static void to_json(json& value, const kvstore::test::Celsius& celsius) {
    value = celsius.degrees();
  }
};

namespace kvstore::test {
namespace {

TEST_P(Collections, HoldTypesWithoutADefault) {
  auto readings = store_.collection<Celsius>("readings");
  readings.set("1", Celsius(21.5));
  readings.set_many({{"2", Celsius(22)}});
  EXPECT_EQ(readings.get("1")->degrees(), 21.5);
  EXPECT_EQ(readings.get_many({"2"}).at(0)->degrees(), 22);
  EXPECT_EQ(readings.update("2", [](Celsius& value) { value = Celsius(23); })->degrees(), 23);
  double sum = 0;
  for (const auto& entry : readings.scan()) sum += entry.value.degrees();
  EXPECT_EQ(sum, 44.5);
}

class CollectionNames : public OnEveryEngine {};
KVSTORE_TEST_ON_EVERY_ENGINE(CollectionNames);

TEST_P(CollectionNames, AreTheFirstPartsOfTheKeys) {
  EXPECT_EQ(store_.collections(), Keys{});
  for (const char* key : {"", "flat", "orders", "orders/1", "orders/2024/1", "users/", "/odd",
                          "//odder", "a/b/c", "zz"}) {
    store_.set(key, 1);
  }
  EXPECT_EQ(store_.collections(), (Keys{"a", "orders", "users"}));
}

TEST_P(CollectionNames, ComeInTheirOwnOrder) {
  // In the order of the keys, "a!/1" stands before "a/1".
  for (const char* key : {"a/1", "a!/1", "a0/1", "A/1", "ä/1"}) store_.set(key, 1);
  EXPECT_EQ(store_.collections(), (Keys{"A", "a", "a!", "a0", "ä"}));
}

TEST_P(CollectionNames, OfACollectionAreThoseDirectlyInsideIt) {
  for (const char* key : {"orders/1", "orders/2023/1", "orders/2024/1", "orders/2024/eu/1",
                          "orders2/x/1", "orders//1"}) {
    store_.set(key, 1);
  }
  EXPECT_EQ(store_.collection<int>("orders").collections(), (Keys{"2023", "2024"}));
  EXPECT_EQ(std::as_const(store_).collection<int>("orders/2024").collections(), Keys{"eu"});
  EXPECT_EQ(store_.collection<int>("absent").collections(), Keys{});
}

TEST_P(CollectionNames, LeaveOutWhatHasExpired) {
  store_.set("gone/1", 1, {.ttl = Duration(5)});
  store_.set("gone/2", 1, {.ttl = Duration(5)});
  store_.set("half/1", 1, {.ttl = Duration(5)});
  store_.set("half/2", 1, {.ttl = Duration(6)});
  store_.set("kept/1", 1);
  EXPECT_EQ(store_.collections(), (Keys{"gone", "half", "kept"}));
  clock_.advance(Duration(5));
  EXPECT_EQ(store_.collections(), (Keys{"half", "kept"}));
}

TEST_P(CollectionNames, EndWithTheLastEntry) {
  store_.set("orders/1", 1);
  store_.erase("orders/1");
  EXPECT_EQ(store_.collections(), Keys{});
}

TEST(CollectionNamesOfAFile, AreReadWithoutTheValues) {
  const TempDir directory;
  {
    KVStore store(directory.file("store.db"));
    store.set("orders/1", 1);
    store.set("orders/2", 1);
  }
  Outside(directory.file("store.db")).run("UPDATE kv SET checksum = 1");
  const KVStore store(directory.file("store.db"));
  EXPECT_KV_ERROR(store.get("orders/1"), ErrorCode::corrupt, "orders/1");
  EXPECT_EQ(store.collections(), Keys{"orders"});
}

}  // namespace
}  // namespace kvstore::test
