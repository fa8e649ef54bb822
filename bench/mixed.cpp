#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "picks.hpp"
#include "rows.hpp"
#include "scale.hpp"

namespace bench {
namespace {

using benchmark::State;

/// Reads and writes of the same few entries, `reads` of a hundred operations being reads.
void mixed(State& state, Session& session, const Documents& documents, std::size_t reads) {
  const std::vector<std::string> keys =
      Documents::first_keys(std::min(std::size_t{1'000}, documents.size()));
  Picks picks = Picks::even(keys.size(), seed_of(state));
  Random dice(seed_of(state));
  Replacements replacements(documents);
  repeat(state, 2 * keys.size(), [&] {
    const std::string& key = keys[picks.next()];
    if (dice.below(100) < reads) {
      benchmark::DoNotOptimize(session.get(key));
    } else {
      session.set(key, replacements.next());
    }
  });
}

}  // namespace

void register_mixed() {
  for (const std::size_t bytes : {115, 2'048}) {
    for (const std::size_t reads : {95, 50}) {
      const std::string row = "mixed/" + std::to_string(reads) + "_" + std::to_string(100 - reads) +
                              "/" + std::to_string(bytes);
      for (const Peer& peer : peers()) {
        add_writing_row(row, peer, ordinary(bytes),
                        {.durability = Durability::normal, .cache_bytes = cache_bytes()},
                        [=](State& state, Session& session, const Documents& documents) {
                          mixed(state, session, documents, reads);
                        })
            ->Threads(1)
            ->Threads(2)
            ->Threads(4);
      }
    }
  }
}

}  // namespace bench
