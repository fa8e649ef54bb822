#include <gtest/gtest.h>

#include <kvstore/internal/foreign_commits.hpp>

namespace kvstore::internal {
namespace {

/// A mark that differs from every other in one word.
engine::Mark mark(std::uint32_t number) {
  engine::Mark mark{.known = true};
  mark.words[2] = number;
  return mark;
}

class ForeignCommitsTest : public testing::Test {
 protected:
  ForeignCommitsTest() { commits_.caught_up(mark(10)); }

  ForeignCommits commits_;
};

TEST_F(ForeignCommitsTest, AreThereWhenTheMarkHasMovedEitherWay) {
  EXPECT_FALSE(commits_.any(mark(10)));
  EXPECT_TRUE(commits_.any(mark(11)));
  EXPECT_TRUE(commits_.any(mark(9)));
}

TEST_F(ForeignCommitsTest, AreNotOurOwn) {
  commits_.own(mark(10), mark(11));
  commits_.own(mark(11), mark(12));
  EXPECT_FALSE(commits_.any(mark(12)));
}

TEST_F(ForeignCommitsTest, AreSeenBeforeOneOfOurs) {
  commits_.own(mark(11), mark(12));
  EXPECT_TRUE(commits_.any(mark(12)));
}

TEST_F(ForeignCommitsTest, AreSeenRightAfterOneOfOurs) {
  commits_.own(mark(10), mark(11));
  EXPECT_TRUE(commits_.any(mark(12)));
}

TEST_F(ForeignCommitsTest, AreSeenBesideACommitOfOursThatWroteNothing) {
  commits_.own(mark(10), mark(10));
  EXPECT_FALSE(commits_.any(mark(10)));
  EXPECT_TRUE(commits_.any(mark(11)));
}

TEST_F(ForeignCommitsTest, AreAssumedWhenOursWasNoticedBeforeItWasTold) {
  EXPECT_TRUE(commits_.any(mark(11)));
  commits_.caught_up(mark(11));
  commits_.own(mark(10), mark(11));
  EXPECT_FALSE(commits_.any(mark(11)));
}

}  // namespace
}  // namespace kvstore::internal
