#include <kvstore/internal/timestamp.hpp>

#include <random>

#include "support.hpp"

namespace kvstore::test {
namespace {

using internal::parse_timestamp;
using internal::Timestamp;

std::string text_of(Time time) {
  return std::string(Timestamp(time).text());
}

Time at(std::int64_t millis) {
  return Time(Duration(millis));
}

TEST(Timestamps, AreWrittenWithMilliseconds) {
  EXPECT_EQ(text_of(at(0)), "1970-01-01 00:00:00.000");
  EXPECT_EQ(text_of(at(1)), "1970-01-01 00:00:00.001");
  EXPECT_EQ(text_of(at(1'700'000'000'123)), "2023-11-14 22:13:20.123");
  EXPECT_EQ(text_of(at(951'782'400'000)), "2000-02-29 00:00:00.000");
  EXPECT_EQ(text_of(at(951'782'399'999)), "2000-02-28 23:59:59.999");
  EXPECT_EQ(text_of(internal::latest_time()), "9999-12-31 23:59:59.999");
}

TEST(Timestamps, OutsideWhatCanBeWrittenAreTheNearestThatCan) {
  EXPECT_EQ(text_of(at(-1)), "1970-01-01 00:00:00.000");
  EXPECT_EQ(text_of(Time::min()), "1970-01-01 00:00:00.000");
  EXPECT_EQ(text_of(internal::latest_time() + Duration(1)), "9999-12-31 23:59:59.999");
  EXPECT_EQ(text_of(Time::max()), "9999-12-31 23:59:59.999");
}

TEST(Timestamps, ReadBackAsTheyWereWrittenAndSortAsText) {
  std::mt19937_64 random(seed());
  const std::int64_t last = internal::latest_time().time_since_epoch().count();
  std::uniform_int_distribution<std::int64_t> any(0, last);
  for (int i = 0; i < 2000; ++i) {
    const Time one = at(any(random));
    const Time other = at(any(random));
    ASSERT_EQ(parse_timestamp(text_of(one)), one);
    ASSERT_EQ(text_of(one) < text_of(other), one < other);
  }
}

TEST(Timestamps, AreReadInTheFormsOfSqlite) {
  const Time moment = at(1'700'000'000'000);
  for (const char* text :
       {"2023-11-14 22:13:20", "2023-11-14T22:13:20", "2023-11-14 22:13:20Z",
        "2023-11-14T22:13:20.000Z", "2023-11-14 22:13:20.0", "2023-11-14 22:13:20.000999"}) {
    EXPECT_EQ(parse_timestamp(text), moment) << text;
  }
  EXPECT_EQ(parse_timestamp("2023-11-14 22:13:20.5"), moment + Duration(500));
  EXPECT_EQ(parse_timestamp("2023-11-14 22:13:20.123456789"), moment + Duration(123));
  EXPECT_EQ(parse_timestamp("1969-12-31 23:59:59.999"), at(-1));
  EXPECT_EQ(parse_timestamp("2023-11-14 22:13"), moment - Duration(20'000));
  EXPECT_EQ(parse_timestamp("2023-11-14T22:13Z"), moment - Duration(20'000));
}

TEST(Timestamps, AreReadWithAnOffsetFromUtc) {
  const Time moment = at(1'700'000'000'000);
  for (const char* text : {"2023-11-14T22:13:20+00:00", "2023-11-14 22:13:20-00:00",
                           "2023-11-14T23:13:20+01:00", "2023-11-15 03:58:20.000+05:45",
                           "2023-11-14T12:13:20.000000-10:00", "2023-11-15 12:13:20+14:00"}) {
    EXPECT_EQ(parse_timestamp(text), moment) << text;
  }
  EXPECT_EQ(parse_timestamp("2023-11-14T23:13+01:00"), moment - Duration(20'000));
}

TEST(Timestamps, InAnyOtherFormAreAbsent) {
  for (const char* text : {"",
                           "x",
                           "2023",
                           "2023-11-14",
                           "2023-11-14 22",
                           "2023-11-14 22:",
                           "2023-11-14 22:13:",
                           "2023-11-14 22:13.5",
                           "2023-11-14 22:13:2",
                           "22:13:20",
                           "2023-11-14  22:13:20",
                           "2023-11-14 22:13:20 ",
                           " 2023-11-14 22:13:20",
                           "2023-11-14 22:13:20x",
                           "2023-11-14 22:13:20ZZ",
                           "2023-11-14 22:13:20+",
                           "2023-11-14 22:13:20+01",
                           "2023-11-14 22:13:20+0100",
                           "2023-11-14 22:13:20+15:00",
                           "2023-11-14 22:13:20+01:60",
                           "2023-11-14 22:13:20+01:00Z",
                           "2023-11-14 22:13:20Z+01:00",
                           "2023-11-14 22:13:20*01:00",
                           "2023/11/14 22:13:20",
                           "2023-11-14_22:13:20",
                           "2023-1-14 22:13:20",
                           "2o23-11-14 22:13:20",
                           "2023-11-14 2x:13:20",
                           "2023-11-14 22.13:20",
                           "-023-11-14 22:13:20",
                           "1700000000"}) {
    EXPECT_EQ(parse_timestamp(text), std::nullopt) << text;
  }
}

TEST(Timestamps, OfDaysAndTimesThatDoNotExistAreAbsent) {
  for (const char* text : {"2023-00-14 00:00:00", "2023-13-14 00:00:00", "2023-11-00 00:00:00",
                           "2023-11-31 00:00:00", "2023-02-29 00:00:00", "2023-11-14 24:00:00",
                           "2023-11-14 23:60:00", "2023-11-14 23:59:60"}) {
    EXPECT_EQ(parse_timestamp(text), std::nullopt) << text;
  }
  EXPECT_NE(parse_timestamp("2024-02-29 00:00:00"), std::nullopt);
}

TEST(Timestamps, OfAnExpiryAreKeptWithinWhatCanBeWritten) {
  const Time now = at(1'700'000'000'000);
  EXPECT_EQ(internal::expiry(now, Duration(5)), now + Duration(5));
  EXPECT_EQ(internal::expiry(now, Duration(-5)), now - Duration(5));
  EXPECT_EQ(internal::expiry(now, Duration::max()), internal::latest_time());
  EXPECT_EQ(internal::expiry(now, Duration::min()), at(0));
  EXPECT_EQ(internal::expiry(Time::max(), Duration(5)), internal::latest_time());
  EXPECT_EQ(internal::expiry(Time::min(), Duration::min()), at(0));
  EXPECT_EQ(internal::expiry(now, internal::latest_time() - now - Duration(1)),
            internal::latest_time() - Duration(1));
}

}  // namespace
}  // namespace kvstore::test
