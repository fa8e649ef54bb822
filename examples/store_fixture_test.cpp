// How a program that uses kvstore tests its own code: each test gets an empty store in memory, and
// a clock that moves only when the test says so.
//
//   store_fixture_test          takes the options of GoogleTest
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include <kvstore/kvstore.hpp>

namespace {

using namespace std::chrono_literals;

/// The code under test: at most three attempts in ten minutes. It takes a Keyspace, so that it
/// works on a store, inside a transaction of its caller, and here.
class LoginGuard {
 public:
  explicit LoginGuard(kvstore::Keyspace& store) : store_(store) {}

  bool admit(const std::string& user) {
    const std::string key = "attempts/" + user;
    if (store_.insert(key, 1, {.ttl = 10min})) return true;
    return store_.increment(key) <= 3;  // keeps the expiry of the first attempt
  }

 private:
  kvstore::Keyspace& store_;
};

class StoreFixture : public testing::Test {
 protected:
  kvstore::Time now_{1'700'000'000'000ms};  // before the store, which asks for it
  kvstore::KVStore store_{":memory:", {.clock = [this] { return now_; }}};
};

class LoginGuardTest : public StoreFixture {
 protected:
  LoginGuard guard_{store_};
};

TEST_F(LoginGuardTest, AdmitsThreeAttempts) {
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(guard_.admit("ada"));
  EXPECT_FALSE(guard_.admit("ada"));
  EXPECT_TRUE(guard_.admit("grace"));
}

TEST_F(LoginGuardTest, ForgetsAttemptsAfterTenMinutes) {
  for (int i = 0; i < 4; ++i) guard_.admit("ada");
  now_ += 9min + 59s;
  EXPECT_FALSE(guard_.admit("ada"));
  now_ += 1s;
  EXPECT_TRUE(guard_.admit("ada"));
}

TEST_F(LoginGuardTest, CountsNothingInATransactionThatIsRolledBack) {
  {
    kvstore::Transaction tx = store_.begin();
    LoginGuard(tx).admit("ada");
  }
  EXPECT_EQ(store_.count(), 0U);
}

TEST_F(LoginGuardTest, SaysWhatIsWrongWithADamagedCount) {
  store_.set("attempts/ada", "three");
  try {
    guard_.admit("ada");
    FAIL() << "a text was counted";
  } catch (const kvstore::Error& error) {
    EXPECT_EQ(error.code(), kvstore::ErrorCode::type_mismatch) << error.what();
  }
}

}  // namespace
