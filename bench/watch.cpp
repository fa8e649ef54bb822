// What a watch costs while nothing happens, and how long it takes to tell.
//
//   kvstore-bench-watch [SECONDS [CHANGES]]      60 seconds of idling, 1,000 changes
//
// idle    CPU time of this whole process while one watch waits, and nobody commits.
// delay   From right before another process calls `set`, or this one, to the callback. The pauses
//         between the changes are random, 5 to 45 ms, so that they meet the polls anywhere. Each
//         change is of another key, so that none is told together with the next.
// memory  What the C library has handed out more, for each key under the prefix.
//
// Documents are small, durability is `normal`, and the file is in a directory below $TMPDIR.

#include <malloc.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <exception>
#include <iostream>
#include <kvstore/kvstore.hpp>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "temp_dir.hpp"

namespace bench {
namespace {

using kvstore::KVStore;
using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

/// The same for all processes of the machine.
std::int64_t now() {
  return duration_cast<nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

KVStore open(const std::string& file) {
  return KVStore(file, {.durability = kvstore::Durability::normal});
}

double cpu_milliseconds() {
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  const auto in_ms = [](const struct timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_usec) / 1e3;
  };
  return in_ms(usage.ru_utime) + in_ms(usage.ru_stime);
}

std::string key(int number) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "k/%08d", number);
  return text.data();
}

/// Stores the present moment under one key after the other.
void write(KVStore& store, int changes) {
  std::minstd_rand random(20'240'501);
  std::uniform_int_distribution<int> pause(5, 45);
  for (int i = 0; i < changes; ++i) {
    std::this_thread::sleep_for(milliseconds(pause(random)));
    store.set(key(i), now());
  }
}

/// Runs this program again, as the one that writes.
void write_in_another_process(const std::string& file, int changes) {
  const std::string count = std::to_string(changes);
  const pid_t child = fork();
  if (child == 0) {
    execl("/proc/self/exe", "kvstore-bench-watch", "write", file.c_str(), count.c_str(), nullptr);
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0) throw std::runtime_error("the process that writes has failed");
}

/// Delays as they come in, until there are as many as were expected.
class Delays {
 public:
  void add(std::int64_t delay) {
    const std::lock_guard lock(mutex_);
    delays_.push_back(static_cast<double>(delay) / 1e6);
    added_.notify_one();
  }

  /// In order. Units: milliseconds.
  std::vector<double> wait(std::size_t count) {
    std::unique_lock lock(mutex_);
    added_.wait(lock, [&] { return delays_.size() >= count; });
    std::ranges::sort(delays_);
    return delays_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable added_;
  std::vector<double> delays_;
};

void fill(KVStore& store, int keys) {
  std::map<std::string, int> items;
  for (int i = 0; i < keys; ++i) items[key(i)] = i;
  store.set_many(items);
}

void measure_idle(int seconds) {
  const TempDir directory;
  KVStore store = open(directory.file("idle.db"));
  fill(store, 1'000);
  const kvstore::Subscription subscription = store.watch("k/", [](const kvstore::Change&) {});
  std::this_thread::sleep_for(milliseconds(200));
  const double before = cpu_milliseconds();
  std::this_thread::sleep_for(std::chrono::seconds(seconds));
  const double used = cpu_milliseconds() - before;
  std::printf("idle    %d s: %.1f ms of CPU time, %.3f %% of a core\n", seconds, used,
              used / seconds / 10);
}

void measure_memory() {
  constexpr int keys = 100'000;
  const TempDir directory;
  KVStore store = open(directory.file("memory.db"));
  fill(store, keys);
  static_cast<void>(store.count());
  const auto used = [] { return static_cast<double>(mallinfo2().uordblks + mallinfo2().hblkhd); };
  const double before = used();
  const kvstore::Subscription subscription = store.watch("k/", [](const kvstore::Change&) {});
  std::printf("memory  %.0f bytes a key of 10 bytes\n", (used() - before) / keys);
}

template <class Write>
void measure_delay(const char* who, int keys, int changes, const Write& write_all) {
  const TempDir directory;
  const std::string file = directory.file("delay.db");
  KVStore store = open(file);
  fill(store, keys);
  Delays delays;
  const kvstore::Subscription subscription = store.watch("k/", [&](const kvstore::Change& change) {
    delays.add(now() - change.value->get<std::int64_t>());
  });
  const double before = cpu_milliseconds();
  const std::int64_t begun = now();
  write_all(store, file);
  const std::vector<double> sorted = delays.wait(static_cast<std::size_t>(changes));
  const double share = (cpu_milliseconds() - before) / static_cast<double>(now() - begun) * 1e8;
  std::printf(
      "delay   %-15s %7d keys: median %6.2f ms, 99 %% %6.2f ms, worst %6.2f ms; %.1f %% of a "
      "core\n",
      who, keys, sorted[sorted.size() / 2], sorted[sorted.size() * 99 / 100], sorted.back(), share);
}

void run(int seconds, int changes) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  measure_memory();
  measure_delay("this process", 1'000, changes,
                [&](KVStore& store, const std::string&) { write(store, changes); });
  for (const int keys : {1'000, 10'000, 100'000}) {
    measure_delay("another process", keys, changes, [&](KVStore&, const std::string& file) {
      write_in_another_process(file, changes);
    });
  }
  measure_idle(seconds);
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  try {
    if (argc == 4 && std::string(argv[1]) == "write") {
      kvstore::KVStore store = bench::open(argv[2]);
      bench::write(store, std::stoi(argv[3]));
      return 0;
    }
    bench::run(argc > 1 ? std::stoi(argv[1]) : 60, argc > 2 ? std::stoi(argv[2]) : 1'000);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "kvstore-bench-watch: " << error.what() << '\n';
    return 1;
  }
}
