#include <array>
#include <atomic>
#include <chrono>
#include <iostream>
#include <memory>
#include <thread>
#include <utility>

#include "announcements.hpp"
#include "child.hpp"
#include "support.hpp"

namespace kvstore::test {
namespace {

/// A process stores numbers and announces each when it was acknowledged; it checkpoints, restarts
/// the log, runs VACUUM, and is killed and replaced. Python and this process write too. A read that
/// starts after an announcement must see it.
class Coherence : public testing::TestWithParam<std::size_t> {};

INSTANTIATE_TEST_SUITE_P(Cache, Coherence, testing::Values(Options{}.cache_bytes, 0),
                         [](const auto& run) { return run.param == 0 ? "none" : "ordinary"; });

TEST_P(Coherence, NoReadIsOlderThanWhatAnotherProcessHasAnnounced) {
  constexpr std::size_t keys = 16;
  // Without a cache one thread, which nobody of this process disturbs: its connection keeps
  // reading.
  const bool cached = GetParam() != 0;
  const int readers = cached ? 3 : 1;
  const auto duration = std::chrono::milliseconds(long_run() ? 30'000 : 2'000);
  const TempDir dir;
  const std::string file = dir.file("store.db");
  KVStore store(file, {.durability = Durability::normal, .cache_bytes = GetParam()});
  for (std::size_t key = 0; key < keys; ++key) store.set(std::to_string(key), 0);
  const Announcements announced(dir.file("announced"), keys);
  std::atomic<bool> over{false};
  std::atomic<std::uint64_t> reads{0};
  std::atomic<std::uint64_t> hits{0};
  std::atomic<std::uint64_t> stale{0};
  std::vector<std::thread> threads;
  for (int reader = 0; reader < readers; ++reader) {
    threads.emplace_back([&] {
      std::array<std::shared_ptr<const json>, keys> latest{};
      for (std::size_t i = 0; !over; ++i) {
        const std::size_t key = i % keys;
        const std::int64_t at_least = announced.of(key);
        const auto value = store.get_shared(std::to_string(key));
        if (value == nullptr || value->get<std::int64_t>() < at_least) ++stale;
        if (std::exchange(latest[key], value) == value) ++hits;
        ++reads;
      }
    });
  }
  if (cached) {
    threads.emplace_back([&] {
      for (int i = 0; !over; ++i) store.set("own", i);
    });
  }
  constexpr std::uint64_t least_reads = 10'000;
  const auto begin = std::chrono::steady_clock::now();
  const auto passed = [&] { return std::chrono::steady_clock::now() - begin; };
  int kills = 0;
  const auto enough = [&] { return reads > least_reads && kills > 1; };
  // Longer where a sanitizer meets a busy machine.
  while (passed() < duration || (!enough() && passed() < 10 * duration)) {
    Process writer(worker({"announce", file, dir.file("announced")}));
    ASSERT_EQ(writer.line(), "ready");
    const std::string script =
        "import sqlite3\n"
        "db = sqlite3.connect('" +
        file +
        "', timeout=20)\n"
        "for i in range(5):\n"
        "    db.execute('INSERT INTO kv(key, value) VALUES(?, ?) '\n"
        "               'ON CONFLICT(key) DO UPDATE SET value = '\n"
        "               'excluded.value', (\"python\", str(i)))\n"
        "    db.commit()\n";
    std::string output;
    EXPECT_EQ(run_program({"python3", "-c", script}, &output), 0) << output;
    writer.kill_now();
    writer.wait();
    ++kills;
  }
  over = true;
  for (std::thread& thread : threads) thread.join();
  std::cout << reads << " reads, " << hits << " of them from memory, " << kills << " kills\n";
  EXPECT_EQ(stale, 0U);
  EXPECT_EQ(hits > 0, cached);
  EXPECT_GT(reads, least_reads);
  EXPECT_GT(kills, 1);
  EXPECT_GT(announced.largest(), 100) << "the other process hardly wrote";
  EXPECT_TRUE(store.check().ok());
}

}  // namespace
}  // namespace kvstore::test
