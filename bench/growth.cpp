#include <algorithm>
#include <cstddef>
#include <string>

#include "picks.hpp"
#include "rows.hpp"
#include "scale.hpp"

namespace bench {
namespace {

using benchmark::State;

constexpr std::size_t page = 100;

void get(State& state, Session& session, const Documents& documents) {
  Picks picks = Picks::even(documents.size());
  repeat(state, scaled(20'000),
         [&] { benchmark::DoNotOptimize(session.get(Documents::key(picks.next()))); });
}

void set(State& state, Session& session, const Documents& documents) {
  Picks picks = Picks::even(documents.size());
  Replacements replacements(documents);
  // A write-ahead log is filled, copied and started anew within what is measured.
  const std::size_t cycle = scaled(13'000);
  repeat_many(state, 1, cycle, [&] {
    for (std::size_t i = 0; i < cycle; ++i) {
      session.set(Documents::key(picks.next()), replacements.next());
    }
  });
}

void scan(State& state, Session& session, const Documents& documents) {
  const std::size_t many = std::min(page, documents.size());
  Picks picks = Picks::even(documents.size() - many + 1);
  repeat_many(state, scaled(200), many, [&] {
    session.scan(Documents::key(picks.next()), many, [](std::string_view, const json& document) {
      benchmark::DoNotOptimize(&document);
    });
  });
}

}  // namespace

void register_growth() {
  const Settings settings{.durability = Durability::normal, .cache_bytes = cache_bytes()};
  // What a cache of documents holds of the small databases would hide how the tree grows.
  const Settings uncached{
      .durability = Durability::normal, .cache_bytes = cache_bytes(), .keep_parsed = false};
  for (const Data& data : growing()) {
    const std::string entries = "/" + std::to_string(data.entries);
    for (const Peer& peer : peers()) {
      add_reading_row("growth/get" + entries, peer, data, uncached, get);
      add_writing_row("growth/set" + entries, peer, data, settings, set);
      add_reading_row("growth/scan" + entries, peer, data, settings, scan);
    }
  }
}

}  // namespace bench
