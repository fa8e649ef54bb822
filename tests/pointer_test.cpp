#include <kvstore/internal/pointer.hpp>

#include "behaviour.hpp"

namespace kvstore::test {
namespace {

class PlaceInADocument : public OnEveryEngine {
 protected:
  [[nodiscard]] std::optional<json> at(const char* pointer) const {
    return store_.get("k", json::json_pointer(pointer));
  }

  /// The document after one write at a place.
  json after(const json& before, const char* pointer, const json& value) {
    store_.set("k", before);
    store_.set("k", json::json_pointer(pointer), value);
    return store_.get("k").value();
  }

  void expect_refused(const json& before, const char* pointer, ErrorCode code,
                      const std::string& part) {
    SCOPED_TRACE(pointer);
    const Revision revision = store_.set("k", before);
    EXPECT_KV_ERROR(store_.set("k", json::json_pointer(pointer), 1), code, part);
    EXPECT_EQ(store_.get("k"), before);
    EXPECT_EQ(store_.entry("k")->revision, revision);
  }
};
KVSTORE_TEST_ON_EVERY_ENGINE(PlaceInADocument);

// The examples of RFC 6901 §5.
TEST_P(PlaceInADocument, IsFoundAsTheStandardSays) {
  store_.set("k", R"({"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4,
                      "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8})"_json);
  EXPECT_EQ(at(""), store_.get("k"));
  EXPECT_EQ(at("/foo"), json({"bar", "baz"}));
  EXPECT_EQ(at("/foo/0"), json("bar"));
  const std::vector<const char*> in_order = {"/",     "/a~1b", "/c%d", "/e^f", "/g|h",
                                             "/i\\j", "/k\"l", "/ ",   "/m~0n"};
  for (std::size_t i = 0; i < in_order.size(); ++i) EXPECT_EQ(at(in_order[i]), json(i));
}

TEST_P(PlaceInADocument, ThatIsNotThereIsAbsent) {
  store_.set("k", {{"list", {1, 2}}, {"object", json::object()}, {"text", "x"}, {"null", nullptr}});
  for (const char* pointer :
       {"/none", "/object/none", "/none/deeper", "/list/2", "/list/-", "/list/-1", "/list/00",
        "/list/01", "/list/+1", "/list/1x", "/list/", "/list/x", "/list/0/0", "/text/0", "/text/",
        "/null/a", "/list/18446744073709551616", "/list/99999999999999999999999"}) {
    EXPECT_EQ(at(pointer), std::nullopt) << pointer;
  }
}

TEST_P(PlaceInADocument, OfAnAbsentKeyIsAbsent) {
  EXPECT_EQ(at(""), std::nullopt);
  EXPECT_EQ(at("/a"), std::nullopt);
}

TEST_P(PlaceInADocument, MayHoldNull) {
  store_.set("k", {{"a", nullptr}});
  ASSERT_TRUE(at("/a"));
  EXPECT_TRUE(at("/a")->is_null());
}

TEST_P(PlaceInADocument, MayHaveDigitsOrADashForAName) {
  store_.set("k", {{"0", "a"}, {"-", "b"}, {"00", "c"}});
  EXPECT_EQ(at("/0"), json("a"));
  EXPECT_EQ(at("/-"), json("b"));
  EXPECT_EQ(at("/00"), json("c"));
}

TEST_P(PlaceInADocument, IsReplacedByAWrite) {
  EXPECT_EQ(after({{"a", 1}, {"b", 2}}, "/a", "x"), json({{"a", "x"}, {"b", 2}}));
  EXPECT_EQ(after({{"a", {1, 2}}}, "/a/1", 9), json({{"a", {1, 9}}}));
  EXPECT_EQ(after({{"a", {{"b", 1}}}}, "/a", nullptr), json({{"a", nullptr}}));
  EXPECT_EQ(after({1, 2}, "", {3}), json({3}));
}

TEST_P(PlaceInADocument, IsMadeByAWrite) {
  EXPECT_EQ(after(json::object(), "/a", 1), json({{"a", 1}}));
  EXPECT_EQ(after(json::object(), "/", 1), json({{"", 1}}));
  EXPECT_EQ(after({{"x", 1}}, "/a/b/c", 1), R"({"x": 1, "a": {"b": {"c": 1}}})"_json);
  EXPECT_EQ(after({{"a", json::object()}}, "/a/b", 1), R"({"a": {"b": 1}})"_json);
  EXPECT_EQ(after(json::object(), "/a~1b/c~0d", 1), R"({"a/b": {"c~d": 1}})"_json);
}

TEST_P(PlaceInADocument, ThatIsMadeOnTheWayIsAnObjectWhateverItsName) {
  EXPECT_EQ(after(json::object(), "/a/0", 1), R"({"a": {"0": 1}})"_json);
  EXPECT_EQ(after(json::object(), "/a/-", 1), R"({"a": {"-": 1}})"_json);
}

TEST_P(PlaceInADocument, AtTheEndOfAnArrayIsAppended) {
  EXPECT_EQ(after({1, 2}, "/-", 3), json({1, 2, 3}));
  EXPECT_EQ(after({1, 2}, "/2", 3), json({1, 2, 3}));
  EXPECT_EQ(after(json::array(), "/0", 1), json::array({1}));
  EXPECT_EQ(after({{"a", {{"b", json::array()}}}}, "/a/b/-", 1), R"({"a": {"b": [1]}})"_json);
  EXPECT_EQ(after(json::array({1}), "/-/name/x", 2), R"([1, {"name": {"x": 2}}])"_json);
  EXPECT_EQ(after(json::array({1}), "/1/0", 2), R"([1, {"0": 2}])"_json);
}

TEST_P(PlaceInADocument, PastTheEndOfAnArrayIsRefused) {
  expect_refused({1, 2}, "/3", ErrorCode::out_of_range, "2 elements");
  expect_refused({1, 2}, "/3/a", ErrorCode::out_of_range, "\"/3/a\"");
  expect_refused({{"a", json::array()}}, "/a/1", ErrorCode::out_of_range, "0 elements");
  expect_refused({1, 2}, "/18446744073709551615", ErrorCode::out_of_range, "2 elements");
}

TEST_P(PlaceInADocument, PastEveryNumberIsPastTheEndToo) {
  expect_refused({1, 2}, "/18446744073709551616", ErrorCode::out_of_range, "2 elements");
}

TEST_P(PlaceInADocument, OfAnArrayMustBeAnIndex) {
  for (const char* pointer : {"/x", "/01", "/00", "/-1", "/+1", "/1x", "/1.0", "/ 1", "/"}) {
    expect_refused({1, 2}, pointer, ErrorCode::type_mismatch, "not an index");
  }
}

TEST_P(PlaceInADocument, BehindAScalarIsRefused) {
  expect_refused({{"a", 1}}, "/a/b", ErrorCode::type_mismatch, "number");
  expect_refused({{"a", "x"}}, "/a/0", ErrorCode::type_mismatch, "string");
  expect_refused({{"a", nullptr}}, "/a/b", ErrorCode::type_mismatch, "null");
  expect_refused({{"a", true}}, "/a/b/c", ErrorCode::type_mismatch, "boolean");
  expect_refused(7, "/a", ErrorCode::type_mismatch, "number");
  expect_refused({{"a", {{"b", 1}}}}, "/a/b/c", ErrorCode::type_mismatch,
                 "\"/a/b/c\" in the value of \"k\"");
}

TEST_P(PlaceInADocument, OfAnAbsentKeyStartsAsAnObject) {
  store_.set("k", "/a/b"_json_pointer, 1);
  EXPECT_EQ(store_.get("k"), R"({"a": {"b": 1}})"_json);
  store_.set("list", "/-"_json_pointer, 1);
  EXPECT_EQ(store_.get("list"), R"({"-": 1})"_json);
}

TEST_P(PlaceInADocument, ThatIsTheRootOfAnAbsentKeyIsTheValue) {
  store_.set("k", ""_json_pointer, {1});
  EXPECT_EQ(store_.get("k"), json({1}));
}

TEST_P(PlaceInADocument, GetsTheRevisionThatTheWriteReturns) {
  const Revision first = store_.set("k", "/a"_json_pointer, 1);
  const Revision second = store_.set("k", "/a"_json_pointer, 1);
  EXPECT_GT(second, first);
  EXPECT_EQ(store_.entry("k")->revision, second);
}

TEST(Pointer, ResolvesToThePlaceItself) {
  const json document = {{"a", {1, {{"b", 2}}}}};
  EXPECT_EQ(internal::resolve(document, json::json_pointer()), &document);
  EXPECT_EQ(internal::resolve(document, "/a/1/b"_json_pointer), &document["a"][1]["b"]);
  EXPECT_EQ(internal::resolve(document, "/a/2"_json_pointer), nullptr);
}

TEST(Pointer, AssignsAPartOfTheDocumentToAnotherPlace) {
  json document = {{"a", {1, 2}}};
  internal::assign(document, "/b"_json_pointer, document["a"], "k");
  EXPECT_EQ(document, json({{"a", {1, 2}}, {"b", {1, 2}}}));
}

}  // namespace
}  // namespace kvstore::test
