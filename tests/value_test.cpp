#include <unistd.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "behaviour.hpp"

namespace kvstore::test {
namespace {

/// Arrays in arrays, this deep.
json nested(std::size_t depth) {
  json value = json::array();
  for (std::size_t i = 1; i < depth; ++i) {
    json outer = json::array();
    outer.push_back(std::move(value));
    value = std::move(outer);
  }
  return value;
}

std::string nested_text(std::size_t depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

class Values : public OnEveryEngine {
 protected:
  /// What one store gives back of a value.
  json stored(const json& value) {
    store_.set("k", value);
    return store_.get("k").value();
  }

  /// Every way to store a value refuses this one, names the place, and changes nothing.
  void expect_refused(const json& value, const std::string& part) {
    const Revision witness = store_.set("k", "before");
    const auto refused = [&](const std::string& way, const std::function<void()>& write) {
      SCOPED_TRACE(way);
      EXPECT_KV_ERROR(write(), ErrorCode::invalid_value, part);
    };
    refused("set", [&] { store_.set("k", value); });
    refused("insert", [&] { store_.insert("new", value); });
    refused("replace", [&] { static_cast<void>(store_.replace("k", value, witness)); });
    refused("update", [&] { store_.update("k", [&](json& stored) { stored = value; }); });
    refused("update or start", [&] { store_.update("new", value, [](json&) {}); });
    refused("set_many", [&] { store_.set_many({{"other", 1}, {"k", value}}); });
    refused("set at the root", [&] { store_.set("k", json::json_pointer(), value); });
    EXPECT_EQ(store_.get("k"), json("before"));
    EXPECT_EQ(store_.entry("k")->revision, witness);
    EXPECT_EQ(store_.keys(), std::vector<std::string>{"k"});
  }

  void expect_text_refused(const std::string& text, const std::string& part) {
    SCOPED_TRACE(text.substr(0, 60));
    EXPECT_KV_ERROR(store_.set_text("text", text), ErrorCode::invalid_value, part);
    EXPECT_FALSE(store_.contains("text"));
  }
};
KVSTORE_TEST_ON_EVERY_ENGINE(Values);

TEST_P(Values, OfEveryTypeComeBackAsTheyWere) {
  for (const json& value :
       {json(), json(true), json(false), json(0), json(-1), json(0.0), json(""), json("text"),
        json::array(), json::object(), json({1, {2, {3}}}), json({{"a", {{"b", nullptr}}}}),
        json({{"", 1}, {"/", 2}, {"~", 3}, {"\"", 4}, {" ", 5}})}) {
    const json back = stored(value);
    EXPECT_EQ(back, value);
    EXPECT_EQ(back.dump(), value.dump());
  }
}

TEST_P(Values, KeepEveryBitOfAnInteger) {
  constexpr std::int64_t two_to_53 = std::int64_t{1} << 53;
  for (const std::int64_t number :
       {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::min() + 1,
        -two_to_53 - 1, std::int64_t{-1}, std::int64_t{0}, two_to_53 + 1,
        std::numeric_limits<std::int64_t>::max()}) {
    const json back = stored(number);
    EXPECT_TRUE(back.is_number_integer());
    EXPECT_EQ(back.get<std::int64_t>(), number);
  }
  for (const std::uint64_t number :
       {std::uint64_t{0}, std::uint64_t{1} << 63U, std::numeric_limits<std::uint64_t>::max() - 1,
        std::numeric_limits<std::uint64_t>::max()}) {
    const json back = stored(number);
    EXPECT_TRUE(back.is_number_unsigned());
    EXPECT_EQ(back.get<std::uint64_t>(), number);
  }
}

TEST_P(Values, KeepEveryBitOfADouble) {
  using Limits = std::numeric_limits<double>;
  for (const double number :
       {0.0, -0.0, 1.0, -1.0, 0.1, 1.0 / 3, 1e22, 1e23, 123456789012345680.0, 9007199254740993.0,
        Limits::max(), Limits::lowest(), Limits::min(), Limits::denorm_min(), -Limits::denorm_min(),
        Limits::epsilon(), 18446744073709551616.0, -9223372036854775808.0}) {
    const json back = stored(number);
    EXPECT_TRUE(back.is_number_float()) << number;
    EXPECT_EQ(std::bit_cast<std::uint64_t>(back.get<double>()),
              std::bit_cast<std::uint64_t>(number))
        << number;
  }
}

TEST_P(Values, KeepEveryBitOfRandomNumbers) {
  std::mt19937_64 random(seed());
  json numbers = json::array();
  std::vector<std::uint64_t> bits;
  while (bits.size() < 3000) {
    const std::uint64_t drawn = random();
    if (!std::isfinite(std::bit_cast<double>(drawn))) continue;
    bits.push_back(drawn);
    numbers.push_back({std::bit_cast<double>(drawn), drawn, std::bit_cast<std::int64_t>(drawn)});
  }
  const json back = stored(numbers);
  for (std::size_t i = 0; i < bits.size(); ++i) {
    ASSERT_EQ(std::bit_cast<std::uint64_t>(back[i][0].get<double>()), bits[i]);
    ASSERT_EQ(back[i][1].get<std::uint64_t>(), bits[i]);
    ASSERT_EQ(back[i][2].get<std::int64_t>(), std::bit_cast<std::int64_t>(bits[i]));
  }
}

TEST_P(Values, KeepEveryCharacter) {
  std::string all;
  for (char c = 0; c < 0x7F; ++c) all += c;
  all += "\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF\xF0\x90\x80\x80";
  all += "\xF4\x8F\xBF\xBF\xEF\xBB\xBF";
  EXPECT_EQ(stored(all), json(all));
  EXPECT_EQ(stored({{all, 1}}), json({{all, 1}}));
}

TEST_P(Values, NestAsDeepAs512Levels) {
  EXPECT_EQ(stored(nested(512)), nested(512));
  json objects = 1;
  for (int i = 0; i < 512; ++i) objects = json::object({{"a", std::move(objects)}});
  EXPECT_EQ(stored(objects), objects);
  store_.set_text("text", nested_text(512));
  EXPECT_EQ(store_.get("text"), nested(512));
}

TEST_P(Values, ThatNestDeeperAreRefused) {
  std::string place;
  for (int i = 0; i < 90; ++i) place += "/0";
  expect_refused(nested(513), place);
  expect_refused(nested(513), "512");
  expect_text_refused(nested_text(513), place);
  expect_text_refused(std::string(100'000, '['), "512");
}

TEST_P(Values, ThatBecomeTooDeepAtAPlaceAreRefused) {
  store_.set("k", json::array({nested(510)}));
  json::json_pointer deepest;
  for (int i = 0; i < 511; ++i) deepest /= i == 510 ? "-" : "0";
  EXPECT_GT(store_.set("k", deepest, json::array()), 0);
  EXPECT_KV_ERROR(store_.set("k", deepest, json::array({json::array()})), ErrorCode::invalid_value,
                  "512");
}

TEST_P(Values, MadeOfAVeryLongPointerAreRefused) {
  json::json_pointer way;
  for (int i = 0; i < 20'000; ++i) way /= "a";
  EXPECT_KV_ERROR(store_.set("k", way, 1), ErrorCode::invalid_value, "512");
  EXPECT_FALSE(store_.contains("k"));
}

TEST_P(Values, MayBeAsLongAsTheLimitAndNoLonger) {
  Options small = options();
  small.max_value_bytes = 10;
  const TempDir dir;
  KVStore store = open_in(dir, small);
  store.set("k", "12345678");
  store.set("e", "\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9");
  EXPECT_EQ(store.get_text("k"), "\"12345678\"");
  EXPECT_KV_ERROR(store.set("k", "123456789"), ErrorCode::invalid_value, "11 bytes");
  EXPECT_KV_ERROR(store.set("k", "\n\n\n\n\n"), ErrorCode::invalid_value, "12 bytes");
  store.set_text("t", "[1,2,3,4 ]");
  EXPECT_KV_ERROR(store.set_text("t", "[1,2,3,4  ]"), ErrorCode::invalid_value, "11 bytes");
  store.set("a", {1, 2, 3});
  EXPECT_KV_ERROR(store.set("a", "/-"_json_pointer, "long"), ErrorCode::invalid_value, "14 bytes");
  EXPECT_KV_ERROR(store.update("a", [](json& value) { value.push_back(1000); }),
                  ErrorCode::invalid_value, "max_value_bytes");
  EXPECT_EQ(store.get("a"), json({1, 2, 3}));
  EXPECT_EQ(store.get_text("t"), "[1,2,3,4 ]");
}

TEST_P(Values, OfMegabytesComeBackWhole) {
  const std::string large(5'000'000, 'x');
  EXPECT_EQ(stored({{"large", large}}), json({{"large", large}}));
}

TEST_P(Values, WithNanOrInfinityAreRefused) {
  using Limits = std::numeric_limits<double>;
  for (const double number : {Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity()}) {
    expect_refused(number, "NaN");
    expect_refused({{"a", {1, {{"b", number}}}}}, "\"/a/1/b\"");
  }
}

TEST_P(Values, WithBinaryDataAreRefused) {
  expect_refused(json::binary({1, 2}), "binary");
  expect_refused({{"a/b", {{"c~d", json::binary({})}}}}, "\"/a~1b/c~0d\"");
}

TEST_P(Values, OfAFailedParseAreRefused) {
  const json discarded(json::value_t::discarded);
  expect_refused(discarded, "failed parse");
  json document = json::array({1});
  document.push_back(discarded);
  expect_refused(document, "\"/1\"");
}

TEST_P(Values, WithInvalidUtf8AreRefused) {
  for (const char* bytes : {"\xFF", "\x80", "a\xC3", "\xC0\xAF", "\xE0\x80\x80", "\xED\xA0\x80",
                            "\xF0\x80\x80\x80", "\xF4\x90\x80\x80", "\xF8\x88\x80\x80\x80"}) {
    expect_refused(bytes, "UTF-8");
    expect_refused({{"list", {0, bytes}}}, "\"/list/1\"");
    expect_refused({{"outer", {{bytes, 1}}}}, "\"/outer\"");
    expect_text_refused("[\"" + std::string(bytes) + "\"]", "UTF-8");
    expect_text_refused("{\"" + std::string(bytes) + "\": 1}", "UTF-8");
  }
}

TEST_P(Values, RefusedAtAPlaceChangeNothing) {
  store_.set("k", {{"a", 1}});
  EXPECT_KV_ERROR(store_.set("k", "/b"_json_pointer, std::nan("")), ErrorCode::invalid_value,
                  "\"/b\"");
  EXPECT_KV_ERROR(store_.set("new", "/b"_json_pointer, json::binary({})), ErrorCode::invalid_value,
                  "\"/b\"");
  EXPECT_EQ(store_.get("k"), json({{"a", 1}}));
  EXPECT_FALSE(store_.contains("new"));
}

TEST_P(Values, ErrorsNameTheKey) {
  EXPECT_KV_ERROR(store_.set("the key", std::nan("")), ErrorCode::invalid_value, "\"the key\"");
  EXPECT_KV_ERROR(store_.set_text("the key", "{"), ErrorCode::invalid_value, "\"the key\"");
}

class Texts : public Values {};
KVSTORE_TEST_ON_EVERY_ENGINE(Texts);

TEST_P(Texts, ThatAreNoJsonAreRefused) {
  for (const char* text :
       {"",      " ",         "{",    "[1",       "[1,]",   "{\"a\":1,}", "{a:1}",    "'a'",
        "nul",   "True",      "NaN",  "Infinity", "-",      "+1",         "01",       "1.",
        ".5",    "1e",        "0x1",  "\"a",      "\"\t\"", "\"\\x\"",    "[1 2]",    "// 1\n1",
        "/**/1", "\"\\u12\"", "<a/>", "\xFF",     "]",      "{\"a\"}",    "{\"a\":}", "{1:2}"}) {
    expect_text_refused(text, "not JSON");
  }
}

TEST_P(Texts, WithSomethingBehindTheValueAreRefused) {
  for (const char* text : {"1 2", "{} x", "[]]", "null,", "\"a\"\"b\"", "{}{}", "1\xEF\xBB\xBF"}) {
    expect_text_refused(text, "not JSON");
  }
}

TEST_P(Texts, WithANulByteAreRefused) {
  expect_text_refused(std::string("1\0", 2), "NUL");
  expect_text_refused(std::string("\0", 1), "NUL");
  expect_text_refused(std::string("1\0garbage]]", 11), "NUL");
  expect_text_refused(std::string("\"a\0b\"", 5), "NUL");
}

TEST_P(Texts, MayHoldAnEscapedNul) {
  store_.set_text("text", "\"a\\u0000b\"");
  EXPECT_EQ(store_.get("text"), json(std::string("a\0b", 3)));
}

TEST_P(Texts, WithAByteOrderMarkAreRefused) {
  expect_text_refused("\xEF\xBB\xBF{}", "byte order mark");
  expect_text_refused("\xEF\xBB\xBF", "byte order mark");
}

TEST_P(Texts, WithANameTwiceInOneObjectAreRefused) {
  expect_text_refused(R"({"a":1,"a":1})", "\"/a\"");
  expect_text_refused(R"({"a":1,"\u0061":2})", "twice");
  expect_text_refused(R"([0,{"b":[{"c":1,"d":2,"c":3}]}])", "\"/1/b/0/c\"");
  expect_text_refused(R"({"":1,"":2})", "\"/\"");
}

TEST_P(Texts, MayRepeatANameInAnotherObject) {
  const std::string text = R"({"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]})";
  store_.set_text("text", text);
  EXPECT_EQ(store_.get("text"), json::parse(text));
}

TEST_P(Texts, WithANumberThatNoDoubleHoldsAreRefused) {
  expect_text_refused("1e999", "number overflow");
  expect_text_refused("[1, -1e999]", "number overflow");
  expect_text_refused("{\"a\": 1" + std::string(400, '0') + "}", "number overflow");
}

TEST_P(Texts, WithALoneSurrogateAreRefused) {
  for (const char* text :
       {R"("\uD800")", R"("\uDC00")", R"("\uD800\uD800")", R"("\uD800x")", R"({"\uDFFF":1})"}) {
    expect_text_refused(text, "not JSON");
  }
}

TEST_P(Texts, WithAPairOfSurrogatesAreOneCharacter) {
  store_.set_text("text", R"("\uD83D\uDE00")");
  EXPECT_EQ(store_.get("text"), json("\xF0\x9F\x98\x80"));
}

TEST_P(Texts, AreKeptByteForByte) {
  for (const std::string text :
       {" 1 ", "1.50", "1E2", "\t[ ]\r\n", R"({"b":1,"a":2})", R"("\u0041\/")", "-0",
        "100000000000000000000", "0.1000000000000000055511151231257827"}) {
    store_.set_text("text", text);
    EXPECT_EQ(store_.get_text("text"), text);
  }
}

TEST_P(Texts, OfValuesAreCompactWithSortedNames) {
  store_.set("k", {{"b", 1}, {"a", {1, "\xC3\xA9"}}});
  EXPECT_EQ(store_.get_text("k"), "{\"a\":[1,\"\xC3\xA9\"],\"b\":1}");
}

TEST_P(Texts, RefusedLeaveTheEntryAsItWas) {
  const Revision before = store_.set_text("k", "[1]");
  EXPECT_KV_ERROR(store_.set_text("k", "[1"), ErrorCode::invalid_value, "not JSON");
  EXPECT_EQ(store_.get_text("k"), "[1]");
  EXPECT_EQ(store_.entry("k")->revision, before);
}

TEST_P(Texts, RefusedInsideADocumentNameThePlace) {
  expect_text_refused(R"({"a":[0,1e999]})", "\"/a/1\"");
  expect_text_refused(R"({"a":{"b":"\uD800"}})", "\"/a/b\"");
  expect_text_refused("{\"a\":[\"\xFF\"]}", "\"/a/0\"");
}

/// Copying such a value would exhaust the stack, so each way is tried in a process of its own.
void expect_orderly_refusal(const std::function<void(KVStore&, json&)>& write) {
  const auto attempt = [&] {
    KVStore store(":memory:");
    json deep = nested(200'000);
    try {
      write(store, deep);
    } catch (const Error& error) {
      _exit(error.code() == ErrorCode::invalid_value && store.count() == 0 ? 0 : 1);
    }
    _exit(2);
  };
  EXPECT_EXIT(attempt(), ::testing::ExitedWithCode(0), "");
}

TEST(VeryDeepValues, AreRefusedWholeInOrder) {
  expect_orderly_refusal([](KVStore& s, json& deep) { s.set("k", deep); });
  expect_orderly_refusal([](KVStore& s, json& deep) { s.insert("k", deep); });
  expect_orderly_refusal([](KVStore& s, json& deep) {
    s.update("k", json(), [&](json& value) { value = std::move(deep); });
  });
}

TEST(VeryDeepValues, AreRefusedAtAPlaceInOrder) {
  expect_orderly_refusal(
      [](KVStore& s, json& deep) { s.set("k", json::json_pointer("/a"), deep); });
}

TEST(VeryDeepValues, AreRefusedAsAnInitialValueInOrder) {
  expect_orderly_refusal(
      [](KVStore& s, json& deep) { s.update("k", std::move(deep), [](json&) {}); });
}

}  // namespace
}  // namespace kvstore::test
