#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <stdexcept>
#include <thread>

#include <kvstore/internal/janitor.hpp>

#include "support.hpp"

namespace kvstore::internal {
namespace {

using engine::Tidied;

constexpr auto no_deadline = std::chrono::steady_clock::time_point::max();

TEST(Janitor, WorksOnceForEachCallThatFindsItIdle) {
  std::atomic<int> runs{0};
  Janitor janitor(
      [&] {
        ++runs;
        return Tidied::done;
      },
      {});
  janitor.wake();
  janitor.wait(no_deadline);
  janitor.stop();
  EXPECT_EQ(runs, 1);
}

TEST(Janitor, DoesNothingUnasked) {
  std::atomic<int> runs{0};
  Janitor janitor(
      [&] {
        ++runs;
        return Tidied::done;
      },
      {});
  janitor.wait(no_deadline);
  janitor.stop();
  EXPECT_EQ(runs, 0);
}

TEST(Janitor, TriesAgainAfterAnAttemptInVain) {
  std::latch three_attempts(3);
  std::atomic<int> runs{0};
  Janitor janitor(
      [&] {
        if (++runs <= 3) three_attempts.count_down();
        return runs < 3 ? Tidied::incomplete : Tidied::done;
      },
      {});
  janitor.wake();
  three_attempts.wait();
  janitor.stop();
  EXPECT_EQ(runs, 3);
}

TEST(Janitor, DoesNotKeepAWriterWaitingAfterAttemptsInVain) {
  std::latch attempted(1);
  Janitor janitor(
      [&, first = true]() mutable {
        if (std::exchange(first, false)) attempted.count_down();
        return Tidied::incomplete;
      },
      {});
  janitor.wake();
  attempted.wait();
  janitor.wait(no_deadline);
  janitor.wait(no_deadline);
  janitor.stop();
}

TEST(Janitor, KeepsAWriterWaitingWhenOthersWereInTheWayOnce) {
  std::atomic<int> runs{0};
  Janitor janitor([&] { return ++runs < 2 ? Tidied::incomplete : Tidied::done; }, {});
  janitor.wake();
  janitor.wait(no_deadline);
  EXPECT_EQ(runs, 2);
  janitor.stop();
}

TEST(Janitor, KeepsAWriterWaitingWhenOthersWereInTheWayForAMoment) {
  std::atomic<int> runs{0};
  Janitor janitor([&] { return ++runs < 6 ? Tidied::incomplete : Tidied::done; }, {});
  janitor.wake();
  janitor.wait(no_deadline);
  EXPECT_EQ(runs, 6);
  janitor.stop();
}

TEST(Janitor, KeepsAWriterWaitingWhileAttemptsAdvance) {
  std::atomic<int> runs{0};
  Janitor janitor([&] { return ++runs < 3 ? Tidied::advanced : Tidied::done; }, {});
  janitor.wake();
  janitor.wait(no_deadline);
  EXPECT_EQ(runs, 3);
  janitor.stop();
}

TEST(Janitor, KeepsAWriterWaitingAlsoAfterOthersWereInTheWayAndWentAway) {
  std::latch advances(1);
  std::latch go_on(1);
  std::atomic<int> runs{0};
  Janitor janitor(
      [&] {
        switch (++runs) {
          case 1:
            return Tidied::incomplete;
          case 2:
            return Tidied::advanced;
          case 3:
            advances.count_down();
            go_on.wait();
            return Tidied::advanced;
          default:
            return Tidied::done;
        }
      },
      {});
  janitor.wake();
  advances.wait();
  std::thread writer([&] {
    janitor.wait(no_deadline);
    EXPECT_EQ(runs, 4);
  });
  go_on.count_down();
  writer.join();
  janitor.stop();
}

TEST(Janitor, DoesNotKeepAWriterWaitingPastItsDeadline) {
  std::latch over(1);
  Janitor janitor(
      [&] {
        over.wait();
        return Tidied::done;
      },
      {});
  janitor.wake();
  janitor.wait(std::chrono::steady_clock::now());
  over.count_down();
  janitor.stop();
}

TEST(Janitor, DoesNotWaitForItselfInItsErrorHandler) {
  std::latch handled(1);
  Janitor* self = nullptr;
  Janitor janitor([]() -> Tidied { throw std::runtime_error("no disk"); },
                  [&, first = true](const std::exception_ptr&) mutable {
                    if (!std::exchange(first, false)) return;
                    self->wait(no_deadline);
                    self->finish(no_deadline);
                    handled.count_down();
                  });
  self = &janitor;
  janitor.wake();
  handled.wait();
  janitor.stop();
}

TEST(Janitor, FinishesWithAnAttemptThatBeganAfterTheCall) {
  std::latch begun(1);
  std::latch go_on(1);
  std::atomic<int> runs{0};
  Janitor janitor(
      [&] {
        if (++runs == 1) {
          begun.count_down();
          go_on.wait();
        }
        return Tidied::done;
      },
      {});
  janitor.wake();
  begun.wait();
  std::thread caller([&] { janitor.finish(no_deadline); });
  // The call may come while the first attempt runs or after it; it needs one of its own.
  go_on.count_down();
  caller.join();
  EXPECT_EQ(runs, 2);
  janitor.stop();
}

TEST(Janitor, FinishesOnlyWhenAllIsDone) {
  std::atomic<int> runs{0};
  Janitor janitor([&] { return ++runs < 3 ? Tidied::incomplete : Tidied::done; }, {});
  janitor.finish(no_deadline);
  EXPECT_EQ(runs, 3);
  janitor.stop();
}

TEST(Janitor, FinishesAtItsDeadline) {
  Janitor janitor([] { return Tidied::incomplete; }, {});
  janitor.finish(std::chrono::steady_clock::now());
  janitor.stop();
}

TEST(Janitor, ReportsWhatFails) {
  std::latch reported(1);
  std::string what;
  Janitor janitor([]() -> Tidied { throw Error(ErrorCode::io, "the disk is gone"); },
                  [&](std::exception_ptr error) {
                    if (!what.empty()) return;
                    try {
                      std::rethrow_exception(error);
                    } catch (const Error& caught) {
                      what = caught.what();
                    }
                    reported.count_down();
                  });
  janitor.wake();
  reported.wait();
  janitor.stop();
  EXPECT_EQ(what, "the disk is gone");
}

TEST(Janitor, TakesOthersBeingInTheWayForNoFailure) {
  std::latch attempted(2);
  std::atomic<int> reports{0};
  std::atomic<int> runs{0};
  Janitor janitor(
      [&]() -> Tidied {
        if (++runs <= 2) attempted.count_down();
        throw Error(ErrorCode::busy, "held");
      },
      [&](const std::exception_ptr&) { ++reports; });
  janitor.wake();
  attempted.wait();
  janitor.stop();
  EXPECT_EQ(reports, 0);
}

TEST(Janitor, SurvivesAHandlerThatThrows) {
  std::latch attempted(2);
  std::atomic<int> runs{0};
  Janitor janitor(
      [&]() -> Tidied {
        if (++runs <= 2) attempted.count_down();
        throw Error(ErrorCode::io, "the disk is gone");
      },
      [](const std::exception_ptr&) { throw std::runtime_error("handler"); });
  janitor.wake();
  attempted.wait();
  janitor.stop();
}

}  // namespace
}  // namespace kvstore::internal
