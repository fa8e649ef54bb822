#include <kvstore/internal/checksum.hpp>

#include <set>

#include "support.hpp"

namespace kvstore::test {
namespace {

using internal::checksum;

// The numbers were computed apart from the library, by one call of XXH3 over the bytes put
// together: a change of them would make every existing file look damaged.
TEST(Checksum, IsThatOfTheFileFormat) {
  EXPECT_EQ(checksum("", "", "", "", 0), -3411922682318255768);
  EXPECT_EQ(checksum("k", "1", "2023-11-14 22:13:20.000", "", 1'700'000'000'000'000),
            6120776794973280354);
  EXPECT_EQ(checksum("k", "[true]", "2023-11-14 22:13:20.000", "2023-11-14 22:13:21.000", -2),
            4945118953056104137);
}

TEST(Checksum, ChangesWithEveryPart) {
  const std::set<std::int64_t> sums = {
      checksum("k", "v", "u", "e", 1), checksum("K", "v", "u", "e", 1),
      checksum("k", "V", "u", "e", 1), checksum("k", "v", "U", "e", 1),
      checksum("k", "v", "u", "E", 1), checksum("k", "v", "u", "", 1),
      checksum("k", "v", "u", "e", 2)};
  EXPECT_EQ(sums.size(), 7U);
}

TEST(Checksum, KnowsWhereTheKeyEnds) {
  EXPECT_NE(checksum("ab", "c", "", "", 0), checksum("a", "bc", "", "", 0));
  EXPECT_NE(checksum("", "abc", "", "", 0), checksum("abc", "", "", "", 0));
}

TEST(Checksum, SeesEveryBitOfALongValue) {
  std::string value(300, 'v');
  std::set<std::int64_t> sums = {checksum("k", value, "", "", 0)};
  for (std::size_t bit = 0; bit < value.size() * 8; ++bit) {
    const auto mask = static_cast<unsigned char>(1U << (bit % 8));
    char& byte = value[bit / 8];
    byte = static_cast<char>(static_cast<unsigned char>(byte) ^ mask);
    sums.insert(checksum("k", value, "", "", 0));
    byte = static_cast<char>(static_cast<unsigned char>(byte) ^ mask);
  }
  EXPECT_EQ(sums.size(), 300U * 8 + 1);
}

}  // namespace
}  // namespace kvstore::test
