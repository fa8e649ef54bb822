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
  IdleTimer timer(std::chrono::milliseconds(1), [&] {
    acted.release();
    return true;
  });
  EXPECT_TRUE(timer.touch());
  EXPECT_TRUE(acted.try_acquire_for(most));
}

TEST(IdleTimer, ActsAgainAfterAnotherTouch) {
  std::binary_semaphore acted(0);
  IdleTimer timer(std::chrono::milliseconds(1), [&] {
    acted.release();
    return true;
  });
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(timer.touch());
    ASSERT_TRUE(acted.try_acquire_for(most));
  }
}

TEST(IdleTimer, DoesNotActWhileItIsTouchedOften) {
  constexpr std::chrono::milliseconds after(20);
  std::atomic<int> acted{0};
  IdleTimer timer(after, [&] {
    ++acted;
    return true;
  });
  Clock::duration longest_gap{};
  const auto start = Clock::now();
  auto last = start;
  while (last - start < 10 * after) {
    timer.touch();
    const auto now = Clock::now();
    longest_gap = std::max(longest_gap, now - last);
    last = now;
  }
  const int times = acted;
  longest_gap = std::max(longest_gap, Clock::now() - last);
  // A busy machine may have kept this thread from it.
  EXPECT_TRUE(times == 0 || longest_gap >= after / 2) << times << " times";
}

TEST(IdleTimer, ActsUntilItIsDone) {
  std::binary_semaphore done(0);
  int calls = 0;
  IdleTimer timer(std::chrono::milliseconds(1), [&] {
    if (++calls < 3) return false;
    done.release();
    return true;
  });
  EXPECT_TRUE(timer.touch());
  EXPECT_TRUE(done.try_acquire_for(most));
  timer.stop();
  EXPECT_EQ(calls, 3);
}

TEST(IdleTimer, StopsAtOnceAndDoesNotActAnyMore) {
  std::atomic<int> acted{0};
  IdleTimer timer(std::chrono::hours(1), [&] {
    ++acted;
    return true;
  });
  timer.touch();
  timer.stop();
  EXPECT_EQ(acted, 0);
}

TEST(IdleTimer, RefusesATouchAfterItStopped) {
  IdleTimer timer(std::chrono::milliseconds(1), [] { return true; });
  timer.stop();
  EXPECT_FALSE(timer.touch());
}

}  // namespace
}  // namespace kvstore::internal
