#pragma once

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "support.hpp"

/// The behaviour that every engine must show. A test of it is a `TEST_P` of a suite derived from
/// `OnEveryEngine`; a further engine is one more line in `engines()`, and no test changes.
namespace kvstore::test {

/// An engine under test, and how an empty store is opened on it.
struct EngineUnderTest {
  std::string name{};
  std::function<KVStore(const TempDir& dir, const Options& options)> open{};

  friend std::ostream& operator<<(std::ostream& out, const EngineUnderTest& engine) {
    return out << engine.name;
  }
};

inline std::vector<EngineUnderTest> engines() {
  return {
      {"file", [](const TempDir& dir,
                  const Options& options) { return KVStore(dir.file("store.db"), options); }},
      {"memory",
       [](const TempDir& /*dir*/, const Options& options) { return KVStore(":memory:", options); }},
  };
}

inline std::string engine_name(const ::testing::TestParamInfo<EngineUnderTest>& info) {
  return info.param.name;
}

class OnEveryEngine : public ::testing::TestWithParam<EngineUnderTest> {
 protected:
  /// The injected clock; no test of behaviour needs power loss, so commits need not wait for it.
  [[nodiscard]] Options options() {
    Options options;
    options.clock = clock_.source();
    options.durability = Durability::normal;
    return options;
  }

  /// Another empty store. At most one of them, `store_` included, may live in a directory.
  [[nodiscard]] KVStore open_in(const TempDir& dir, const Options& options) const {
    return GetParam().open(dir, options);
  }

  TempDir dir_;
  FakeClock clock_;
  KVStore store_ = open_in(dir_, options());
};

/// A writing or reading verb that takes one key, for tests of what all of them have in common.
struct Verb {
  std::string name{};
  std::function<json(KVStore& store, std::string_view key)> call{};
};

inline json when_present(const auto& value) {
  return value ? json(*value) : json("absent");
}

inline std::vector<Verb> reading_verbs() {
  using namespace nlohmann::literals;
  return {
      {"get", [](KVStore& s, std::string_view k) { return when_present(s.get(k)); }},
      {"get_at",
       [](KVStore& s, std::string_view k) { return when_present(s.get(k, "/a"_json_pointer)); }},
      {"get_typed", [](KVStore& s, std::string_view k) { return when_present(s.get<json>(k)); }},
      {"get_or", [](KVStore& s, std::string_view k) { return s.get_or(k, json("fallback")); }},
      {"get_shared", [](KVStore& s, std::string_view k) { return when_present(s.get_shared(k)); }},
      {"get_text", [](KVStore& s, std::string_view k) { return when_present(s.get_text(k)); }},
      {"get_many",
       [](KVStore& s, std::string_view k) { return when_present(s.get_many({k}).at(0)); }},
      {"entry", [](KVStore& s, std::string_view k) { return json(s.entry(k).has_value()); }},
      {"contains", [](KVStore& s, std::string_view k) { return json(s.contains(k)); }},
  };
}

inline std::vector<Verb> writing_verbs() {
  using namespace nlohmann::literals;
  return {
      {"set", [](KVStore& s, std::string_view k) { return json(s.set(k, 7) > 0); }},
      {"set_at",
       [](KVStore& s, std::string_view k) { return json(s.set(k, "/x"_json_pointer, 7) > 0); }},
      {"set_text", [](KVStore& s, std::string_view k) { return json(s.set_text(k, "7") > 0); }},
      {"insert", [](KVStore& s, std::string_view k) { return json(s.insert(k, 7).has_value()); }},
      {"replace",
       [](KVStore& s, std::string_view k) { return json(s.replace(k, 7, 1).has_value()); }},
      {"update",
       [](KVStore& s, std::string_view k) {
         return when_present(s.update(k, [](json& v) { v = 7; }));
       }},
      {"update_or_start",
       [](KVStore& s, std::string_view k) {
         return s.update(k, json(1), [](json& v) { v = {v.type_name(), 7}; });
       }},
      {"merge", [](KVStore& s, std::string_view k) { return s.merge(k, 7); }},
      {"increment",
       [](KVStore& s, std::string_view k) { return json(s.increment(k, "/n"_json_pointer, 7)); }},
      {"erase", [](KVStore& s, std::string_view k) { return json(s.erase(k)); }},
      {"erase_revision", [](KVStore& s, std::string_view k) { return json(s.erase(k, 1)); }},
      {"touch", [](KVStore& s, std::string_view k) { return json(s.touch(k, Duration(1000))); }},
      {"set_many",
       [](KVStore& s, std::string_view k) {
         return json(s.set_many({{k, 7}}));
       }},
  };
}

inline std::vector<Verb> verbs_of_one_key() {
  std::vector<Verb> all = reading_verbs();
  for (Verb& verb : writing_verbs()) all.push_back(std::move(verb));
  return all;
}

inline std::vector<Verb> verbs_of_many_keys() {
  return {
      {"scan",
       [](KVStore& s, std::string_view k) {
         Cursor cursor = s.scan({.prefix = std::string(k)});
         return json(std::distance(cursor.begin(), Cursor::end()));
       }},
      {"keys",
       [](KVStore& s, std::string_view k) { return json(s.keys({.prefix = std::string(k)})); }},
      {"count",
       [](KVStore& s, std::string_view k) { return json(s.count({.prefix = std::string(k)})); }},
      {"erase_range",
       [](KVStore& s, std::string_view k) {
         return json(s.erase_range({.prefix = std::string(k)}));
       }},
  };
}

/// All that a store shows of its entries, in order.
inline std::vector<Entry> all_entries(const Reader& store, Range range = {}) {
  std::vector<Entry> entries;
  for (Entry& entry : store.scan(std::move(range))) entries.push_back(entry);
  return entries;
}

}  // namespace kvstore::test

/// Runs a suite derived from `OnEveryEngine` on every engine.
#define KVSTORE_TEST_ON_EVERY_ENGINE(suite)                                                \
  INSTANTIATE_TEST_SUITE_P(Engine, suite, ::testing::ValuesIn(::kvstore::test::engines()), \
                           ::kvstore::test::engine_name)
