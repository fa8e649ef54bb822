// What kvstore costs beside other stores that do the same job: nlohmann::json documents in and out,
// parsing and dumping included. Start it with bench/run, which builds it and reads its figures.
//
// A benchmark is called `row/peer`, a row `verb[/variant]/bytes`; bytes is the size of a document's
// JSON text. For each row all peers get databases of the same documents, the same sequence of keys,
// the same file system, the same durability and, where they have a cache of what they read, 16 MiB
// of it. What is stored over a document is another one of these, in each run of a row another
// sequence. For writing they have more: kvstore and SQLite by hand 16 MiB of pages for each
// connection that writes, LevelDB a write buffer of 16 MiB, RocksDB its own, of 64.
//
//   row                one operation                                            of the entries
//   ------------------ -------------------------------------------------------- ------------------
//   get/hot            read one document                                        1,000; 50 of 20 KB
//   get/uniform        the same                                                 all, evenly
//   get/zipf           the same                                                 all, by Zipf's law
//   get/far            the same; the text of all is 10 times the cache          all, evenly
//   get/beside_writer  the same, while another process stores 1,000 a second    1,000
//   get_shared/hot     read one document in place; the others have to parse     as get/hot
//   get_at/uncached    read one member in the middle, nothing kept parsed       all, evenly
//   get_many           one of 100 documents of one moment                       all, evenly
//   scan               one of 1,000 entries, read in order; of 400 of 20 KB     start evenly
//   set/normal         store a document under a key that is there               all, evenly
//   set/full           the same, surviving power loss                           all, evenly
//   set/beside_writer  as set/normal, beside another process that stores, too   1,000
//   set_many           one of 1,000 that one transaction stores anew            in order
//   load               one of a new database: open, fill by thousands, close    in order
//   mixed/95_5         read (95 %) or store (5 %) one document                  1,000
//   mixed/50_50        the same, half and half                                  1,000
//   ycsb/A … ycsb/F    the core workloads of YCSB, ten fields a document        by Zipf's law
//   open/alone         open a database that exists, read one document, close    one
//   open/read_only     the same, opened for reading only                        one
//   open/held          as open/alone, while another process has it open         one
//   memory/opened      counters: memory of an opened database, nothing kept     none
//   growth/get/N       as get/uniform with nothing kept parsed, N entries       all, evenly
//   growth/set/N       as set/normal, in the same                               all, evenly
//   growth/scan/N      one of 100 entries, read in order, in the same           start evenly
//
// `/threads:N` follows where more than one thread, or also more than one, works on one database;
// the time is then that of all together: elapsed time divided by all operations. The rows of set on
// one thread have counters that say how long single operations took: p50_us to max_us.
//
//   peer      what it is                                                where it is tuned
//   --------- --------------------------------------------------------- -------------------
//   kvstore   this library, as it comes                                 peers/kvstore.cpp
//   sqlite    the C API of SQLite, written by hand for one program      peers/sqlite.cpp
//   lmdb      LMDB                                                      peers/lmdb.cpp
//   leveldb   LevelDB; one process at a time                            peers/leveldb.cpp
//   rocksdb   RocksDB; one process at a time                            peers/rocksdb.cpp
//
// Durability is `normal` where a row writes and does not say `full`: what is acknowledged survives
// the death of the process, not always power loss. Entries: 100,000 of 115 bytes, 10,000 of 2,048,
// 4,000 of 20,480, 20,000 for YCSB, stored in the order of their keys and settled before the time
// starts. A large document is an array of small objects. Times are of all threads of the process.
// The databases are in a directory below $TMPDIR, which is removed at the end. Everything is read
// from the page cache of the system, as far as that holds the databases of all peers.
//
// Options beside those of Google Benchmark:
//   --quick         20 times smaller, cache included: shows in minutes that all rows work
//   --ten_million   growth up to 10,000,000 entries, some 5 GB of disk for each peer; with less
//                   page cache than that, what is read there comes from the disk

#include <benchmark/benchmark.h>

#include <iostream>
#include <span>
#include <string_view>
#include <vector>

#include "companion.hpp"
#include "peer.hpp"
#include "rows.hpp"
#include "scale.hpp"

namespace {

/// Takes out the options of this program. Returns the others.
std::vector<char*> without_own(std::span<char* const> arguments) {
  std::vector<char*> others;
  for (char* argument : arguments) {
    const std::string_view option = argument;
    if (option == "--quick") {
      bench::scale_down();
    } else if (option == "--ten_million") {
      bench::scale_growth_up();
    } else {
      others.push_back(argument);
    }
  }
  return others;
}

void describe_peers() {
  for (const bench::Peer& peer : bench::peers()) {
    benchmark::AddCustomContext(peer.name, peer.version);
  }
  for (const std::string& name : bench::missing_peers()) {
    benchmark::AddCustomContext(name, "left out: its library was missing");
  }
  benchmark::AddCustomContext("compiler", BENCH_COMPILER);
}

}  // namespace

int main(int argc, char** argv) {
  const std::span<char* const> arguments(argv, static_cast<std::size_t>(argc));
  if (bench::is_companion(arguments)) return bench::be_companion(arguments);
  std::vector<char*> others = without_own(arguments);
  int count = static_cast<int>(others.size());
  benchmark::Initialize(&count, others.data());
  if (benchmark::ReportUnrecognizedArguments(count, others.data())) return 1;
  describe_peers();
  bench::register_reads();
  bench::register_writes();
  bench::register_mixed();
  bench::register_ycsb();
  bench::register_processes();
  bench::register_memory();
  bench::register_growth();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
