#include <array>
#include <cstddef>
#include <memory>
#include <string>

#include "picks.hpp"
#include "rows.hpp"
#include "scale.hpp"

namespace bench {
namespace {

using benchmark::State;

/// The core workloads of YCSB, in operations of a hundred; the rest is reads. What they store is
/// whole documents ("writeallfields"); F changes one field.
/// Source: https://github.com/brianfrankcooper/YCSB/wiki/Core-Workloads
struct Workload {
  char letter = ' ';
  std::size_t sets = 0, inserts = 0, updates = 0, scans = 0;
  bool latest = false;  ///< Reads what was inserted last, most of the time.
};

constexpr std::array workloads{
    Workload{.letter = 'A', .sets = 50},
    Workload{.letter = 'B', .sets = 5},
    Workload{.letter = 'C'},
    Workload{.letter = 'D', .inserts = 5, .latest = true},
    Workload{.letter = 'E', .inserts = 5, .scans = 95},
    Workload{.letter = 'F', .updates = 50},
};

/// A client of a workload.
class Client {
 public:
  /// `entries` counts what the database holds, also for the clients that come after this one.
  Client(const Workload& workload, Session& session, const Documents& documents,
         std::size_t& entries)
      : workload_(workload),
        session_(session),
        documents_(documents),
        replacements_(documents),
        entries_(entries),
        popular_(workload.latest ? Picks::zipf_ranks(documents.size())
                                 : Picks::zipf(documents.size())) {}

  void operate() {
    std::size_t what = dice_.below(100);
    const auto is = [&](std::size_t share) {
      const bool chosen = what < share;
      what -= chosen ? 0 : share;
      return chosen;
    };
    if (is(workload_.sets)) {
      session_.set(key(), replacements_.next());
    } else if (is(workload_.inserts)) {
      session_.set(Documents::key(entries_), documents_.value(entries_));
      ++entries_;
    } else if (is(workload_.updates)) {
      const json& source = replacements_.next();
      session_.update(key(), [&](json& document) { document["field5"] = source["field5"]; });
    } else if (is(workload_.scans)) {
      constexpr std::size_t longest = 100;
      session_.scan(key(), 1 + dice_.below(longest), [](std::string_view, const json& document) {
        benchmark::DoNotOptimize(&document);
      });
    } else {
      benchmark::DoNotOptimize(session_.get(key()));
    }
  }

 private:
  std::string key() {
    const std::size_t pick = popular_.next();
    return Documents::key(workload_.latest ? entries_ - 1 - pick : pick);
  }

  const Workload& workload_;
  Session& session_;
  const Documents& documents_;
  Replacements replacements_;
  std::size_t& entries_;
  Picks popular_;
  Random dice_{1};
};

void register_workload(const Workload& workload, const Peer& peer) {
  constexpr std::size_t bytes = 1'000;
  const Data data{.bytes = bytes, .entries = scaled(20'000), .shape = Data::Shape::fields};
  const std::string row = std::string("ycsb/") + workload.letter + "/" + std::to_string(bytes);
  // What one run inserts, the next finds.
  auto entries = std::make_shared<std::size_t>(data.entries);
  add_writing_row(row, peer, data, {.durability = Durability::normal, .cache_bytes = cache_bytes()},
                  [=, &workload](State& state, Session& session, const Documents& documents) {
                    Client client(workload, session, documents, *entries);
                    repeat(state, scaled(5'000), [&] { client.operate(); });
                  });
}

}  // namespace

void register_ycsb() {
  for (const Workload& workload : workloads) {
    for (const Peer& peer : peers()) register_workload(workload, peer);
  }
}

}  // namespace bench
