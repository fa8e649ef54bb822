#include <gtest/gtest.h>

#include <functional>
#include <latch>
#include <thread>
#include <vector>

#include <kvstore/internal/write_queue.hpp>

#include "support.hpp"

namespace kvstore::internal {
namespace {

using std::chrono::milliseconds;

bool nobody() {
  return false;
}
bool somebody() {
  return true;
}

WriteQueue::Clock::time_point soon() {
  return WriteQueue::Clock::now() + milliseconds(20);
}
WriteQueue::Clock::time_point never() {
  return WriteQueue::Clock::time_point::max();
}

/// Writes back to back for a while. Returns how long nobody had the turn, in gaps that another
/// process can use.
WriteQueue::Clock::duration time_left_free(
    WriteQueue& queue, milliseconds run,
    const std::function<void(WriteQueue::Clock::time_point)>& work = [](auto) {}) {
  const auto start = WriteQueue::Clock::now();
  auto ended = start;
  WriteQueue::Clock::duration free{};
  while (ended - start < run) {
    const WriteQueue::Turn turn = queue.wait(never());
    const auto now = WriteQueue::Clock::now();
    if (now - ended > std::chrono::microseconds(50)) free += now - ended;
    work(now);
    ended = WriteQueue::Clock::now();
  }
  return free;
}

TEST(WriteQueue, LetsOnlyOneInAtATime) {
  WriteQueue queue("\"store\"", nobody);
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
  WriteQueue queue("\"store\"", nobody);
  const WriteQueue::Turn held = queue.wait(never());
  std::thread other([&] {
    EXPECT_KV_ERROR(static_cast<void>(queue.wait(soon())), ErrorCode::busy, " ms; try again");
  });
  other.join();
}

TEST(WriteQueue, GoesOnAfterSomebodyGaveUpWaiting) {
  WriteQueue queue("\"store\"", nobody);
  {
    const WriteQueue::Turn held = queue.wait(never());
    std::thread other([&] { EXPECT_THROW(static_cast<void>(queue.wait(soon())), kvstore::Error); });
    other.join();
  }
  const WriteQueue::Turn next = queue.wait(soon());
}

TEST(WriteQueue, HandsTheTurnToWhoeverWaits) {
  WriteQueue queue("\"store\"", nobody);
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
  WriteQueue queue("\"store\"", somebody);
  EXPECT_GE(time_left_free(queue, milliseconds(400)), milliseconds(400) / 40);
}

TEST(WriteQueue, LeavesTheLockFreeForLongerWhileOthersWrite) {
  WriteQueue queue("\"store\"", somebody);
  queue.saw_others();
  EXPECT_GE(time_left_free(queue, milliseconds(400)), milliseconds(400) / 10);
}

TEST(WriteQueue, LeavesTheLockFreeAlsoAfterLongTransactions) {
  WriteQueue queue("\"store\"", somebody);
  const auto at_work = [](WriteQueue::Clock::time_point since) {
    while (WriteQueue::Clock::now() - since < milliseconds(20)) std::this_thread::yield();
  };
  EXPECT_GE(time_left_free(queue, milliseconds(400), at_work), milliseconds(400) / 40);
}

TEST(WriteQueue, AsksForNeighboursBeforeItLeavesTheLockFree) {
  int asked = 0;
  WriteQueue queue("\"store\"", [&] {
    ++asked;
    return false;
  });
  time_left_free(queue, milliseconds(400));
  EXPECT_GT(asked, 0);
}

TEST(WriteQueue, ForgetsOtherProcessesAfterAWhile) {
  WriteQueue queue("\"store\"", somebody);
  EXPECT_FALSE(queue.others_within(std::chrono::minutes(1)));
  queue.saw_others();
  EXPECT_TRUE(queue.others_within(std::chrono::minutes(1)));
  EXPECT_FALSE(queue.others_within(std::chrono::seconds(0)));
}

}  // namespace
}  // namespace kvstore::internal
