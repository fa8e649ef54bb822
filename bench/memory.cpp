#include <sstream>
#include <string>

#include "companion.hpp"
#include "databases.hpp"
#include "rows.hpp"
#include "scale.hpp"

namespace bench {
namespace {

/// In a process of its own, so that nothing else has touched the heap.
void opened(benchmark::State& state, const Peer& peer, const Data& data) {
  const std::string directory = database_to_read(peer, Documents::of(data));
  double heap = 0;
  double resident = 0;
  while (state.KeepRunning()) {
    const Companion other("memory", peer, directory, data);
    std::istringstream(other.answer()) >> heap >> resident;
  }
  constexpr double kib = 1024;
  state.counters["heap_kib"] = heap / kib;
  state.counters["resident_kib"] = resident / kib;
}

}  // namespace

void register_memory() {
  const Data data = ordinary(115);
  for (const Peer& peer : peers()) {
    add_row("memory/opened/115", peer, [=](benchmark::State& state) {
      opened(state, peer, data);
    })->Iterations(1);
  }
}

}  // namespace bench
