#include <kvstore/engine/text.hpp>

#include "support.hpp"

namespace kvstore::test {
namespace {

using engine::in_quotes;
using engine::valid_utf8;

std::string bytes(std::initializer_list<unsigned> values) {
  std::string text;
  for (const unsigned value : values) text += static_cast<char>(value);
  return text;
}

/// The UTF-8 of a code point, by the definition; also of those that have no valid form.
std::string encoded(unsigned point) {
  if (point < 0x80) return bytes({point});
  if (point < 0x800) return bytes({0xC0 | (point >> 6U), 0x80 | (point & 0x3FU)});
  const unsigned last = 0x80 | (point & 0x3FU);
  const unsigned middle = 0x80 | ((point >> 6U) & 0x3FU);
  if (point < 0x10000) return bytes({0xE0 | (point >> 12U), middle, last});
  return bytes({0xF0 | (point >> 18U), 0x80 | ((point >> 12U) & 0x3FU), middle, last});
}

TEST(Utf8, IsValidForEveryCharacterAndForNoSurrogate) {
  for (unsigned point = 0; point <= 0x1FFFFF; ++point) {
    const bool character = point <= 0x10FFFF && (point < 0xD800 || point > 0xDFFF);
    ASSERT_EQ(valid_utf8(encoded(point)), character) << point;
  }
}

TEST(Utf8, IsNotValidWhenCutShort) {
  for (const unsigned point : {0x80U, 0x7FFU, 0x800U, 0xFFFFU, 0x10000U, 0x10FFFFU}) {
    const std::string whole = encoded(point);
    for (std::size_t length = 1; length < whole.size(); ++length) {
      EXPECT_FALSE(valid_utf8(whole.substr(0, length))) << point;
      EXPECT_FALSE(valid_utf8(whole.substr(0, length) + "a")) << point;
      EXPECT_FALSE(valid_utf8(whole.substr(length))) << point;
    }
  }
}

TEST(Utf8, IsNotValidInALongerFormThanNeeded) {
  EXPECT_FALSE(valid_utf8(bytes({0xC0, 0x80})));
  EXPECT_FALSE(valid_utf8(bytes({0xC1, 0xBF})));
  EXPECT_FALSE(valid_utf8(bytes({0xE0, 0x9F, 0xBF})));
  EXPECT_FALSE(valid_utf8(bytes({0xF0, 0x8F, 0xBF, 0xBF})));
}

TEST(Utf8, IsNotValidWithAByteThatStartsNothing) {
  for (unsigned first = 0x80; first <= 0xFF; ++first) {
    EXPECT_FALSE(valid_utf8(bytes({first}))) << first;
    if (first < 0xC2 || first > 0xF4) {
      EXPECT_FALSE(valid_utf8(bytes({first, 0x80, 0x80, 0x80}))) << first;
    }
  }
}

TEST(Utf8, IsLookedAtToTheLastByteWhateverTheLength) {
  for (std::size_t length = 0; length < 40; ++length) {
    std::string text(length, 'a');
    EXPECT_TRUE(valid_utf8(text));
    for (std::size_t i = 0; i < length; ++i) {
      text[i] = '\xFF';
      EXPECT_FALSE(valid_utf8(text)) << i << " of " << length;
      text[i] = 'a';
    }
  }
}

TEST(Quotes, ShowATextAsItIs) {
  EXPECT_EQ(in_quotes(""), "\"\"");
  EXPECT_EQ(in_quotes("a b/c"), "\"a b/c\"");
  EXPECT_EQ(in_quotes("\xC3\xA9\xF0\x9F\x98\x80"), "\"\xC3\xA9\xF0\x9F\x98\x80\"");
}

TEST(Quotes, EscapeWhatCouldDeceive) {
  EXPECT_EQ(in_quotes("a\"b\\c"), R"("a\"b\\c")");
  EXPECT_EQ(in_quotes(std::string("\0\n\x1B\x7F", 4)), R"("\x00\x0a\x1b\x7f")");
  EXPECT_EQ(in_quotes("a\xFF\xC3"), R"("a\xff\xc3")");
}

TEST(Quotes, ShortenALongTextAndSayHowLongItIs) {
  EXPECT_EQ(in_quotes(std::string(200, 'a')), '"' + std::string(200, 'a') + '"');
  EXPECT_EQ(in_quotes(std::string(201, 'a')), '"' + std::string(200, 'a') + "\"… (201 bytes)");
}

TEST(Quotes, DoNotCutACharacterInTwo) {
  const std::string shown = in_quotes(std::string(199, 'a') + "\xC3\xA9" + "rest");
  EXPECT_TRUE(valid_utf8(shown));
  EXPECT_NE(shown.find("\xC3\xA9"), std::string::npos);
  EXPECT_EQ(shown.find("rest"), std::string::npos);
}

}  // namespace
}  // namespace kvstore::test
