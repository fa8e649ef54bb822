// What the verbs of a cache cost, each beside the plain verb that it is built on.
//
//   row               one operation                                       the store
//   ----------------- --------------------------------------------------- -------------------------
//   set_new/B         store a document under a new key                    holds 20,000 others
//   set_again/B       store a document under one of 20,000 keys, evenly   holds them, or what fits
//   get               read one of 1,000 documents                         holds them
//   get_or_compute/hit    the same                                        holds them
//   get_or_compute/miss   compute a document of a new key, which costs    holds what was computed
//                     nothing, and store it
//   get_large/packed  read one of 1,000 documents of 2 KB, each of        holds them packed: only
//                     which was replaced 20 times, in any order           `get` asked for them
//   get_large/shared      the same                                        holds them as json:
//                                                                         `get_shared` asked first
//
// B is the bound: `unbounded`; `roomy`, Options::max_bytes of 1 GiB, which is never reached;
// `tight`, one of 2 MiB, which is always reached, so that each new entry makes an old one go.
// Documents have 115 bytes, durability is `normal`. The time is that of the processor, of all
// threads: the ratio of two rows of one run is what counts.

#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdint>
#include <kvstore/kvstore.hpp>
#include <random>
#include <string>
#include <utility>

#include "temp_dir.hpp"

namespace {

using kvstore::json;
using kvstore::KVStore;

constexpr int held = 20'000;
constexpr std::int64_t unbounded = 0;
constexpr std::int64_t roomy = std::int64_t{1} << 30;
constexpr std::int64_t tight = std::int64_t{2} << 20;

json document(int number) {
  return {{"id", number}, {"text", std::string(90, 'x')}};
}

std::string key_of(int number) {
  return "key/" + std::to_string(number);
}

/// A store of its own that holds the first so many documents, as far as they fit.
class Cache {
 public:
  Cache(std::int64_t max_bytes, int documents)
      : store_(directory_.file("cache"), {.durability = kvstore::Durability::normal,
                                          .max_bytes = static_cast<std::uint64_t>(max_bytes)}) {
    for (int i = 0; i < documents; ++i) store_.set(key_of(i), document(i));
  }

  KVStore& store() noexcept { return store_; }

 private:
  bench::TempDir directory_;
  KVStore store_;
};

void set_new(benchmark::State& state) {
  Cache cache(state.range(0), held);
  int number = held;
  for (auto _ : state) {
    ++number;
    cache.store().set(key_of(number), document(number));
  }
}

void set_again(benchmark::State& state) {
  Cache cache(state.range(0), held);
  std::minstd_rand random(20'240'501);
  std::uniform_int_distribution<int> any(0, held - 1);
  for (auto _ : state) {
    const int number = any(random);
    cache.store().set(key_of(number), document(number));
  }
}

void get(benchmark::State& state) {
  constexpr int hot = 1'000;
  Cache cache(unbounded, hot);
  int number = 0;
  for (auto _ : state) benchmark::DoNotOptimize(cache.store().get(key_of(number++ % hot)));
}

void get_or_compute_hit(benchmark::State& state) {
  constexpr int hot = 1'000;
  Cache cache(unbounded, hot);
  int number = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(cache.store().get_or_compute(
        key_of(number++ % hot), std::chrono::hours(1), [] { return json(); }));
  }
}

void get_or_compute_miss(benchmark::State& state) {
  Cache cache(unbounded, held);
  int number = held;
  for (auto _ : state) {
    ++number;
    benchmark::DoNotOptimize(cache.store().get_or_compute(key_of(number), kvstore::ComputeOptions{},
                                                          [&] { return document(number); }));
  }
}

void get_large(benchmark::State& state, bool shared) {
  constexpr int documents = 1'000;
  constexpr int changes = 20;
  json people = json::array();
  for (int i = 0; i < 18; ++i) {
    people.push_back({{"id", i},
                      {"name", "Person " + std::to_string(i)},
                      {"mail", "p" + std::to_string(i) + "@example.org"},
                      {"score", i / 8.0},
                      {"active", i % 3 == 0}});
  }
  bench::TempDir directory;
  KVStore store(directory.file("large"),
                {.durability = kvstore::Durability::normal, .cache_bytes = 64U << 20U});
  std::minstd_rand random(20'240'501);
  std::uniform_int_distribution<int> any(0, documents - 1);
  for (int i = 0; i < documents * (1 + changes); ++i) {
    const std::string key = key_of(i < documents ? i : any(random));
    store.set(key, people);
    if (shared) benchmark::DoNotOptimize(store.get_shared(key));
    benchmark::DoNotOptimize(store.get(key));
  }
  for (auto _ : state) benchmark::DoNotOptimize(store.get(key_of(any(random))));
}

void row(const std::string& name, void (*body)(benchmark::State&), std::int64_t bound) {
  benchmark::RegisterBenchmark(name.c_str(), body)
      ->Arg(bound)
      ->Unit(benchmark::kMicrosecond)
      ->MeasureProcessCPUTime();
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  for (const auto& [name, bound] :
       {std::pair{"unbounded", unbounded}, {"roomy", roomy}, {"tight", tight}}) {
    row(std::string("set_new/") + name, set_new, bound);
    row(std::string("set_again/") + name, set_again, bound);
  }
  row("get", get, unbounded);
  row(
      "get_large/packed", [](benchmark::State& state) { get_large(state, false); }, unbounded);
  row(
      "get_large/shared", [](benchmark::State& state) { get_large(state, true); }, unbounded);
  row("get_or_compute/hit", get_or_compute_hit, unbounded);
  row("get_or_compute/miss", get_or_compute_miss, unbounded);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
