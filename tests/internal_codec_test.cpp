#include <kvstore/internal/codec.hpp>
#include <kvstore/internal/compare.hpp>
#include <kvstore/internal/pointer.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>

#include "support.hpp"

namespace kvstore::test {
namespace {

constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

TEST(Codec, WritesWhatItReads) {
  const json value = {{"a", {1, -1, 1.5, true, nullptr, "\n\"\\"}}, {"", json::object()}};
  EXPECT_EQ(internal::decode(internal::encode(value, "k", unlimited), "k"), value);
}

std::string written(const json& value) {
  return internal::encode(value, "k", unlimited);
}

TEST(Codec, WritesEveryCharacterAsNlohmannDoes) {
  for (int c = 0; c < 0x80; ++c) {
    // At every place of a word of eight bytes, and behind one.
    for (std::size_t place = 0; place < 20; ++place) {
      std::string text(20, 'x');
      text[place] = static_cast<char>(c);
      EXPECT_EQ(written(text), json(text).dump());
    }
  }
}

TEST(Codec, WritesTextThatIsNotAsciiAsNlohmannDoes) {
  for (const json& value : {json("\xC3\xA9"), json("1234567\xE2\x82\xAC\n"),
                            json("\xF0\x9F\x98\x80\""), json({{"\xC3\xA9\t", "\xEF\xBF\xBD"}})}) {
    EXPECT_EQ(written(value), value.dump());
  }
}

TEST(Codec, WritesWhatIsNotAsciiAtAnyPlaceAsNlohmannDoes) {
  for (std::size_t place = 0; place < 20; ++place) {
    std::string text(20, 'x');
    text.insert(place, "\xE2\x82\xAC");
    EXPECT_EQ(written(text), json(text).dump());
    for (std::size_t escape = 0; escape <= place; ++escape) {
      std::string both = text;
      both.insert(escape, "\"");
      both += '\n';
      EXPECT_EQ(written(both), json(both).dump());
    }
  }
}

TEST(Codec, RefusesWhatIsNotUtf8AtAnyPlace) {
  for (std::size_t place = 0; place < 20; ++place) {
    for (const char* bad : {"\xFF", "\xE2\x82", "\x80", "\xED\xA0\x80"}) {
      std::string text(20, 'x');
      text.insert(place, bad);
      EXPECT_KV_ERROR(written(text), ErrorCode::invalid_value, "the string is not valid UTF-8");
      EXPECT_KV_ERROR(written({{text, 1}}), ErrorCode::invalid_value, "a name is not valid UTF-8");
    }
  }
}

TEST(Codec, WritesIntoTheMemoryOfAnyTextBefore) {
  std::string text;
  for (const std::size_t size : {0, 10, 600, 100'000, 3, 5000, 4093, 4094, 4095, 1}) {
    const json value = std::string(size, 'x');
    text = internal::encode(value, "k", unlimited, std::move(text));
    EXPECT_EQ(text, value.dump());
  }
}

TEST(Codec, WritesEmptyAndNestedValuesAsNlohmannDoes) {
  for (const json& value :
       {json(), json::object(), json::array(), json(""),
        json({{"", json::array({json::object()})}}),
        json::array({json::array(), 1, json::array({2, 3})}), json({{"b", true}, {"a", false}})}) {
    EXPECT_EQ(written(value), value.dump());
  }
}

TEST(Codec, WritesNumbersAsNlohmannDoes) {
  using Signed = std::numeric_limits<std::int64_t>;
  const json edges = {0,
                      -1,
                      Signed::min(),
                      Signed::max(),
                      std::numeric_limits<std::uint64_t>::max(),
                      0.0,
                      -0.0,
                      1.0,
                      1e15,
                      1e16,
                      1e-7,
                      5e-324,
                      std::numeric_limits<double>::max(),
                      0.1,
                      1e100,
                      123456789012345678.0};
  EXPECT_EQ(written(edges), edges.dump());
  std::mt19937_64 random(seed());
  for (int i = 0; i < 10'000; ++i) {
    const auto number = std::bit_cast<double>(random());
    if (std::isfinite(number)) {
      EXPECT_EQ(written(number), json(number).dump());
    }
  }
}

json random_number(std::mt19937_64& random) {
  const std::uint64_t bits = random() >> random() % 64;
  const auto number = std::bit_cast<double>(random());
  switch (random() % 4) {
    case 0:
      return bits;
    case 1:
      return static_cast<std::int64_t>(bits);
    case 2:
      return static_cast<double>(static_cast<std::int64_t>(bits));
    default:
      return std::isfinite(number) ? number : -0.0;
  }
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as it is told to be
json random_value(std::mt19937_64& random, int depth) {
  json value;
  switch (random() % (depth > 0 ? 8 : 6)) {
    case 0:
      return value;
    case 1:
      return random() % 2 == 0;
    case 2:
      return std::string(random() % 40, static_cast<char>(random() % 0x80));
    case 6:
      value = json::array();
      for (auto count = random() % 6; count > 0; --count) {
        value.push_back(random_value(random, depth - 1));
      }
      return value;
    case 7:
      value = json::object();
      for (auto count = random() % 6; count > 0; --count) {
        value[std::string(1, static_cast<char>(random() % 0x80))] = random_value(random, depth - 1);
      }
      return value;
    default:
      return random_number(random);
  }
}

TEST(Codec, CopiesAValueAsItReadsWhatItWrites) {
  SCOPED_TRACE("seed " + std::to_string(seed()));
  std::mt19937_64 random(seed());
  for (int i = 0; i < 50'000 && !HasFailure(); ++i) {
    const json value = i == 0 ? json({0, 1, -1, 0U, 0.0, -0.0, 1.0, 1e15, 1e16, 1e22, 5e-324})
                              : random_value(random, 4);
    const json read = internal::decode(written(value), "k");
    const json copy = internal::as_decoded(value);
    EXPECT_TRUE(identical_in_bits(copy, read)) << value;
  }
}

TEST(Codec, ReadsOnePlaceAsItReadsTheWhole) {
  const std::string text =
      R"({"":0,"a":[1,2.0,-0,[],{"b":18446744073709551615,"01":true}],"c/d":"x","e~f":{"-":null},)"
      R"("0":{"1":"one"},"n":-9223372036854775808,"e":1e3})";
  const json whole = internal::decode(text, "k");
  for (const char* pointer : {"",        "/",        "/a",
                              "/a/0",    "/a/1",     "/a/2",
                              "/a/3",    "/a/4/b",   "/a/4/01",
                              "/a/5",    "/a/-",     "/a/01",
                              "/a/00",   "/a/x",     "/a/99999999999999999999999",
                              "/a/0/0",  "/c~1d",    "/e~0f/-",
                              "/e~0f/x", "/0/1",     "/n",
                              "/e",      "/missing", "/missing/further",
                              "/c~1d/0"}) {
    const json::json_pointer at(pointer);
    const json* place = internal::resolve(whole, at);
    const std::optional<json> found = internal::decode_at(text, "k", at);
    ASSERT_EQ(found.has_value(), place != nullptr) << pointer;
    if (place != nullptr) {
      EXPECT_TRUE(internal::identical(*found, *place)) << pointer;
      EXPECT_EQ(found->type(), place->type()) << pointer;
    }
  }
}

/// A place that is in the value, or near one that is.
json::json_pointer random_place(std::mt19937_64& random, const json& value) {
  json::json_pointer place;
  const json* here = &value;
  while (here->is_structured() && !here->empty() && random() % 4 != 0) {
    auto child = here->begin();
    std::advance(child, static_cast<std::ptrdiff_t>(random() % here->size()));
    place /= here->is_object() ? child.key() : std::to_string(child - here->begin());
    here = &*child;
  }
  if (random() % 8 == 0) place /= random() % 2 == 0 ? "0" : "-";
  return place;
}

TEST(Codec, ReadsAnyPlaceOfAnyValueAsItReadsTheWhole) {
  SCOPED_TRACE("seed " + std::to_string(seed()));
  std::mt19937_64 random(seed());
  for (int i = 0; i < 50'000 && !HasFailure(); ++i) {
    const std::string text = written(random_value(random, 4));
    const json whole = internal::decode(text, "k");
    const json::json_pointer at = random_place(random, whole);
    const json* place = internal::resolve(whole, at);
    const std::optional<json> found = internal::decode_at(text, "k", at);
    ASSERT_EQ(found.has_value(), place != nullptr) << text << " at " << at.to_string();
    EXPECT_TRUE(place == nullptr || internal::identical(*found, *place)) << text;
  }
}

TEST(Codec, SaysWhatIsDamagedWhenOnlyAPlaceIsRead) {
  EXPECT_KV_ERROR(internal::decode_at("{\"a\":1", "k", "/a"_json_pointer), ErrorCode::corrupt,
                  "\"k\"");
}

TEST(Codec, AcceptsEveryTextThatItWrites) {
  for (const json& value : {json(), json(1e-7), json("\x01\x7F\xC3\xA9"), json({{"\"", 1}})}) {
    EXPECT_NO_THROW(internal::check_text(internal::encode(value, "k", unlimited), "k", unlimited));
  }
}

TEST(Codec, SaysWhatIsDamagedWhenAStoredTextIsNoJson) {
  EXPECT_KV_ERROR(internal::decode("[1", "the key"), ErrorCode::corrupt, "\"the key\"");
  EXPECT_KV_ERROR(internal::decode("", "k"), ErrorCode::corrupt, "json.exception.parse_error");
}

TEST(Codec, MeasuresTheTextNotTheValue) {
  EXPECT_EQ(internal::encode("\n", "k", 4), "\"\\n\"");
  EXPECT_KV_ERROR(internal::encode("\n", "k", 3), ErrorCode::invalid_value, "4 bytes");
}

TEST(Codec, ShowsPlacesAsJsonPointersInQuotes) {
  const json value = {{"a/b~c\"d", {{"\x01", {0, std::numeric_limits<double>::infinity()}}}}};
  EXPECT_KV_ERROR(internal::encode(value, "k", unlimited), ErrorCode::invalid_value,
                  R"("/a~1b~0c\"d/\x01/1")");
}

TEST(Codec, NamesNoPlaceForTheRoot) {
  EXPECT_KV_ERROR(internal::encode(json::binary({}), "k", unlimited), ErrorCode::invalid_value,
                  "the value of \"k\" cannot be stored");
}

TEST(Codec, CountsElementsInThePlaceOfAText) {
  EXPECT_KV_ERROR(internal::check_text(R"([null,true,1,-1,1.5,"x",[],{},{"a":1,"a":2}])", "k", 99),
                  ErrorCode::invalid_value, "\"/8/a\"");
  EXPECT_KV_ERROR(internal::check_text(R"({"z":[[],[{"a":{"b":1},"a":2}]]})", "k", 99),
                  ErrorCode::invalid_value, "\"/z/1/0/a\"");
}

}  // namespace
}  // namespace kvstore::test
