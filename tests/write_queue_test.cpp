#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <latch>
#include <memory>
#include <optional>
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

void stay_at_work(WriteQueue::Clock::duration time) {
  const auto since = WriteQueue::Clock::now();
  while (WriteQueue::Clock::now() - since < time) std::this_thread::yield();
}

/// Writes back to back for a while. Returns how long nobody had the turn, in gaps that another
/// process can use.
WriteQueue::Clock::duration time_left_free(
    WriteQueue& queue, milliseconds run, const std::function<void()>& work = [] {}) {
  const auto start = WriteQueue::Clock::now();
  auto ended = start;
  WriteQueue::Clock::duration free{};
  while (ended - start < run) {
    const WriteQueue::Turn turn = queue.wait(never());
    const auto now = WriteQueue::Clock::now();
    if (now - ended > std::chrono::microseconds(50)) free += now - ended;
    work();
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

/// How many turns a busy thread takes, of `length` each, while another waits for one of its own.
int turns_beside_a_waiter(WriteQueue& queue, milliseconds length) {
  std::atomic<bool> waiting = false;
  std::atomic<bool> had_turn = false;
  std::thread other;
  int turns = 0;
  while (!had_turn) {
    const WriteQueue::Turn turn = queue.wait(never());
    if (!other.joinable()) {
      other = std::thread([&] {
        waiting = true;
        const WriteQueue::Turn own = queue.wait(never());
        had_turn = true;
      });
    }
    if (waiting) ++turns;
    stay_at_work(length);
  }
  other.join();
  return turns;
}

TEST(WriteQueue, HandsTheTurnToWhoHasWaitedForSomeTime) {
  WriteQueue queue("\"store\"", nobody);
  int turns = 0;
  for (int i = 0; i < 20; ++i) turns += turns_beside_a_waiter(queue, milliseconds(2));
  EXPECT_LE(turns, 20 * 10);
}

/// Whether a call that waits for 1 ms gets the turn of a busy thread that ends one late in that
/// time, and takes the next at once. Absent: that thread was late itself.
std::optional<bool> gets_turn_in_time(WriteQueue& queue) {
  using Clock = WriteQueue::Clock;
  constexpr std::chrono::microseconds patience(1000);
  std::atomic<Clock::time_point> start = Clock::time_point();
  bool had_turn = false;
  std::thread other;
  Clock::time_point ended;
  {
    const WriteQueue::Turn turn = queue.wait(never());
    other = std::thread([&] {
      start = Clock::now();
      try {
        const WriteQueue::Turn own = queue.wait(start.load() + patience);
        had_turn = true;
      } catch (const Error&) {
        had_turn = false;
      }
    });
    while (start.load() == Clock::time_point()) std::this_thread::yield();
    while (Clock::now() - start.load() < patience * 3 / 4) std::this_thread::yield();
  }
  {
    const WriteQueue::Turn turn = queue.wait(never());
    ended = Clock::now();
    other.join();
  }
  if (!had_turn && ended >= start.load() + patience) return std::nullopt;
  return had_turn;
}

TEST(WriteQueue, HandsTheTurnInTimeToWhoDoesNotWaitForLong) {
  WriteQueue queue("\"store\"", nobody);
  int refused = 0;
  for (int rounds = 0; rounds < 50;) {
    const std::optional<bool> in_time = gets_turn_in_time(queue);
    if (!in_time) continue;
    ++rounds;
    refused += *in_time ? 0 : 1;
  }
  EXPECT_LT(refused, 25);
}

/// Takes the calls that wait, as soon as there is one.
std::unique_ptr<WriteQueue::Group> group_of_waiting(WriteQueue& queue) {
  auto group = std::make_unique<WriteQueue::Group>(queue);
  const auto start = WriteQueue::Clock::now();
  while (group->members().empty() && WriteQueue::Clock::now() - start < std::chrono::seconds(10)) {
    std::this_thread::yield();
    group = std::make_unique<WriteQueue::Group>(queue);
  }
  return group;
}

/// The outcome of a call whose work is done by whoever has the turn.
WriteQueue::Member::Outcome outcome_of_call(WriteQueue& queue,
                                            WriteQueue::Clock::time_point deadline) {
  const auto body = [](Writing&) {};
  WriteQueue::Member member{body};
  EXPECT_FALSE(queue.wait(deadline, &member).has_value());
  return member.outcome;
}

TEST(WriteQueue, TellsTheOutcomeToWhoseWorkWasDoneByAnother) {
  WriteQueue queue("\"store\"", nobody);
  const WriteQueue::Turn held = queue.wait(never());
  std::thread other(
      [&] { EXPECT_EQ(outcome_of_call(queue, never()), WriteQueue::Member::Outcome::stored); });
  {
    const auto group = group_of_waiting(queue);
    ASSERT_EQ(group->members().size(), 1U);
    group->members().front()->outcome = WriteQueue::Member::Outcome::stored;
  }
  other.join();
}

TEST(WriteQueue, DoesNotRefuseWhoseWorkIsBeingDoneAtItsDeadline) {
  WriteQueue queue("\"store\"", nobody);
  const WriteQueue::Turn held = queue.wait(never());
  std::thread other([&] {
    // Long enough to be taken on a busy machine.
    const auto deadline = WriteQueue::Clock::now() + milliseconds(500);
    EXPECT_NO_THROW(outcome_of_call(queue, deadline));
  });
  {
    const auto group = group_of_waiting(queue);
    stay_at_work(milliseconds(700));
  }
  other.join();
}

TEST(WriteQueue, LeavesWhoMustHaveTheTurnItselfOutOfAGroup) {
  WriteQueue queue("\"store\"", nobody);
  std::vector<std::thread> others;
  std::atomic<bool> had_turn = false;
  {
    const WriteQueue::Turn held = queue.wait(never());
    others.emplace_back([&] {
      const WriteQueue::Turn turn = queue.wait(never());
      had_turn = true;
    });
    others.emplace_back([&] { outcome_of_call(queue, never()); });
    EXPECT_EQ(group_of_waiting(queue)->members().size(), 1U);
    EXPECT_FALSE(had_turn);
  }
  for (std::thread& other : others) other.join();
  EXPECT_TRUE(had_turn);
}

TEST(WriteQueue, HasTheWorkOfEachCallDoneOnceOrRefused) {
  constexpr int calls = 10'000;
  constexpr int callers = 16;
  WriteQueue queue("\"store\"", nobody);
  int done = 0;  // Owned by whoever has the turn.
  std::atomic<int> refused = 0;
  const auto call = [&](int number) {
    const auto body = [](Writing&) {};
    WriteQueue::Member member{body};
    const bool by_itself = number % 3 == 0;
    const bool in_a_hurry = number % 4 != 0;
    const auto deadline =
        in_a_hurry ? WriteQueue::Clock::now() + std::chrono::microseconds(number % 1'500) : never();
    const std::optional<WriteQueue::Turn> turn =
        queue.wait(deadline, by_itself ? nullptr : &member);
    if (!turn) {
      ASSERT_EQ(member.outcome, WriteQueue::Member::Outcome::stored);
      return;
    }
    ++done;
    if (number % 1'000 == 0) stay_at_work(milliseconds(2));
    std::this_thread::yield();  // The others come to wait.
    const WriteQueue::Group group(queue);
    for (WriteQueue::Member* other : group.members()) {
      ASSERT_EQ(other->outcome, WriteQueue::Member::Outcome::apart);
      other->outcome = WriteQueue::Member::Outcome::stored;
      ++done;
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < callers; ++i) {
    threads.emplace_back([&] {
      for (int number = 0; number < calls; ++number) {
        try {
          call(number);
        } catch (const Error&) {
          ++refused;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(done + refused, callers * calls);
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
  const auto at_work = [] { stay_at_work(milliseconds(20)); };
  EXPECT_GE(time_left_free(queue, milliseconds(400), at_work), milliseconds(400) / 40);
}

TEST(WriteQueue, AsksForNeighboursBeforeItLeavesTheLockFree) {
  int asked = 0;
  WriteQueue queue("\"store\"", [&] {
    ++asked;
    return false;
  });
  // A busy machine may interrupt a run of writes.
  for (int i = 0; i < 50 && asked == 0; ++i) time_left_free(queue, milliseconds(400));
  EXPECT_GT(asked, 0);
}

/// Writes back to back until the queue finds itself undisturbed; a busy machine may interrupt it.
void write_until_undisturbed(WriteQueue& queue) {
  const auto start = WriteQueue::Clock::now();
  for (bool undisturbed = false; !undisturbed;) {
    ASSERT_LT(WriteQueue::Clock::now() - start, std::chrono::seconds(30));
    const WriteQueue::Turn turn = queue.wait(never());
    undisturbed = queue.undisturbed();
  }
}

TEST(WriteQueue, IsUndisturbedInALongRunOfWritesBesideNobodyOnly) {
  WriteQueue queue("\"store\"", nobody);
  static_cast<void>(queue.wait(never()));
  EXPECT_FALSE(queue.undisturbed());
  write_until_undisturbed(queue);
}

TEST(WriteQueue, IsNotUndisturbedBesideSomebody) {
  WriteQueue queue("\"store\"", somebody);
  time_left_free(queue, milliseconds(400));
  EXPECT_FALSE(queue.undisturbed());
}

TEST(WriteQueue, IsNotUndisturbedOnceOthersWereSeen) {
  WriteQueue queue("\"store\"", nobody);
  write_until_undisturbed(queue);
  queue.saw_others();
  EXPECT_FALSE(queue.undisturbed());
}

TEST(WriteQueue, IsNotUndisturbedAfterABreak) {
  WriteQueue queue("\"store\"", nobody);
  write_until_undisturbed(queue);
  stay_at_work(milliseconds(5));
  const WriteQueue::Turn turn = queue.wait(never());
  EXPECT_FALSE(queue.undisturbed());
}

TEST(WriteQueue, RunsSomethingOnlyWhileNobodyHasTheTurn) {
  WriteQueue queue("\"store\"", nobody);
  int runs = 0;
  {
    const WriteQueue::Turn turn = queue.wait(never());
    EXPECT_FALSE(queue.if_idle_since(never(), [&] { ++runs; }));
  }
  EXPECT_EQ(runs, 0);
  EXPECT_TRUE(queue.if_idle_since(never(), [&] { ++runs; }));
  EXPECT_EQ(runs, 1);
}

TEST(WriteQueue, RunsSomethingOnlyWhenNobodyHadTheTurnLately) {
  WriteQueue queue("\"store\"", nobody);
  const auto before = WriteQueue::Clock::now();
  static_cast<void>(queue.wait(never()));
  EXPECT_FALSE(queue.if_idle_since(before, [] { ADD_FAILURE(); }));
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
