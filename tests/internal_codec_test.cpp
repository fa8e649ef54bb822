#include <kvstore/internal/codec.hpp>

#include <limits>

#include "support.hpp"

namespace kvstore::test {
namespace {

constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

TEST(Codec, WritesWhatItReads) {
  const json value = {{"a", {1, -1, 1.5, true, nullptr, "\n\"\\"}}, {"", json::object()}};
  EXPECT_EQ(internal::decode(internal::encode(value, "k", unlimited), "k"), value);
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
