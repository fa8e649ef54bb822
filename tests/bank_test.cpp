#include <atomic>
#include <chrono>
#include <cstdio>
#include <latch>
#include <memory>
#include <thread>

#include "bank.hpp"
#include "child.hpp"
#include "support.hpp"

namespace kvstore::test {
namespace {

constexpr int accounts = 10;
constexpr std::int64_t all_money = accounts * money_of_an_account;

struct Tally {
  std::atomic<int> transfers{0};
  std::atomic<int> looks{0};
};

/// Looks at all accounts at once, in each way there is, until nobody moves anything any more.
void watch_the_total(const KVStore& store, const std::atomic<bool>& over, Tally& tally) {
  const std::vector<std::string> keys = accounts_of_a_bank(accounts);
  do {
    ASSERT_EQ(money_in(store.get_many(keys)), all_money);
    const Snapshot snapshot = store.snapshot();
    std::vector<std::optional<json>> seen;
    for (const std::string& key : keys) seen.push_back(snapshot.get(key));
    ASSERT_EQ(money_in(seen), all_money);
    std::int64_t scanned = 0;
    for (const Entry& entry : snapshot.scan({.prefix = "account/"})) {
      scanned += entry.value.get<std::int64_t>();
    }
    ASSERT_EQ(scanned, all_money);
    tally.looks += 3;
  } while (!over);
}

TEST(Bank, NeverMakesNorLosesMoney) {
  constexpr int thread_count = 8;
  constexpr unsigned process_count = 4;
  const int each = long_run() ? 5000 : 200;
  const TempDir dir;
  const std::string file = dir.file("store.db");
  KVStore store(file, {.durability = Durability::normal, .busy_timeout = Duration(60'000)});
  found_bank(store, accounts);
  std::vector<std::unique_ptr<Process>> processes;
  for (unsigned i = 0; i <= process_count; ++i) {
    // One more, which is killed in the middle.
    processes.push_back(std::make_unique<Process>(
        worker({"transfer", file, std::to_string(accounts),
                std::to_string(i < process_count ? each : 1'000'000'000), std::to_string(i)})));
  }
  for (const auto& process : processes) ASSERT_EQ(process->line(), "ready");
  Process& victim = *processes.back();

  const auto start = std::chrono::steady_clock::now();
  Tally tally;
  std::atomic<bool> over{false};
  std::vector<std::thread> eyes;
  for (int i = 0; i < 2; ++i) eyes.emplace_back([&] { watch_the_total(store, over, tally); });
  for (const auto& process : processes) process->write_line("go");
  std::vector<std::thread> threads;
  for (int i = 0; i < thread_count; ++i) {
    threads.emplace_back([&, i] {
      std::mt19937_64 random(seed() + static_cast<unsigned>(i));
      for (int n = 0; n < each; ++n) {
        move_money(store, accounts, random);
        ++tally.transfers;
      }
    });
  }
  EXPECT_EQ(victim.line(), "moving");
  victim.kill_now();
  for (std::thread& thread : threads) thread.join();
  for (unsigned i = 0; i < process_count; ++i) {
    EXPECT_EQ(processes[i]->wait(), 0);
    tally.transfers += each;
  }
  over = true;
  for (std::thread& eye : eyes) eye.join();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;

  EXPECT_EQ(money_in(store.get_many(accounts_of_a_bank(accounts))), all_money);
  EXPECT_TRUE(store.check().ok());
  std::printf(
      "%d transfers by %d threads and %u processes, and those of one that was killed, "
      "while the total was looked at %d times, in %.1f s\n",
      tally.transfers.load(), thread_count, process_count, tally.looks.load(), took.count());
}

}  // namespace
}  // namespace kvstore::test
