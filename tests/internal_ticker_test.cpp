#include <gtest/gtest.h>

#include <atomic>
#include <semaphore>

#include <kvstore/internal/ticker.hpp>

namespace kvstore::internal {
namespace {

constexpr std::chrono::milliseconds soon(1);
constexpr std::chrono::seconds most(30);

TEST(Ticker, CallsUntilThereIsNothingLeftToDo) {
  std::binary_semaphore done(0);
  int calls = 0;
  Ticker ticker(soon, [&] {
    if (++calls < 3) return false;
    done.release();
    return true;
  });
  EXPECT_TRUE(ticker.start());
  EXPECT_TRUE(done.try_acquire_for(most));
  ticker.stop();
  EXPECT_EQ(calls, 3);
}

TEST(Ticker, CallsAgainWhenThereIsSomethingToDoAgain) {
  std::binary_semaphore called(0);
  Ticker ticker(soon, [&] {
    called.release();
    return true;
  });
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(ticker.start());
    ASSERT_TRUE(called.try_acquire_for(most));
  }
}

TEST(Ticker, CallsAgainForWhatCameDuringACall) {
  std::binary_semaphore called_again(0);
  std::atomic<int> calls{0};
  Ticker* self = nullptr;
  Ticker ticker(soon, [&] {
    if (++calls == 1) {
      self->start();
    } else {
      called_again.release();
    }
    return true;
  });
  self = &ticker;
  ticker.start();
  EXPECT_TRUE(called_again.try_acquire_for(most));
}

TEST(Ticker, StopsAtOnceAndDoesNotCallAnyMore) {
  std::atomic<int> calls{0};
  Ticker ticker(std::chrono::hours(1), [&] {
    ++calls;
    return true;
  });
  ticker.start();
  ticker.stop();
  EXPECT_EQ(calls, 0);
}

TEST(Ticker, DoesNotStartAfterItStopped) {
  Ticker ticker(soon, [] { return false; });
  EXPECT_TRUE(ticker.start());
  ticker.stop();
  EXPECT_FALSE(ticker.start());
}

}  // namespace
}  // namespace kvstore::internal
