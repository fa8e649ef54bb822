#include <algorithm>
#include <string>
#include <vector>

#include "picks.hpp"
#include "rows.hpp"
#include "scale.hpp"

namespace bench {
namespace {

using benchmark::DoNotOptimize;
using benchmark::State;

/// Few enough that all peers can keep them in the cache.
std::size_t hot(const Documents& documents) {
  const std::size_t keys = documents.bytes() < 10'000 ? 1'000 : 50;
  return std::min(scaled(keys), documents.size());
}

/// Reads that fill a cache: twice as many as it would hold of the texts, for some keys come again,
/// and a large document takes less memory than its text.
std::size_t to_fill_cache(const Documents& documents) {
  return 2 * cache_bytes() / documents.bytes();
}

void get_hot(State& state, Session& session, const Documents& documents) {
  const std::vector<std::string> keys = Documents::first_keys(hot(documents));
  Picks picks = Picks::even(keys.size(), seed_of(state));
  repeat(state, 2 * keys.size(), [&] { DoNotOptimize(session.get(keys[picks.next()])); });
}

void get_shared_hot(State& state, Session& session, const Documents& documents) {
  const std::vector<std::string> keys = Documents::first_keys(hot(documents));
  Picks picks = Picks::even(keys.size(), seed_of(state));
  repeat(state, 2 * keys.size(), [&] { DoNotOptimize(session.get_shared(keys[picks.next()])); });
}

void get_uniform(State& state, Session& session, const Documents& documents) {
  Picks picks = Picks::even(documents.size());
  repeat(state, to_fill_cache(documents),
         [&] { DoNotOptimize(session.get(Documents::key(picks.next()))); });
}

void get_zipf(State& state, Session& session, const Documents& documents) {
  Picks picks = Picks::zipf(documents.size());
  repeat(state, to_fill_cache(documents),
         [&] { DoNotOptimize(session.get(Documents::key(picks.next()))); });
}

void get_at(State& state, Session& session, const Documents& documents) {
  Picks picks = Picks::even(documents.size());
  const json::json_pointer middle("/people/100/mail");
  repeat(state, hot(documents),
         [&] { DoNotOptimize(session.get_at(Documents::key(picks.next()), middle)); });
}

void get_many(State& state, Session& session, const Documents& documents) {
  constexpr std::size_t many = 100;
  Picks picks = Picks::even(documents.size());
  std::vector<std::string> keys(many);
  repeat_many(state, to_fill_cache(documents) / many, many, [&] {
    std::ranges::generate(keys, [&] { return Documents::key(picks.next()); });
    DoNotOptimize(session.get_many(keys));
  });
}

void scan(State& state, Session& session, const Documents& documents) {
  const std::size_t many = std::min(std::size_t{1'000}, documents.size() / 10);
  Picks picks = Picks::even(documents.size() - many);
  repeat_many(state, 1, many, [&] {
    session.scan(Documents::key(picks.next()), many,
                 [](std::string_view key, const json& document) {
                   DoNotOptimize(key.data());
                   DoNotOptimize(&document);
                 });
  });
}

void register_reads_of(const Peer& peer, std::size_t bytes) {
  const Settings settings{.cache_bytes = cache_bytes()};
  const std::string size = "/" + std::to_string(bytes);
  const Data data = ordinary(bytes);
  add_reading_row("get/hot" + size, peer, data, settings, get_hot);
  add_reading_row("get/uniform" + size, peer, data, settings, get_uniform);
  add_reading_row("get/zipf" + size, peer, data, settings, get_zipf);
  add_reading_row("get_shared/hot" + size, peer, data, settings, get_shared_hot);
  add_reading_row("scan" + size, peer, data, settings, scan);
  if (bytes > 10'000) {
    add_reading_row("get_at/uncached" + size, peer, data,
                    {.cache_bytes = cache_bytes(), .keep_parsed = false}, get_at);
    return;
  }
  add_reading_row("get/hot" + size, peer, data, settings, get_hot)->Threads(4);
  add_reading_row("get/far" + size, peer, far_larger_than_cache(bytes), settings, get_uniform);
  add_reading_row("get_many" + size, peer, data, settings, get_many);
}

}  // namespace

void register_reads() {
  for (const std::size_t bytes : {115, 2'048, 20'480}) {
    for (const Peer& peer : peers()) register_reads_of(peer, bytes);
  }
}

}  // namespace bench
