#include <kvstore/internal/fast_parse.hpp>

#include <array>
#include <bit>
#include <cmath>
#include <random>

#include "support.hpp"

namespace kvstore::test {
namespace {

std::optional<json> fast_parse(std::string_view text) {
  json value;
  if (!internal::fast_parse(text, value)) return std::nullopt;
  return value;
}

/// What both parsers make of a text must be the same, or the fast one must leave it to the other.
/// `another`: a document in whose place it is built, too.
void expect_as_nlohmann(const std::string& text, json& another) {
  const std::optional<json> fast = fast_parse(text);
  const json before = another;
  ASSERT_EQ(internal::fast_parse(text, another), fast.has_value()) << text;
  if (!fast) return;
  const json slow = json::parse(text, nullptr, false);
  ASSERT_FALSE(slow.is_discarded()) << "accepted: " << text;
  ASSERT_TRUE(identical_in_bits(*fast, slow)) << text << " became " << *fast << ", not " << slow;
  ASSERT_TRUE(identical_in_bits(another, slow))
      << text << " in the place of " << before << " became " << another << ", not " << slow;
}

class Texts {
 public:
  Texts() : random_(seed()) {}

  // NOLINTNEXTLINE(misc-no-recursion): as deep as it is told
  std::string value(std::size_t depth) {
    switch (below(depth == 0 ? 5 : 7)) {
      case 0:
        return pick(constants);
      case 1:
      case 2:
        return number();
      case 3:
      case 4:
        return string();
      case 5:
        return series("[", "]", [&] { return value(depth - 1); });
      default:
        return series("{", "}", [&] { return string() + space() + ":" + value(depth - 1); });
    }
  }

  /// A text with a few bytes changed, cut out or doubled.
  std::string mutated(std::string text) {
    for (std::size_t count = 1 + below(3); count > 0 && !text.empty(); --count) {
      const std::size_t at = below(text.size());
      switch (below(4)) {
        case 0:
          text[at] = static_cast<char>(below(256));
          break;
        case 1:
          text.erase(at, 1 + below(4));
          break;
        case 2:
          text.insert(at, text.substr(at, 1 + below(4)));
          break;
        default:
          text.insert(at, pick(pieces));
      }
    }
    return text;
  }

 private:
  static constexpr std::array constants = {"true", "false", "null", "0", "-0", "1", "{}", "[]"};
  static constexpr std::array pieces = {"-0",     "e",  "E400", ".",        "0", "\"", "\\",
                                        "\\u",    "[",  "]",    "{",        "}", ",",  ":",
                                        "\\uD83", "\n", "\t",   "\xC3\xA9", "-", "+",  " "};
  static constexpr std::array characters = {"a",
                                            "b",
                                            "-0",
                                            "\\n",
                                            "\\\"",
                                            "\\\\",
                                            "\\/",
                                            "\xC3\xA9",
                                            "\\u00e9",
                                            "\\u0000",
                                            "\\u0041",
                                            "\xF0\x9F\x98\x80",
                                            "\\uD83D\\uDE00",
                                            " "};
  static constexpr std::array numbers = {"-0",
                                         "-0.0",
                                         "0.0",
                                         "-0e1",
                                         "1e0",
                                         "9223372036854775807",
                                         "9223372036854775808",
                                         "-9223372036854775808",
                                         "-9223372036854775809",
                                         "18446744073709551615",
                                         "18446744073709551616",
                                         "9007199254740993",
                                         "9007199254740993.0",
                                         "1e308",
                                         "1.7976931348623157e308",
                                         "1.8e308",
                                         "4.9e-324",
                                         "2e-324",
                                         "1e-400",
                                         "1e400",
                                         "2.2250738585072011e-308",
                                         "0.1",
                                         "01",
                                         "1.",
                                         "-"};

  std::size_t below(std::size_t bound) {
    return std::uniform_int_distribution<std::size_t>(0, bound - 1)(random_);
  }

  template <std::size_t N>
  std::string pick(const std::array<const char*, N>& from) {
    return from[below(N)];
  }

  std::string space() { return below(4) == 0 ? pick(std::array{" ", "\n", "\t", "\r"}) : ""; }

  std::string digits() {
    std::string text;
    for (std::size_t count = 1 + below(20); count > 0; --count) text += std::to_string(below(10));
    return text;
  }

  std::string number() {
    switch (below(4)) {
      case 0:
        return pick(numbers);
      case 1:
        return std::to_string(static_cast<std::int64_t>(random_()));
      case 2:
        return json(std::bit_cast<double>(random_())).dump();  // null where it is no number
      default:
        return (below(2) == 0 ? "-" : "") + std::to_string(below(100)) + "." + digits() + "e" +
               std::to_string(static_cast<int>(below(640)) - 320);
    }
  }

  std::string string() {
    std::string text = "\"";
    for (std::size_t count = below(6); count > 0; --count) text += pick(characters);
    return text + "\"";
  }

  template <class Item>
  std::string series(const char* open, const char* close, const Item& item) {
    std::string text = open + space();
    for (std::size_t count = below(5); count > 0; --count) {
      text += item() + space() + (count == 1 ? "" : ",") + space();
    }
    return text + close;
  }

  std::mt19937_64 random_;
};

class FastParse : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!fast_parse("1")) GTEST_SKIP() << "built without simdjson";
  }
};

TEST_F(FastParse, ReadsTheSameAsNlohmannOrLeavesItToIt) {
  Texts texts;
  json another;
  const int count = long_run() ? 1'000'000 : 30'000;
  for (int i = 0; i < count && !HasFatalFailure(); ++i) {
    const std::string text = texts.value(4);
    expect_as_nlohmann(text, another);
    expect_as_nlohmann(texts.mutated(text), another);
  }
}

TEST_F(FastParse, ReadsEveryKindOfValueItself) {
  for (const char* text : {"null", "true", "false", "0", "7", "-7", "18446744073709551615", "1.5",
                           "-0.0", R"("text \u0000")", "[]", "{}", R"([1,[2,{"a":"b"}]])"}) {
    const std::optional<json> value = fast_parse(text);
    ASSERT_TRUE(value) << text;
    EXPECT_TRUE(identical_in_bits(*value, json::parse(text))) << text;
  }
}

TEST_F(FastParse, LeavesNumbersThatOnlyNlohmannReadsToIt) {
  for (const char* text :
       {"-0", "[1,-0]", R"({"a": -0 })", "18446744073709551616", "-9223372036854775809"}) {
    EXPECT_FALSE(fast_parse(text)) << text;
  }
}

TEST_F(FastParse, ReadsDatesBesideAZeroItself) {
  EXPECT_TRUE(fast_parse(R"({"count":0,"day":"2024-01-02","at":-0.5})"));
}

TEST_F(FastParse, KeepsTheLastOfEqualNames) {
  EXPECT_EQ(fast_parse(R"({"b":1,"a":2,"b":[3],"a":4})"), json::parse(R"({"a":4,"b":[3]})"));
}

TEST_F(FastParse, LeavesNothingOfTheDocumentInWhosePlaceItBuilds) {
  const std::vector<std::string> texts = {"null",
                                          "1",
                                          R"("text")",
                                          "[]",
                                          "[1,2,3]",
                                          R"([{"a":1},"b"])",
                                          "{}",
                                          R"({"a":1})",
                                          R"({"a":1,"b":2,"c":3})",
                                          R"({"b":[1,2],"c":{"d":null}})",
                                          R"({"b":"x","a":{}})",
                                          R"({"a":1,"b":2,"a":3})",
                                          R"({"a":{"a":{"a":[]}}})"};
  for (const std::string& before : texts) {
    for (const std::string& text : texts) {
      json value = json::parse(before);
      ASSERT_TRUE(internal::fast_parse(text, value)) << text;
      EXPECT_TRUE(identical_in_bits(value, json::parse(text))) << text << " after " << before;
    }
  }
}

TEST_F(FastParse, UsesThePartsOfADocumentOfTheSameFormAgain) {
  json value = json::parse(R"({"list":[{"name":"a long text that was there before"}],"more":1})");
  const json* name = &value["list"][0]["name"];
  const char* text = name->get_ref<const std::string&>().data();
  ASSERT_TRUE(internal::fast_parse(R"({"list":[{"name":"a text"},2],"other":null})", value));
  EXPECT_EQ(&value["list"][0]["name"], name);
  EXPECT_EQ(name->get_ref<const std::string&>().data(), text);
  EXPECT_EQ(value, json::parse(R"({"list":[{"name":"a text"},2],"other":null})"));
}

TEST_F(FastParse, LeavesWhatIsNoJsonToNlohmann) {
  for (const char* text : {"", " ", "[1", "nul", "1 2", "{\"a\"}", "\"\xFF\"", R"("\uD800")",
                           "[1,]", "\xEF\xBB\xBF[", "1e400"}) {
    EXPECT_FALSE(fast_parse(text)) << text;
  }
}

TEST_F(FastParse, ReadsTextsOfEveryLengthWithoutReadingBehindThem) {
  for (std::size_t length = 1; length < 200'000; length = length * 5 / 4 + 1) {
    const std::string text = json(std::string(length, 'x')).dump();
    // A copy of exact size, so that a read past its end is one past the end of its memory.
    const std::vector<char> exact(text.begin(), text.end());
    EXPECT_EQ(fast_parse({exact.data(), exact.size()}), json(std::string(length, 'x')));
  }
}

}  // namespace
}  // namespace kvstore::test
