#include "core.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "databases.hpp"
#include "documents.hpp"
#include "sides.hpp"

namespace bench {
namespace {

constexpr std::size_t hot_keys = 1'000;
constexpr std::size_t many = 1'000;  // entries of a set_many, and of a scan

/// Keys picked evenly from the first `among`; each run and each side gets the same sequence.
class Sequence {
 public:
  explicit Sequence(std::size_t among) : picks_(1U << 16U) {
    std::minstd_rand random(20'240'501);
    std::uniform_int_distribution<std::size_t> pick(0, among - 1);
    std::ranges::generate(picks_, [&] { return pick(random); });
  }

  std::size_t next() noexcept { return picks_[position_++ % picks_.size()]; }

 private:
  std::vector<std::size_t> picks_;
  std::size_t position_ = 0;
};

template <class Side>
void get(benchmark::State& state, const Documents& documents, std::size_t among) {
  Side side(database_to_read<Side>(documents), Durability::full);
  Sequence sequence(among);
  const auto operation = [&] {
    benchmark::DoNotOptimize(side.get(documents.key(sequence.next())));
  };
  for (std::size_t i = 0; i < 2 * hot_keys; ++i) operation();
  for (auto _ : state) operation();
}

template <class Side>
void set(benchmark::State& state, const Documents& documents, Durability durability,
         const std::string& row) {
  // Until the write-ahead log has been started anew: appending to it is another cost.
  const std::size_t warm_up = durability == Durability::full ? 1'200 : 13'000;
  Side side(database_to_write<Side>(documents, row), durability);
  Sequence sequence(documents.size());
  std::size_t written = 0;
  const auto operation = [&] {
    side.set(documents.key(sequence.next()), documents.value(written++));
  };
  for (std::size_t i = 0; i < warm_up; ++i) operation();
  for (auto _ : state) operation();
}

template <class Side>
void set_many(benchmark::State& state, const Documents& documents) {
  Side side(database_to_write<Side>(documents, "set_many"), Durability::normal);
  std::size_t first = 0;
  const auto operation = [&] {
    side.set_many(batch_of(documents, first, many));
    first = (first + many) % documents.size();
  };
  // With large documents this starts the write-ahead log anew, as in set.
  constexpr int warm_up = 20;
  for (int i = 0; i < warm_up; ++i) operation();
  while (state.KeepRunningBatch(many)) operation();
}

template <class Side>
void scan(benchmark::State& state, const Documents& documents) {
  Side side(database_to_read<Side>(documents), Durability::full);
  Sequence sequence(documents.size() - many);
  const auto operation = [&] {
    side.scan(documents.key(sequence.next()), many, [](const std::string& key, const json& value) {
      benchmark::DoNotOptimize(key.data());
      benchmark::DoNotOptimize(&value);
    });
  };
  operation();
  while (state.KeepRunningBatch(many)) operation();
}

template <class Side>
void open(benchmark::State& state, const Documents& documents) {
  const std::string path = database_to_read<Side>(documents);
  const std::string& key = documents.key(documents.size() / 2);
  for (auto _ : state) {
    Side side(path, Durability::full);
    benchmark::DoNotOptimize(side.get(key));
  }
}

/// `verb/side/bytes`, and what else tells the row from its siblings.
template <class Side, class Body>
void row(const char* verb, std::size_t bytes, const char* variant, Body body) {
  const std::string name =
      std::string(verb) + "/" + Side::name + "/" + std::to_string(bytes) + variant;
  benchmark::RegisterBenchmark(name.c_str(),
                               [=](benchmark::State& state) { body(state, Documents::of(bytes)); })
      ->Unit(benchmark::kMicrosecond)
      ->UseRealTime()
      ->MeasureProcessCPUTime();
}

template <class Side>
void register_side(std::size_t bytes) {
  using State = benchmark::State;
  using D = const Documents&;
  row<Side>("get", bytes, "/hot", [](State& state, D d) { get<Side>(state, d, hot_keys); });
  row<Side>("get", bytes, "/uniform", [](State& state, D d) { get<Side>(state, d, d.size()); });
  row<Side>("set", bytes, "/normal",
            [](State& state, D d) { set<Side>(state, d, Durability::normal, "normal"); });
  row<Side>("set", bytes, "/full",
            [](State& state, D d) { set<Side>(state, d, Durability::full, "full"); });
  row<Side>("set_many", bytes, "", [](State& state, D d) { set_many<Side>(state, d); });
  row<Side>("scan", bytes, "", [](State& state, D d) { scan<Side>(state, d); });
  row<Side>("open", bytes, "", [](State& state, D d) { open<Side>(state, d); });
}

}  // namespace

void register_core() {
  for (const std::size_t bytes : {std::size_t{115}, std::size_t{2048}}) {
    register_side<KvstoreSide>(bytes);
    register_side<SqliteSide>(bytes);
  }
}

}  // namespace bench
