#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <kvstore/kvstore.hpp>

namespace kvstore::test {

/// How many threads this process has.
std::ptrdiff_t threads();

/// A directory of its own, removed with all it holds.
class TempDir {
 public:
  TempDir();
  ~TempDir() noexcept;
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  TempDir(TempDir&&) = delete;
  TempDir& operator=(TempDir&&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  [[nodiscard]] std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

/// A clock that stands still until it is told to move. Threads: any.
class FakeClock {
 public:
  [[nodiscard]] Time now() const noexcept { return Time(Duration(millis_.load())); }
  void advance(Duration by) noexcept { millis_ += by.count(); }
  void set(Time to) noexcept { millis_ = to.time_since_epoch().count(); }

  /// For `Options::clock`. The clock must outlive the store.
  [[nodiscard]] std::function<Time()> source() {
    return [this] { return now(); };
  }

 private:
  std::atomic<std::int64_t> millis_{1'700'000'000'000};  // 2023-11-14 22:13:20
};

/// The seed of this run: `KVSTORE_TEST_SEED`, or a fresh one. Printed once.
std::uint64_t seed();

/// Whether the long proofs were asked for (`KVSTORE_TEST_LONG=1`).
bool long_run();

/// Stores so many entries, k0 and on, in one transaction.
void fill(KVStore& store, int entries, std::size_t value_bytes = 1000);

/// The `==` of documents takes 1, 1.0 and an unsigned 1 for the same, and 0.0 for -0.0.
bool identical_in_bits(const json& a, const json& b);

/// The content of a file, byte by byte. Never of a store that is open in this process.
std::string bytes_of(const std::string& file);
void write_bytes(const std::string& file, const std::string& bytes);

/// Runs a program without a shell and returns its exit status; its output goes to `output`.
int run_program(const std::vector<std::string>& command, std::string* output = nullptr);

}  // namespace kvstore::test

/// Expects an `Error` with this code, whose text holds this part.
#define EXPECT_KV_ERROR(statement, expected, part)                                      \
  try {                                                                                 \
    static_cast<void>(statement);                                                       \
    ADD_FAILURE() << #statement " did not throw";                                       \
  } catch (const ::kvstore::Error& error) {                                             \
    EXPECT_EQ(::kvstore::to_string(error.code()), ::kvstore::to_string(expected));      \
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what(); \
  }
