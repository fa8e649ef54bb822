#include <kvstore/internal/key.hpp>

#include "support.hpp"

namespace kvstore::test {
namespace {

constexpr engine::Dialect dialect{.key_ceiling = "\xFF"};

std::pair<std::string, std::string> span(const Range& range) {
  const internal::Bounds bounds = internal::bounds(range, dialect);
  return {bounds.lower, bounds.upper};
}

using Span = std::pair<std::string, std::string>;

TEST(Bounds, OfEverythingReachFromTheEmptyKeyToTheCeiling) {
  EXPECT_EQ(span({}), Span("", "\xFF"));
}

TEST(Bounds, OfAPrefixEndAtTheFirstTextBehindIt) {
  EXPECT_EQ(span({.prefix = "a"}), Span("a", "b"));
  EXPECT_EQ(span({.prefix = "a/"}), Span("a/", "a0"));
  EXPECT_EQ(span({.prefix = "a\x7F"}), Span("a\x7F", "a\x80"));
  EXPECT_EQ(span({.prefix = "a\xFE"}), Span("a\xFE", "a\xFF"));
}

TEST(Bounds, OfAPrefixCarryOverBytesThatCannotGrow) {
  EXPECT_EQ(span({.prefix = "a\xFF"}), Span("a\xFF", "b"));
  EXPECT_EQ(span({.prefix = "a\xFF\xFF"}), Span("a\xFF\xFF", "b"));
  EXPECT_EQ(span({.prefix = "\xFF\xFF"}), Span("\xFF\xFF", "\xFF"));
}

TEST(Bounds, AreNarrowedByTheTighterField) {
  EXPECT_EQ(span({.prefix = "a", .from = "aa", .until = "ab"}), Span("aa", "ab"));
  EXPECT_EQ(span({.prefix = "b", .from = "a", .until = "z"}), Span("b", "c"));
  EXPECT_EQ(span({.from = "a", .after = "b"}), Span("b\x01", "\xFF"));
  EXPECT_EQ(span({.from = "c", .after = "b"}), Span("c", "\xFF"));
}

TEST(Keys, AreRefusedInWordsThatSayWhatToDo) {
  const Options options{.max_key_bytes = 3};
  EXPECT_NO_THROW(internal::check_key("", options));
  EXPECT_NO_THROW(internal::check_key("abc", options));
  EXPECT_KV_ERROR(internal::check_key("abcd", options), ErrorCode::invalid_key,
                  "the key \"abcd\" has 4 bytes, more than Options::max_key_bytes = 3");
  EXPECT_KV_ERROR(internal::check_key(std::string_view("a\0", 2), options), ErrorCode::invalid_key,
                  "\"a\\x00\" holds a NUL byte");
  EXPECT_KV_ERROR(internal::check_key("\xC3", options), ErrorCode::invalid_key,
                  "\"\\xc3\" is not valid UTF-8");
}

}  // namespace
}  // namespace kvstore::test
