#include <cstddef>
#include <string>

#include "databases.hpp"
#include "latencies.hpp"
#include "picks.hpp"
#include "rows.hpp"
#include "scale.hpp"

namespace bench {
namespace {

using benchmark::State;

constexpr std::size_t batch = 1'000;

/// Writes that fill a write-ahead log, so that it is copied and started anew. These are measured
/// together: to append to the log is another cost than to overwrite it, and whoever copies it in
/// the background is to pay for that within what is measured.
std::size_t cycle_of_log(Durability durability) {
  return scaled(durability == Durability::full ? 1'200 : 13'000);
}

void set(State& state, Session& session, const Documents& documents, Durability durability) {
  Picks picks = Picks::even(documents.size(), seed_of(state));
  Replacements replacements(documents);
  const auto operation = [&] { session.set(Documents::key(picks.next()), replacements.next()); };
  const std::size_t cycle = cycle_of_log(durability) / static_cast<std::size_t>(state.threads());
  for (std::size_t i = 0; i < cycle; ++i) operation();
  Latencies latencies(state, cycle);
  while (state.KeepRunningBatch(static_cast<benchmark::IterationCount>(cycle))) {
    for (std::size_t i = 0; i < cycle; ++i) latencies.measure(operation);
  }
  if (state.threads() == 1) latencies.report(state);
}

void set_many(State& state, Session& session, const Documents& documents) {
  Replacements replacements(documents);
  std::size_t first = 0;
  const auto operation = [&] {
    session.set_many(batch_of(documents, first, batch, replacements));
    first = (first + batch) % documents.size();
  };
  // With large documents this starts the write-ahead log anew, as in set.
  repeat_many(state, scaled(20), batch, operation);
}

/// A new database, filled and closed: what a peer leaves for the background counts as well.
void load(State& state, const Peer& peer, const Documents& documents) {
  while (state.KeepRunningBatch(static_cast<benchmark::IterationCount>(documents.size()))) {
    state.PauseTiming();
    const std::string directory = database_to_make(peer);
    state.ResumeTiming();
    const auto database =
        peer.open(directory, {.durability = Durability::normal, .cache_bytes = cache_bytes()});
    const auto session = database->session();
    for (std::size_t first = 0; first < documents.size(); first += batch) {
      session->set_many(batch_of(documents, first, batch));
    }
  }
}

void register_writes_of(const Peer& peer, std::size_t bytes) {
  const std::string size = "/" + std::to_string(bytes);
  const Data data = ordinary(bytes);
  for (const Durability durability : {Durability::normal, Durability::full}) {
    const std::string row = (durability == Durability::normal ? "set/normal" : "set/full") + size;
    const Settings settings{.durability = durability, .cache_bytes = cache_bytes()};
    add_writing_row(row, peer, data, settings,
                    [=](State& state, Session& session, const Documents& documents) {
                      set(state, session, documents, durability);
                    })
        ->Threads(1)
        ->Threads(16);
  }
  add_writing_row("set_many" + size, peer, data,
                  {.durability = Durability::normal, .cache_bytes = cache_bytes()}, set_many);
  add_row("load" + size, peer, [=](State& state) { load(state, peer, Documents::of(data)); });
}

}  // namespace

void register_writes() {
  for (const std::size_t bytes : {115, 2'048}) {
    for (const Peer& peer : peers()) register_writes_of(peer, bytes);
  }
}

}  // namespace bench
