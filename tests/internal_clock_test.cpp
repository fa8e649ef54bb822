#include <kvstore/internal/clock.hpp>

#include <latch>
#include <thread>

#include "support.hpp"

namespace kvstore::test {
namespace {

TEST(Clock, ShowsWhatItsSourceShows) {
  FakeClock source;
  internal::Clock clock(source.source());
  EXPECT_EQ(clock.now(), source.now());
  EXPECT_EQ(clock.micros(), source.now().time_since_epoch().count() * 1000);
  source.advance(Duration(1));
  EXPECT_EQ(clock.now(), source.now());
}

TEST(Clock, NeverGoesBack) {
  FakeClock source;
  internal::Clock clock(source.source());
  const Time latest = clock.now();
  source.advance(Duration(-1000));
  EXPECT_EQ(clock.now(), latest);
  source.advance(Duration(999));
  EXPECT_EQ(clock.now(), latest);
  source.advance(Duration(2));
  EXPECT_EQ(clock.now(), latest + Duration(1));
}

TEST(Clock, ForgetsNothingOfWhatOnlyOneThreadSaw) {
  FakeClock source;
  internal::Clock clock(source.source());
  std::latch start(4);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      start.arrive_and_wait();
      Time latest{};
      for (int step = 0; step < 2000; ++step) {
        source.advance(Duration(step % 3 - 1));
        const Time now = clock.now();
        EXPECT_GE(now, latest);
        latest = now;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(Clock, IsTheSystemClockByDefault) {
  internal::Clock clock({});
  internal::Clock other({});
  const auto before = std::chrono::system_clock::now() - std::chrono::seconds(60);
  EXPECT_GE(clock.now(), std::chrono::floor<Duration>(before));
  const std::int64_t first = clock.micros();
  EXPECT_GE(other.micros(), first);
  EXPECT_GE(clock.micros(), first);
}

}  // namespace
}  // namespace kvstore::test
