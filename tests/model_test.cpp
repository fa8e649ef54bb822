#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <utility>

#include "behaviour.hpp"

namespace kvstore::test {
namespace {

/// What a store should be: the obvious thing, with nothing shared with the library.
class Model {
 public:
  struct Item {
    json value{};
    Revision revision = 0;
    std::optional<Time> expires_at{};
  };
  using Items = std::map<std::string, Item>;

  void show(Time now) {
    std::erase_if(items_, [&](const auto& item) {
      return item.second.expires_at && *item.second.expires_at <= now;
    });
  }

  [[nodiscard]] const Item* find(const std::string& key) const {
    const auto found = items_.find(key);
    return found == items_.end() ? nullptr : &found->second;
  }

  void put(const std::string& key, Item item) { items_[key] = std::move(item); }
  void expire_at(const std::string& key, std::optional<Time> time) {
    items_.at(key).expires_at = time;
  }
  bool erase(const std::string& key) { return items_.erase(key) != 0; }

  [[nodiscard]] std::vector<std::string> keys(const Range& range) const {
    std::vector<std::string> keys;
    for (const auto& [key, item] : items_) {
      const bool within = key.starts_with(range.prefix) && key >= range.from &&
                          (!range.after || key > *range.after) &&
                          (!range.until || key < *range.until);
      if (within) keys.push_back(key);
    }
    if (range.descending) std::reverse(keys.begin(), keys.end());
    if (range.limit != 0 && keys.size() > range.limit) keys.resize(range.limit);
    return keys;
  }

 private:
  Items items_;
};

class AgainstAModel {
 public:
  AgainstAModel(EngineUnderTest engine, bool lasting)
      : engine_(std::move(engine)), lasting_(lasting), random_(seed()) {
    options_.clock = clock_.source();
    options_.durability = Durability::normal;
    store_.emplace(engine_.open(dir_, options_));
    show_clock();
  }

  void run(std::size_t operations) {
    for (std::size_t i = 0; i < operations && !::testing::Test::HasFailure(); ++i) {
      SCOPED_TRACE("operation " + std::to_string(i) + " of seed " + std::to_string(seed()));
      step();
    }
    compare({});
    EXPECT_TRUE(store_->check().ok());
  }

 private:
  using Step = void (AgainstAModel::*)();

  void step() {
    static constexpr std::array<Step, 24> steps = {
        &AgainstAModel::set,         &AgainstAModel::set,      &AgainstAModel::set,
        &AgainstAModel::set_at,      &AgainstAModel::set_text, &AgainstAModel::insert,
        &AgainstAModel::insert,      &AgainstAModel::replace,  &AgainstAModel::replace,
        &AgainstAModel::update,      &AgainstAModel::update,   &AgainstAModel::update_or_start,
        &AgainstAModel::erase,       &AgainstAModel::erase,    &AgainstAModel::erase_revision,
        &AgainstAModel::erase_range, &AgainstAModel::touch,    &AgainstAModel::set_many,
        &AgainstAModel::get,         &AgainstAModel::get_many, &AgainstAModel::look,
        &AgainstAModel::look,        &AgainstAModel::clock,    &AgainstAModel::rarely,
    };
    (this->*steps[below(steps.size())])();
  }

  std::size_t below(std::size_t bound) {
    return std::uniform_int_distribution<std::size_t>(0, bound - 1)(random_);
  }
  bool one_in(std::size_t count) { return below(count) == 0; }

  /// Few keys, close together, with the bytes at both ends of what keys can hold.
  std::string key() {
    static const std::array<const char*, 6> parts = {"\x01", "a",        "b",
                                                     "/",    "\xC3\xA9", "\xF4\x8F\xBF\xBF"};
    std::string key;
    for (std::size_t length = below(4); length > 0; --length) key += parts[below(parts.size())];
    return key;
  }

  /// A bound need not be a key.
  std::string bound() {
    std::string bound = key();
    if (one_in(4)) bound += static_cast<char>(below(256));
    if (one_in(8) && !bound.empty()) bound.pop_back();
    return bound;
  }

  Range range() {
    Range range;
    if (one_in(2)) range.prefix = bound();
    if (one_in(3)) range.from = bound();
    if (one_in(3)) range.after = bound();
    if (one_in(3)) range.until = bound();
    if (one_in(2)) range.limit = below(60);
    range.descending = one_in(2);
    return range;
  }

  json value() {
    switch (below(5)) {
      case 0:
        return static_cast<std::int64_t>(random_());
      case 1:
        return std::string(below(300), 'x');
      case 2:
        return {{"a", random_()}, {"list", {1, 2.5, nullptr}}};
      case 3:
        return nullptr;
      default:
        return json::array({below(2) == 0});
    }
  }

  SetOptions how() {
    if (one_in(2)) return {};
    return {.ttl = Duration(static_cast<std::int64_t>(below(2000)) - 100)};
  }

  [[nodiscard]] std::optional<Time> expiry(const SetOptions& how) const {
    return how.ttl ? std::optional<Time>(now_ + *how.ttl) : std::nullopt;
  }

  void note(const std::string& key, const json& value, std::optional<Revision> revision,
            std::optional<Time> expires_at) {
    ASSERT_TRUE(revision);
    EXPECT_GT(*revision, latest_[key]) << "a revision was given out twice";
    latest_[key] = *revision;
    model_.put(key, {value, *revision, expires_at});
    model_.show(now_);
  }

  /// The revision of a write that does not return one.
  std::optional<Revision> revision_of(const std::string& key) {
    const std::optional<Entry> entry = store_->entry(key);
    return entry ? std::optional<Revision>(entry->revision) : latest_[key] + 1;
  }

  void set() {
    const std::string k = key();
    const json v = value();
    const SetOptions h = how();
    note(k, v, store_->set(k, v, h), expiry(h));
  }

  void set_at() {
    const std::string k = key();
    const Model::Item* item = model_.find(k);
    const bool allowed = item == nullptr || item->value.is_object();
    if (!allowed) {
      EXPECT_THROW(store_->set(k, json::json_pointer("/x/y"), 1), Error);
      return;
    }
    json expected = item == nullptr ? json::object() : item->value;
    const std::optional<Time> expires_at = item == nullptr ? std::nullopt : item->expires_at;
    expected["p"] = random_();
    note(k, expected, store_->set(k, json::json_pointer("/p"), expected["p"]), expires_at);
  }

  void set_text() {
    const std::string k = key();
    const json v = value();
    const SetOptions h = how();
    note(k, v, store_->set_text(k, v.dump(2), h), expiry(h));
  }

  void insert() {
    const std::string k = key();
    const json v = value();
    const SetOptions h = how();
    const std::optional<Revision> revision = store_->insert(k, v, h);
    EXPECT_EQ(revision.has_value(), model_.find(k) == nullptr);
    if (revision) note(k, v, revision, expiry(h));
  }

  void replace() {
    const std::string k = key();
    const json v = value();
    const SetOptions h = how();
    const Model::Item* item = model_.find(k);
    const Revision expected = one_in(3) || item == nullptr ? latest_[k] - 1 : item->revision;
    const std::optional<Revision> revision = store_->replace(k, v, expected, h);
    EXPECT_EQ(revision.has_value(), item != nullptr && item->revision == expected);
    if (revision) note(k, v, revision, expiry(h));
  }

  void update() {
    const std::string k = key();
    const json v = value();
    const Model::Item* item = model_.find(k);
    bool called = false;
    const std::optional<json> result = store_->update(k, [&](json& stored) {
      called = true;
      EXPECT_EQ(stored, item == nullptr ? json() : item->value);
      stored = v;
    });
    EXPECT_EQ(called, item != nullptr);
    EXPECT_EQ(result.has_value(), item != nullptr);
    if (item != nullptr) note(k, v, revision_of(k), std::optional(item->expires_at));
  }

  void update_or_start() {
    const std::string k = key();
    const json v = value();
    const Model::Item* item = model_.find(k);
    const json start = item == nullptr ? v : item->value;
    const std::optional<Time> expires_at = item == nullptr ? std::nullopt : item->expires_at;
    const json expected = json::array({start, 1});
    if (expected.dump().size() > 2000) return;  // what grows by every update must end somewhere
    EXPECT_EQ(store_->update(k, v,
                             [](json& stored) {
                               stored = json::array({stored, 1});
                             }),
              expected);
    note(k, expected, revision_of(k), expires_at);
  }

  void erase() {
    const std::string k = key();
    EXPECT_EQ(store_->erase(k), model_.erase(k));
  }

  void erase_revision() {
    const std::string k = key();
    const Model::Item* item = model_.find(k);
    const Revision expected = one_in(2) || item == nullptr ? latest_[k] - 1 : item->revision;
    const bool matches = item != nullptr && item->revision == expected;
    EXPECT_EQ(store_->erase(k, expected), matches);
    if (matches) model_.erase(k);
  }

  void erase_range() {
    Range r = range();
    if (!one_in(10)) r.limit = 1 + below(4);
    const std::vector<std::string> keys = model_.keys(r);
    EXPECT_EQ(store_->erase_range(r), keys.size());
    for (const std::string& k : keys) model_.erase(k);
  }

  void touch() {
    const std::string k = key();
    const SetOptions h = how();
    EXPECT_EQ(store_->touch(k, h.ttl), model_.find(k) != nullptr);
    if (model_.find(k) != nullptr) model_.expire_at(k, expiry(h));
    model_.show(now_);
  }

  void set_many() {
    std::vector<std::pair<std::string, json>> items;
    for (std::size_t count = below(20); count > 0; --count) items.emplace_back(key(), value());
    const SetOptions h = how();
    EXPECT_EQ(store_->set_many(items, h), items.size());
    const std::map<std::string, json> last(items.rbegin(), items.rend());
    for (const auto& [k, v] : last) note(k, v, revision_of(k), expiry(h));
  }

  void expect_same(const std::optional<Entry>& entry, const std::string& k) {
    const Model::Item* item = model_.find(k);
    ASSERT_EQ(entry.has_value(), item != nullptr);
    if (item == nullptr) return;
    EXPECT_EQ(entry->key, k);
    EXPECT_EQ(entry->value, item->value);
    EXPECT_EQ(entry->revision, item->revision);
    EXPECT_EQ(entry->expires_at, item->expires_at);
  }

  void get() {
    const std::string k = key();
    const Model::Item* item = model_.find(k);
    expect_same(store_->entry(k), k);
    EXPECT_EQ(store_->contains(k), item != nullptr);
    EXPECT_EQ(store_->get(k), item == nullptr ? std::nullopt : std::optional<json>(item->value));
  }

  void get_many() {
    std::vector<std::string> keys;
    for (std::size_t count = below(10); count > 0; --count) keys.push_back(key());
    const std::vector<std::optional<json>> values = store_->get_many(keys);
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const Model::Item* item = model_.find(keys[i]);
      EXPECT_EQ(values.at(i), item == nullptr ? std::nullopt : std::optional<json>(item->value));
    }
  }

  void look() { compare(range()); }

  void compare(const Range& r) {
    const std::vector<std::string> expected = model_.keys(r);
    EXPECT_EQ(store_->keys(r), expected);
    EXPECT_EQ(store_->count(r), expected.size());
    std::vector<std::string> scanned;
    for (const Entry& entry : store_->scan(r)) {
      scanned.push_back(entry.key);
      expect_same(entry, entry.key);
    }
    EXPECT_EQ(scanned, expected);
  }

  /// What the store has seen expired stays expired: its present moment is the latest it was shown.
  void clock() {
    clock_.advance(Duration(static_cast<std::int64_t>(below(900)) - 300));
    show_clock();
  }

  void show_clock() {
    now_ = std::max(now_, clock_.now());
    model_.show(now_);
    static_cast<void>(store_->count());
  }

  void rarely() {
    if (!one_in(10)) return;
    if (one_in(2) || !lasting_) {
      store_->purge_expired();
      return;
    }
    store_.reset();
    clock_.set(now_);
    store_.emplace(engine_.open(dir_, options_));
    show_clock();
  }

  EngineUnderTest engine_;
  bool lasting_;
  std::mt19937_64 random_;
  TempDir dir_;
  FakeClock clock_;
  Options options_;
  Time now_ = clock_.now();
  Model model_;
  std::map<std::string, Revision> latest_;
  std::optional<KVStore> store_;
};

class RandomHistory : public ::testing::TestWithParam<EngineUnderTest> {};
KVSTORE_TEST_ON_EVERY_ENGINE(RandomHistory);

TEST_P(RandomHistory, IsThatOfAMap) {
  AgainstAModel history(GetParam(), GetParam().name != "memory");
  history.run(long_run() ? 1'000'000 : 20'000);
}

}  // namespace
}  // namespace kvstore::test
