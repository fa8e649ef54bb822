#pragma once

#include <benchmark/benchmark.h>

#include <functional>
#include <string>

#include "documents.hpp"
#include "peer.hpp"

/// A row of the table is called `verb[/variant]/bytes`; a benchmark is a row and a peer,
/// `get/hot/115/kvstore`. Each row is registered for every peer that can do the work.
namespace bench {

using Row = benchmark::internal::Benchmark;
using Body = std::function<void(benchmark::State& state)>;
using Work =
    std::function<void(benchmark::State& state, Session& session, const Documents& documents)>;

/// Units: microseconds of elapsed time, and of the processor time of the whole process. A failure
/// of the peer ends the row, not the run.
Row* add_row(const std::string& row, const Peer& peer, Body body);

/// `work` reads a database that holds `data`, which many rows share.
Row* add_reading_row(const std::string& row, const Peer& peer, const Data& data, Settings settings,
                     Work work);

/// `work` changes a copy of it that belongs to the row.
Row* add_writing_row(const std::string& row, const Peer& peer, const Data& data, Settings settings,
                     Work work);

/// Does the operation `warm_up` times, and then as often as it is measured.
template <class Operation>
void repeat(benchmark::State& state, std::size_t warm_up, const Operation& operation) {
  for (std::size_t i = 0; i < warm_up; ++i) operation();
  for (auto _ : state) operation();
}

/// The same with an operation that counts as `many`.
template <class Operation>
void repeat_many(benchmark::State& state, std::size_t warm_up, std::size_t many,
                 const Operation& operation) {
  for (std::size_t i = 0; i < warm_up; ++i) operation();
  while (state.KeepRunningBatch(static_cast<benchmark::IterationCount>(many))) operation();
}

/// A number of its own for each thread of a row.
inline std::uint64_t seed_of(const benchmark::State& state) {
  return static_cast<std::uint64_t>(state.thread_index()) + 1;
}

void register_reads();
void register_writes();
void register_mixed();
void register_ycsb();
void register_processes();
void register_memory();
void register_growth();

}  // namespace bench
