#include <gtest/gtest.h>

#include <atomic>
#include <semaphore>

#include <kvstore/internal/idle_timer.hpp>

namespace kvstore::internal {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds most(30);

TEST(IdleTimer, ActsAfterATouch) {
  std::binary_semaphore acted(0);
  IdleTimer timer(std::chrono::milliseconds(1), [&] { acted.release(); });
  EXPECT_TRUE(timer.touch());
  EXPECT_TRUE(acted.try_acquire_for(most));
}

TEST(IdleTimer, ActsAgainAfterAnotherTouch) {
  std::binary_semaphore acted(0);
  IdleTimer timer(std::chrono::milliseconds(1), [&] { acted.release(); });
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(timer.touch());
    ASSERT_TRUE(acted.try_acquire_for(most));
  }
}

TEST(IdleTimer, DoesNotActWhileItIsTouchedOften) {
  constexpr std::chrono::milliseconds after(20);
  std::atomic<int> acted{0};
  IdleTimer timer(after, [&] { ++acted; });
  Clock::duration longest_gap{};
  const auto start = Clock::now();
  for (auto last = start; last - start < 10 * after;) {
    timer.touch();
    const auto now = Clock::now();
    longest_gap = std::max(longest_gap, now - last);
    last = now;
  }
  // A busy machine may have kept this thread from it.
  EXPECT_TRUE(acted == 0 || longest_gap >= after / 2) << acted << " times";
}

TEST(IdleTimer, DoesNotActWithoutATouch) {
  std::atomic<int> acted{0};
  {
    const IdleTimer timer(std::chrono::milliseconds(0), [&] { ++acted; });
  }
  EXPECT_EQ(acted, 0);
}

TEST(IdleTimer, StopsAtOnceAndDoesNotActAnyMore) {
  std::atomic<int> acted{0};
  IdleTimer timer(std::chrono::hours(1), [&] { ++acted; });
  timer.touch();
  timer.stop();
  EXPECT_EQ(acted, 0);
}

TEST(IdleTimer, RefusesATouchAfterItStopped) {
  IdleTimer timer(std::chrono::milliseconds(1), [] {});
  timer.stop();
  EXPECT_FALSE(timer.touch());
}

}  // namespace
}  // namespace kvstore::internal
