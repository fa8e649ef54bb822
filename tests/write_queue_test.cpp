#include <gtest/gtest.h>

#include <latch>
#include <thread>
#include <vector>

#include <kvstore/internal/write_queue.hpp>

#include "support.hpp"

namespace kvstore::internal {
namespace {

using std::chrono::milliseconds;

WriteQueue::Clock::time_point soon() {
  return WriteQueue::Clock::now() + milliseconds(20);
}
WriteQueue::Clock::time_point never() {
  return WriteQueue::Clock::time_point::max();
}

TEST(WriteQueue, LetsOnlyOneInAtATime) {
  WriteQueue queue("\"store\"", false);
  int inside = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 1000; ++round) {
        const WriteQueue::Turn turn = queue.wait(never());
        EXPECT_EQ(++inside, 1);
        --inside;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(WriteQueue, RefusesWithTheTimeWaitedWhenTheTurnDoesNotCome) {
  WriteQueue queue("\"store\"", false);
  const WriteQueue::Turn held = queue.wait(never());
  std::thread other([&] {
    EXPECT_KV_ERROR(static_cast<void>(queue.wait(soon())), ErrorCode::busy, " ms; try again");
  });
  other.join();
}

TEST(WriteQueue, GoesOnAfterSomebodyGaveUpWaiting) {
  WriteQueue queue("\"store\"", false);
  {
    const WriteQueue::Turn held = queue.wait(never());
    std::thread other([&] { EXPECT_THROW(static_cast<void>(queue.wait(soon())), kvstore::Error); });
    other.join();
  }
  const WriteQueue::Turn next = queue.wait(soon());
}

TEST(WriteQueue, HandsTheTurnToWhoeverWaits) {
  WriteQueue queue("\"store\"", false);
  std::latch started(1);
  bool had_turn = false;
  std::thread other;
  {
    const WriteQueue::Turn held = queue.wait(never());
    other = std::thread([&] {
      started.count_down();
      const WriteQueue::Turn turn = queue.wait(never());
      had_turn = true;
    });
    started.wait();
  }
  other.join();
  EXPECT_TRUE(had_turn);
}

TEST(WriteQueue, LeavesTheLockFreeForOtherProcessesAfterARunOfWrites) {
  WriteQueue queue("\"store\"", true);
  const auto start = WriteQueue::Clock::now();
  auto ended = start;
  WriteQueue::Clock::duration longest_gap{};
  while (ended - start < milliseconds(400)) {
    const WriteQueue::Turn turn = queue.wait(never());
    const auto now = WriteQueue::Clock::now();
    longest_gap = std::max(longest_gap, now - ended);
    ended = now;
  }
  EXPECT_GE(longest_gap, milliseconds(1));
}

TEST(WriteQueue, ForgetsOtherProcessesAfterAWhile) {
  WriteQueue queue("\"store\"", true);
  EXPECT_FALSE(queue.others_within(std::chrono::minutes(1)));
  queue.saw_others();
  EXPECT_TRUE(queue.others_within(std::chrono::minutes(1)));
  EXPECT_FALSE(queue.others_within(std::chrono::seconds(0)));
}

}  // namespace
}  // namespace kvstore::internal
