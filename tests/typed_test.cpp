#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <unordered_map>

#include "behaviour.hpp"

namespace typed_test {

struct Window {
  std::string title{};
  int width = 0;
  std::vector<double> zooms{};
  NLOHMANN_DEFINE_TYPE_INTRUSIVE(Window, title, width, zooms)
};

enum class Colour { red, green };
NLOHMANN_JSON_SERIALIZE_ENUM(Colour, {{Colour::red, "red"}, {Colour::green, "green"}})

struct Refusing {};
inline void from_json(const nlohmann::json& /*value*/, Refusing& /*result*/) {
  throw std::logic_error("the type's own");
}

}  // namespace typed_test

namespace kvstore::test {
namespace {

using typed_test::Window;

class TypedRead : public ::testing::Test {
 protected:
  template <class T>
  void expect_exact(const json& value, const T& expected) {
    store_.set("k", value);
    EXPECT_EQ(store_.get<T>("k"), expected);
  }

  template <class T>
  void expect_refused(const json& value, ErrorCode code, const std::string& part = "\"k\"") {
    SCOPED_TRACE(value.dump());
    store_.set("k", value);
    EXPECT_KV_ERROR(store_.get<T>("k"), code, part);
    EXPECT_KV_ERROR(store_.get_or<T>("k", T()), code, part);
  }

  KVStore store_{":memory:"};
};

TEST_F(TypedRead, GivesWhatWasStored) {
  expect_exact<int>(-7, -7);
  expect_exact<bool>(false, false);
  expect_exact<std::string>("text", "text");
  expect_exact<double>(0.5, 0.5);
  expect_exact<std::vector<int>>({1, 2, 3}, {1, 2, 3});
  expect_exact<std::vector<bool>>({true, false}, {true, false});
  expect_exact<std::map<std::string, std::vector<int>>>({{"a", {1}}, {"b", json::array()}},
                                                        {{"a", {1}}, {"b", {}}});
  expect_exact<std::unordered_map<std::string, std::string>>({{"a", "x"}}, {{"a", "x"}});
  expect_exact<std::array<int, 2>>({1, 2}, {1, 2});
  expect_exact<std::set<std::string>>({"b", "a"}, {"a", "b"});
  expect_exact<std::pair<int, std::string>>(json::array({1, "x"}), {1, "x"});
  expect_exact<typed_test::Colour>("green", typed_test::Colour::green);
  expect_exact<json>({{"a", 1}}, json({{"a", 1}}));
  expect_exact<json>(nullptr, json());
}

TEST_F(TypedRead, GivesAStructOfTheUser) {
  store_.set("k", Window{"main", 640, {0.5, 1}});
  const std::optional<Window> window = store_.get<Window>("k");
  ASSERT_TRUE(window);
  EXPECT_EQ(window->title, "main");
  EXPECT_EQ(window->width, 640);
  EXPECT_EQ(window->zooms, (std::vector<double>{0.5, 1}));
}

TEST_F(TypedRead, OfAnAbsentKeyIsAbsentAndServesTheFallback) {
  EXPECT_EQ(store_.get<int>("k"), std::nullopt);
  EXPECT_EQ(store_.get_or("k", 5), 5);
  EXPECT_EQ(store_.get_or("k", "text"), "text");
  EXPECT_EQ(store_.get_or<std::string>("k", "text"), "text");
  EXPECT_EQ(store_.get_or("k", std::vector<int>{1}), std::vector<int>{1});
  static_assert(std::is_same_v<decltype(store_.get_or("k", "text")), std::string>);
}

TEST_F(TypedRead, PrefersWhatIsStoredToTheFallback) {
  store_.set_many({{"n", 1}, {"t", "stored"}, {"f", false}});
  EXPECT_EQ(store_.get_or("n", 5), 1);
  EXPECT_EQ(store_.get_or("t", "text"), "stored");
  EXPECT_FALSE(store_.get_or("f", true));
}

TEST_F(TypedRead, AtAPlaceGivesThePlaceOrTheFallback) {
  store_.set("k", {{"n", {1, 2}}, {"t", "x"}});
  EXPECT_EQ(store_.get<int>("k", "/n/1"_json_pointer), 2);
  EXPECT_EQ(store_.get<int>("k", "/n/2"_json_pointer), std::nullopt);
  EXPECT_EQ(store_.get_or("k", "/n/0"_json_pointer, 9), 1);
  EXPECT_EQ(store_.get_or("k", "/none"_json_pointer, 9), 9);
  EXPECT_EQ(store_.get_or("k", "/t"_json_pointer, "y"), "x");
  EXPECT_EQ(store_.get_or("k", "/none"_json_pointer, "y"), "y");
  EXPECT_EQ(store_.get_or("absent", "/t"_json_pointer, "y"), "y");
}

TEST_F(TypedRead, RefusesAValueOfAnotherType) {
  using enum ErrorCode;
  for (const json& value : {json("1"), json::array(), json::object(), json(), json(true)}) {
    expect_refused<int>(value, type_mismatch, value.type_name());
    expect_refused<double>(value, type_mismatch, value.type_name());
    expect_refused<std::uint8_t>(value, type_mismatch, value.type_name());
  }
  for (const json& value : {json(1), json::array(), json::object(), json(), json(true)}) {
    expect_refused<std::string>(value, type_mismatch, "must be string");
  }
  for (const json& value : {json(1), json(0), json(1.0), json("true"), json()}) {
    expect_refused<bool>(value, type_mismatch, "must be boolean");
  }
  for (const json& value : {json(1), json("x"), json::object(), json()}) {
    expect_refused<std::vector<int>>(value, type_mismatch, "must be array");
    expect_refused<std::vector<bool>>(value, type_mismatch, "must be array");
  }
  for (const json& value : {json(1), json("x"), json::array(), json()}) {
    expect_refused<std::map<std::string, int>>(value, type_mismatch, "must be object");
  }
}

TEST_F(TypedRead, RefusesNullAlsoWhereThereIsAFallback) {
  store_.set("k", {{"null", nullptr}});
  EXPECT_KV_ERROR(store_.get_or("k", "/null"_json_pointer, 5), ErrorCode::type_mismatch, "null");
  EXPECT_KV_ERROR(store_.get_or("k", "/null"_json_pointer, "x"), ErrorCode::type_mismatch, "null");
}

TEST_F(TypedRead, LooksIntoContainers) {
  using enum ErrorCode;
  expect_refused<std::vector<int>>({1, "x"}, type_mismatch);
  expect_refused<std::vector<int>>({1, true}, type_mismatch);
  expect_refused<std::vector<int>>({1, 2.5}, type_mismatch);
  expect_refused<std::vector<std::uint8_t>>({1, 256}, out_of_range);
  expect_refused<std::vector<bool>>({true, 1}, type_mismatch);
  expect_refused<std::map<std::string, int>>({{"a", nullptr}}, type_mismatch);
  expect_refused<std::vector<std::vector<std::int8_t>>>(json::array({{1}, {128}}), out_of_range);
}

TEST_F(TypedRead, LooksIntoEveryStandardContainer) {
  using enum ErrorCode;
  expect_refused<std::array<int, 2>>({1, true}, type_mismatch);
  expect_refused<std::set<int>>({1, 2.5}, type_mismatch);
  expect_refused<std::unordered_map<std::string, std::uint8_t>>({{"a", 256}}, out_of_range);
  expect_refused<std::pair<int, int>>(json::array({1, true}), type_mismatch);
}

TEST_F(TypedRead, GivesAnIntegerOnlyWhereItFits) {
  using enum ErrorCode;
  expect_exact<std::int8_t>(-128, -128);
  expect_exact<std::int8_t>(127, 127);
  expect_refused<std::int8_t>(128, out_of_range, "128");
  expect_refused<std::int8_t>(-129, out_of_range, "-129");
  expect_exact<std::uint8_t>(255, 255);
  expect_refused<std::uint8_t>(256, out_of_range);
  expect_refused<std::uint8_t>(-1, out_of_range);
  expect_refused<std::uint64_t>(-1, out_of_range);
  constexpr auto most = std::numeric_limits<std::uint64_t>::max();
  constexpr auto least = std::numeric_limits<std::int64_t>::min();
  expect_exact<std::uint64_t>(most, most);
  expect_exact<std::int64_t>(least, least);
  expect_refused<std::int64_t>(most, out_of_range);
  expect_refused<std::int64_t>(std::uint64_t{1} << 63U, out_of_range);
}

TEST_F(TypedRead, GivesAnIntegerForADoubleThatIsOne) {
  using enum ErrorCode;
  expect_exact<int>(3.0, 3);
  expect_exact<int>(-0.0, 0);
  expect_exact<std::int64_t>(-9223372036854775808.0, std::numeric_limits<std::int64_t>::min());
  expect_exact<std::uint64_t>(9223372036854775808.0, std::uint64_t{1} << 63U);
  expect_refused<int>(3.5, type_mismatch, "fraction");
  expect_refused<int>(2147483648.0, out_of_range);
  expect_refused<std::int64_t>(9223372036854775808.0, out_of_range);
  expect_refused<std::uint64_t>(18446744073709551616.0, out_of_range);
  expect_refused<std::uint64_t>(-1.0, out_of_range);
  expect_refused<std::int64_t>(1e300, out_of_range);
}

TEST_F(TypedRead, GivesADoubleForAnIntegerThatItHolds) {
  using enum ErrorCode;
  constexpr std::int64_t two_to_53 = std::int64_t{1} << 53;
  expect_exact<double>(3, 3.0);
  expect_exact<double>(-3, -3.0);
  expect_exact<double>(two_to_53, 9007199254740992.0);
  expect_refused<double>(two_to_53 + 1, out_of_range, "9007199254740993");
  expect_refused<double>(std::numeric_limits<std::uint64_t>::max(), out_of_range);
  expect_refused<double>(std::numeric_limits<std::int64_t>::max(), out_of_range);
  expect_refused<float>((1 << 24) + 1, out_of_range);
  expect_exact<double>(std::uint64_t{1} << 63U, 9223372036854775808.0);
}

TEST_F(TypedRead, GivesADoubleForTheLeastInteger) {
  expect_exact<double>(std::numeric_limits<std::int64_t>::min(), -9223372036854775808.0);
}

TEST_F(TypedRead, GivesAFloatForADoubleInItsRange) {
  expect_exact<float>(0.1, 0.1F);
  expect_refused<float>(1e300, ErrorCode::out_of_range);
}

TEST_F(TypedRead, ErrorsNameTheKeyThePlaceAndTheReason) {
  store_.set("the key", {{"a", {{"b", "x"}}}});
  EXPECT_KV_ERROR(store_.get<int>("the key", "/a/b"_json_pointer), ErrorCode::type_mismatch,
                  "\"the key\" at \"/a/b\"");
  EXPECT_KV_ERROR(store_.get<int>("the key", "/a/b"_json_pointer), ErrorCode::type_mismatch,
                  "type must be number, but is string");
  EXPECT_KV_ERROR(store_.get<bool>("the key", "/a/b"_json_pointer), ErrorCode::type_mismatch,
                  "[json.exception.type_error.302] type must be boolean, but is string");
  EXPECT_KV_ERROR(store_.get<bool>("the key"), ErrorCode::type_mismatch, "\"the key\" has");
}

TEST_F(TypedRead, OfAStructTellsWhichMemberIsMissing) {
  store_.set("k", {{"title", "main"}});
  EXPECT_KV_ERROR(store_.get<Window>("k"), ErrorCode::type_mismatch, "key 'width' not found");
  store_.set("k", {{"title", 1}, {"width", 1}, {"zooms", {1}}});
  EXPECT_KV_ERROR(store_.get<Window>("k"), ErrorCode::type_mismatch, "must be string");
}

TEST_F(TypedRead, LetsTheExceptionsOfAUsersTypePass) {
  store_.set("k", 1);
  EXPECT_THROW(static_cast<void>(store_.get<typed_test::Refusing>("k")), std::logic_error);
}

template <class... T>
constexpr bool all_own = (detail::owns_data<T> && ...);
template <class... T>
constexpr bool none_owns = (!detail::owns_data<T> && ...);

TEST(TypedReadAtCompileTime, AcceptsWhatOwnsItsData) {
  static_assert(all_own<int, bool, double, std::string, json, Window, std::vector<std::string>,
                        std::map<std::string, std::vector<int>>, std::array<std::string, 2>>);
}

TEST(TypedReadAtCompileTime, RefusesWhatWouldDangle) {
  using View = std::string_view;
  static_assert(none_owns<View, std::u8string_view, const char*, const json*, json&, const json&,
                          char[4], std::vector<View>, std::vector<const char*>, std::array<View, 1>,
                          std::map<std::string, View>, std::map<View, int>,
                          std::unordered_map<std::string, View>, std::vector<std::vector<View>>>);
}

}  // namespace
}  // namespace kvstore::test
