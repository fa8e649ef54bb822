#include <algorithm>
#include <memory>
#include <string>

#include "companion.hpp"
#include "databases.hpp"
#include "picks.hpp"
#include "rows.hpp"
#include "scale.hpp"

namespace bench {
namespace {

using benchmark::State;

/// What a short program does: it opens a database that exists, reads, and closes.
void open_get_close(State& state, const Peer& peer, const Data& data,
                    const Settings& settings = {}) {
  const Documents& documents = Documents::of(data);
  const std::string directory = database_to_read(peer, documents);
  const std::string key = Documents::key(documents.size() / 2);
  repeat(state, 3, [&] {
    const auto database = peer.open(directory, settings);
    benchmark::DoNotOptimize(database->session()->get(key));
  });
}

void open_while_held(State& state, const Peer& peer, const Data& data) {
  const Companion other("hold", peer, database_to_read(peer, Documents::of(data)), data);
  open_get_close(state, peer, data);
}

/// Who keeps the other process from writing is fast himself.
void note_writes_of(Companion& other, State& state) {
  state.counters["others_per_second"] = std::stod(other.finish());
}

void get_beside_writer(State& state, const Peer& peer, const Data& data, const std::string& row) {
  const Documents& documents = Documents::of(data);
  const std::string directory = database_to_write(peer, documents, row);
  Companion other("write", peer, directory, data);
  const auto database = peer.open(directory, {.cache_bytes = cache_bytes()});
  const auto session = database->session();
  const std::size_t keys = std::min(std::size_t{1'000}, documents.size());
  Picks picks = Picks::even(keys);
  repeat(state, 2 * keys,
         [&] { benchmark::DoNotOptimize(session->get(Documents::key(picks.next()))); });
  note_writes_of(other, state);
}

void set_beside_writer(State& state, const Peer& peer, const Data& data, const std::string& row) {
  const Documents& documents = Documents::of(data);
  const std::string directory = database_to_write(peer, documents, row);
  Companion other("write", peer, directory, data);
  const auto database =
      peer.open(directory, {.durability = Durability::normal, .cache_bytes = cache_bytes()});
  const auto session = database->session();
  Picks picks = Picks::even(std::min(std::size_t{1'000}, documents.size()));
  Replacements replacements(documents);
  const std::size_t cycle = scaled(2'000);
  repeat_many(state, 1, cycle, [&] {
    for (std::size_t i = 0; i < cycle; ++i) {
      session->set(Documents::key(picks.next()), replacements.next());
    }
  });
  note_writes_of(other, state);
}

void register_processes_of(const Peer& peer, std::size_t bytes) {
  const std::string size = "/" + std::to_string(bytes);
  const Data data = ordinary(bytes);
  add_row("open/alone" + size, peer, [=](State& state) { open_get_close(state, peer, data); });
  if (!peer.many_processes) return;
  add_row("open/read_only" + size, peer,
          [=](State& state) { open_get_close(state, peer, data, {.read_only = true}); });
  add_row("open/held" + size, peer, [=](State& state) { open_while_held(state, peer, data); });
  const std::string row = "get/beside_writer" + size;
  add_row(row, peer, [=](State& state) { get_beside_writer(state, peer, data, row); });
  const std::string writing = "set/beside_writer" + size;
  add_row(writing, peer, [=](State& state) { set_beside_writer(state, peer, data, writing); });
}

}  // namespace

void register_processes() {
  for (const std::size_t bytes : {115, 2'048}) {
    for (const Peer& peer : peers()) register_processes_of(peer, bytes);
  }
}

}  // namespace bench
