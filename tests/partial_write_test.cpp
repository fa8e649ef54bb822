#include <cstdint>
#include <limits>

#include "behaviour.hpp"

namespace kvstore::test {
namespace {

using namespace nlohmann::literals;

constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t smallest = std::numeric_limits<std::int64_t>::min();
constexpr std::uint64_t largest_unsigned = std::numeric_limits<std::uint64_t>::max();

class Merge : public OnEveryEngine {};
KVSTORE_TEST_ON_EVERY_ENGINE(Merge);

struct MergeCase {
  const char *original, *patch, *result;
};

/// RFC 7396, appendix A.
constexpr MergeCase merge_cases[] = {
    {R"({"a":"b"})", R"({"a":"c"})", R"({"a":"c"})"},
    {R"({"a":"b"})", R"({"b":"c"})", R"({"a":"b","b":"c"})"},
    {R"({"a":"b"})", R"({"a":null})", R"({})"},
    {R"({"a":"b","b":"c"})", R"({"a":null})", R"({"b":"c"})"},
    {R"({"a":["b"]})", R"({"a":"c"})", R"({"a":"c"})"},
    {R"({"a":"c"})", R"({"a":["b"]})", R"({"a":["b"]})"},
    {R"({"a":{"b":"c"}})", R"({"a":{"b":"d","c":null}})", R"({"a":{"b":"d"}})"},
    {R"({"a":[{"b":"c"}]})", R"({"a":[1]})", R"({"a":[1]})"},
    {R"(["a","b"])", R"(["c","d"])", R"(["c","d"])"},
    {R"({"a":"b"})", R"(["c"])", R"(["c"])"},
    {R"({"a":"foo"})", R"(null)", R"(null)"},
    {R"({"a":"foo"})", R"("bar")", R"("bar")"},
    {R"({"e":null})", R"({"a":1})", R"({"e":null,"a":1})"},
    {R"([1,2])", R"({"a":"b","c":null})", R"({"a":"b"})"},
    {R"({})", R"({"a":{"bb":{"ccc":null}}})", R"({"a":{"bb":{}}})"},
};

TEST_P(Merge, DoesWhatTheStandardShows) {
  for (const MergeCase& c : merge_cases) {
    SCOPED_TRACE(c.patch);
    store_.set_text("k", c.original);
    EXPECT_EQ(store_.merge("k", json::parse(c.patch)), json::parse(c.result));
    EXPECT_EQ(store_.get("k"), json::parse(c.result));
  }
}

TEST_P(Merge, StartsAnAbsentValueAsAnEmptyObject) {
  EXPECT_EQ(store_.merge("k", {{"a", 1}, {"b", nullptr}}), json({{"a", 1}}));
}

TEST_P(Merge, KeepsTheExpiry) {
  store_.set("k", json::object(), {.ttl = Duration(5)});
  store_.merge("k", {{"a", 1}});
  EXPECT_EQ(store_.entry("k")->expires_at, clock_.now() + Duration(5));
}

TEST_P(Merge, RefusesWhatCannotBeStored) {
  store_.set("k", {{"a", 1}});
  EXPECT_KV_ERROR(store_.merge("k", {{"a", std::numeric_limits<double>::infinity()}}),
                  ErrorCode::invalid_value, "/a");
  EXPECT_EQ(store_.get("k"), json({{"a", 1}}));
}

class Patch : public OnEveryEngine {};
KVSTORE_TEST_ON_EVERY_ENGINE(Patch);

struct PatchCase {
  const char *original, *operations, *result;
};

/// RFC 6902, appendix A, and places at their edges.
constexpr PatchCase patch_cases[] = {
    {R"({"foo":"bar"})", R"([{"op":"add","path":"/baz","value":"qux"}])",
     R"({"baz":"qux","foo":"bar"})"},
    {R"({"foo":["bar","baz"]})", R"([{"op":"add","path":"/foo/1","value":"qux"}])",
     R"({"foo":["bar","qux","baz"]})"},
    {R"({"baz":"qux","foo":"bar"})", R"([{"op":"remove","path":"/baz"}])", R"({"foo":"bar"})"},
    {R"({"foo":["bar","qux","baz"]})", R"([{"op":"remove","path":"/foo/1"}])",
     R"({"foo":["bar","baz"]})"},
    {R"({"baz":"qux","foo":"bar"})", R"([{"op":"replace","path":"/baz","value":"boo"}])",
     R"({"baz":"boo","foo":"bar"})"},
    {R"({"foo":{"bar":"baz","waldo":"fred"},"qux":{"corge":"grault"}})",
     R"([{"op":"move","from":"/foo/waldo","path":"/qux/thud"}])",
     R"({"foo":{"bar":"baz"},"qux":{"corge":"grault","thud":"fred"}})"},
    {R"({"foo":["all","grass","cows","eat"]})",
     R"([{"op":"move","from":"/foo/1","path":"/foo/3"}])",
     R"({"foo":["all","cows","eat","grass"]})"},
    {R"({"baz":"qux","foo":["a",2,"c"]})",
     R"([{"op":"test","path":"/baz","value":"qux"},{"op":"test","path":"/foo/1","value":2}])",
     R"({"baz":"qux","foo":["a",2,"c"]})"},
    {R"({"foo":"bar"})", R"([{"op":"add","path":"/child","value":{"grandchild":{}}}])",
     R"({"foo":"bar","child":{"grandchild":{}}})"},
    {R"({"foo":"bar"})", R"([{"op":"add","path":"/baz","value":"qux","xyz":123}])",
     R"({"foo":"bar","baz":"qux"})"},
    {R"({"/":9,"~1":10})", R"([{"op":"test","path":"/~01","value":10}])", R"({"/":9,"~1":10})"},
    {R"({"foo":["bar"]})", R"([{"op":"add","path":"/foo/-","value":["abc","def"]}])",
     R"({"foo":["bar",["abc","def"]]})"},
    {R"({"a":1})", R"([{"op":"add","path":"","value":[1]}])", R"([1])"},
    {R"({"a":1})", R"([{"op":"replace","path":"","value":2}])", R"(2)"},
    {R"({"a":{"b":1}})", R"([{"op":"copy","from":"/a","path":"/a/c"}])",
     R"({"a":{"b":1,"c":{"b":1}}})"},
    {R"({"a":{"b":1}})", R"([{"op":"copy","from":"","path":"/c"}])",
     R"({"a":{"b":1},"c":{"a":{"b":1}}})"},
    {R"({"a":{"b":1}})", R"([{"op":"move","from":"/a/b","path":"/a"}])", R"({"a":1})"},
    {R"({"a":1})", R"([{"op":"move","from":"/a","path":"/a"}])", R"({"a":1})"},
    {R"([1])", R"([{"op":"add","path":"/1","value":2}])", R"([1,2])"},
    {R"({"":1})", R"([{"op":"replace","path":"/","value":2}])", R"({"":2})"},
    {R"({"a":1})", R"([])", R"({"a":1})"},
};

TEST_P(Patch, DoesWhatTheStandardShows) {
  for (const PatchCase& c : patch_cases) {
    SCOPED_TRACE(c.operations);
    store_.set_text("k", c.original);
    EXPECT_EQ(store_.patch("k", json::parse(c.operations)), json::parse(c.result));
    EXPECT_EQ(store_.get("k"), json::parse(c.result));
  }
}

struct BadPatch {
  const char *operations, *part;
  ErrorCode code;
};

constexpr BadPatch bad_patches[] = {
    {R"({"op":"add"})", "array", ErrorCode::invalid_value},
    {R"([7])", "operation 0", ErrorCode::invalid_value},
    {R"([{"path":"/a","value":1}])", "\"op\"", ErrorCode::invalid_value},
    {R"([{"op":"add","value":1}])", "\"path\"", ErrorCode::invalid_value},
    {R"([{"op":"add","path":"/a"}])", "\"value\"", ErrorCode::invalid_value},
    {R"([{"op":"replace","path":"/a"}])", "\"value\"", ErrorCode::invalid_value},
    {R"([{"op":"test","path":"/a"}])", "\"value\"", ErrorCode::invalid_value},
    {R"([{"op":"move","path":"/a"}])", "\"from\"", ErrorCode::invalid_value},
    {R"([{"op":"copy","path":"/a"}])", "\"from\"", ErrorCode::invalid_value},
    {R"([{"op":7,"path":"/a"}])", "not a string", ErrorCode::invalid_value},
    {R"([{"op":"add","path":7,"value":1}])", "not a string", ErrorCode::invalid_value},
    {R"([{"op":"add","path":"a","value":1}])", "operation 0", ErrorCode::invalid_value},
    {R"([{"op":"add","path":"/~2","value":1}])", "operation 0", ErrorCode::invalid_value},
    {R"([{"op":"spam","path":"/a"}])", "spam", ErrorCode::invalid_value},
    {R"([{"op":"add","path":"/x/y","value":1}])", "nothing at \"/x\"", ErrorCode::conflict},
    {R"([{"op":"add","path":"/n/y","value":1}])", "through a number", ErrorCode::conflict},
    {R"([{"op":"add","path":"/list/3","value":1}])", "past the end", ErrorCode::conflict},
    {R"([{"op":"add","path":"/list/01","value":1}])", "not an index", ErrorCode::conflict},
    {R"([{"op":"add","path":"/list/x","value":1}])", "not an index", ErrorCode::conflict},
    {R"([{"op":"remove","path":"/list/-"}])", "nothing at", ErrorCode::conflict},
    {R"([{"op":"remove","path":"/list/2"}])", "nothing at", ErrorCode::conflict},
    {R"([{"op":"remove","path":"/x"}])", "nothing at", ErrorCode::conflict},
    {R"([{"op":"remove","path":""}])", "whole document", ErrorCode::conflict},
    {R"([{"op":"replace","path":"/x","value":1}])", "nothing at", ErrorCode::conflict},
    {R"([{"op":"move","from":"/x","path":"/y"}])", "nothing at", ErrorCode::conflict},
    {R"([{"op":"move","from":"/o","path":"/o/p"}])", "into itself", ErrorCode::conflict},
    {R"([{"op":"copy","from":"/x","path":"/y"}])", "nothing at", ErrorCode::conflict},
    {R"([{"op":"test","path":"/n","value":1.0}])", "another one", ErrorCode::conflict},
    {R"([{"op":"test","path":"/n","value":true}])", "another one", ErrorCode::conflict},
    {R"([{"op":"test","path":"/n","value":"1"}])", "another one", ErrorCode::conflict},
    {R"([{"op":"test","path":"/x","value":null}])", "nothing at", ErrorCode::conflict},
    {R"([{"op":"test","path":"/u","value":-1}])", "another one", ErrorCode::conflict},
    {R"([{"op":"remove","path":"/n"},{"op":"remove","path":"/n"}])", "operation 1",
     ErrorCode::conflict},
};

TEST_P(Patch, ThatDoesNotApplyNamesTheOperationAndChangesNothing) {
  const json document = {{"n", 1}, {"list", {1, 2}}, {"o", {{"p", 1}}}, {"u", largest_unsigned}};
  const Revision revision = store_.set("k", document);
  for (const BadPatch& c : bad_patches) {
    SCOPED_TRACE(c.operations);
    EXPECT_KV_ERROR(store_.patch("k", json::parse(c.operations)), c.code, c.part);
    EXPECT_EQ(store_.get("k"), document);
    EXPECT_EQ(store_.entry("k")->revision, revision);
  }
}

TEST_P(Patch, OfAnAbsentKeyIsAConflict) {
  EXPECT_KV_ERROR(store_.patch("k", json::parse(R"([{"op":"add","path":"","value":1}])")),
                  ErrorCode::conflict, "\"k\"");
  EXPECT_FALSE(store_.contains("k"));
}

TEST_P(Patch, KeepsNumbersToTheBit) {
  store_.set("k", {{"u", largest_unsigned}, {"i", smallest}, {"d", 1.0}});
  const json patched =
      store_.patch("k", {{{"op", "test"}, {"path", "/u"}, {"value", largest_unsigned}},
                         {{"op", "test"}, {"path", "/i"}, {"value", smallest}},
                         {{"op", "test"}, {"path", "/d"}, {"value", 1.0}},
                         {{"op", "move"}, {"from", "/u"}, {"path", "/v"}}});
  EXPECT_EQ(patched.at("v").get<std::uint64_t>(), largest_unsigned);
  EXPECT_EQ(store_.get_text("k"), R"({"d":1.0,"i":-9223372036854775808,"v":18446744073709551615})");
}

class Increment : public OnEveryEngine {};
KVSTORE_TEST_ON_EVERY_ENGINE(Increment);

TEST_P(Increment, StartsAtZero) {
  EXPECT_EQ(store_.increment("k"), 1);
  EXPECT_EQ(store_.increment("k", 10), 11);
  EXPECT_EQ(store_.increment("k", -12), -1);
  EXPECT_EQ(store_.get("k"), json(-1));
}

TEST_P(Increment, ReachesAPlace) {
  EXPECT_EQ(store_.increment("k", "/hits/today"_json_pointer), 1);
  EXPECT_EQ(store_.increment("k", "/hits/today"_json_pointer, 4), 5);
  EXPECT_EQ(store_.get("k"), json({{"hits", {{"today", 5}}}}));
}

TEST_P(Increment, ReachesBothEndsOfItsRange) {
  store_.set("k", largest - 1);
  EXPECT_EQ(store_.increment("k"), largest);
  EXPECT_KV_ERROR(store_.increment("k"), ErrorCode::out_of_range, "9223372036854775807");
  EXPECT_EQ(store_.get("k"), json(largest));
  store_.set("k", smallest + 1);
  EXPECT_EQ(store_.increment("k", -1), smallest);
  EXPECT_KV_ERROR(store_.increment("k", -1), ErrorCode::out_of_range, "\"k\"");
  EXPECT_KV_ERROR(store_.increment("k", smallest), ErrorCode::out_of_range, "\"k\"");
  EXPECT_EQ(store_.increment("k", largest), -1);
}

TEST_P(Increment, OfANumberBeyondItsRangeIsRefused) {
  store_.set("k", largest_unsigned);
  EXPECT_KV_ERROR(store_.increment("k", -1), ErrorCode::out_of_range, "18446744073709551615");
  EXPECT_EQ(store_.get("k")->get<std::uint64_t>(), largest_unsigned);
}

TEST_P(Increment, OfAnythingButAnIntegerIsRefused) {
  for (const json& value : {json(1.0), json(true), json("1"), json(nullptr), json::array()}) {
    SCOPED_TRACE(value.dump());
    store_.set("k", value);
    EXPECT_KV_ERROR(store_.increment("k"), ErrorCode::type_mismatch, value.type_name());
    EXPECT_EQ(store_.get("k"), value);
  }
  store_.set("k", {{"list", {1}}});
  EXPECT_KV_ERROR(store_.increment("k", "/list"_json_pointer), ErrorCode::type_mismatch, "array");
  EXPECT_KV_ERROR(store_.increment("k", "/list/0/x"_json_pointer), ErrorCode::type_mismatch,
                  "through");
  EXPECT_KV_ERROR(store_.increment("k", "/list/5"_json_pointer), ErrorCode::out_of_range,
                  "1 elements");
}

TEST_P(Increment, KeepsTheExpiry) {
  store_.set("k", 1, {.ttl = Duration(5)});
  store_.increment("k");
  EXPECT_EQ(store_.entry("k")->expires_at, clock_.now() + Duration(5));
}

}  // namespace
}  // namespace kvstore::test
