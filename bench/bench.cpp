// What kvstore costs beside the same work written by hand on the C API of SQLite.
//
// A row is called `verb/side/bytes[/variant]`. The side is `kvstore` or `sqlite`, the peer written
// by hand (sqlite_by_hand.hpp); bytes is the size of a document's JSON text. Rows that differ in
// the side only are a pair: the same documents, the same sequence of keys, the same file system,
// the same durability. Parsing and dumping with nlohmann::json counts on both sides.
//
//   row             one operation                                      keys durability
//   --------------- -------------------------------------------------- ------------------
//   ---------- get/…/hot       read one document and parse it                     evenly, of 1,000
//   full get/…/uniform   the same                                           evenly, of all     full
//   set/…/normal    dump a document and store it under a key that      evenly, of all     normal
//                   exists, one transaction
//   set/…/full      the same                                           evenly, of all     full
//   set_many/…      one entry of 1,000 that one transaction stores     in order, all in   normal
//                   anew                                               turn
//   scan/…          one entry of 1,000 that are read in the order of   start evenly       full
//                   their keys and parsed
//   open/…          open a store that exists, read one document,       always the same    full
//                   close; nobody else has it open
//
// Entries: 100,000 of 115 bytes, 10,000 of 2,048 bytes, stored in the order of their keys before
// the time starts. A document of 2,048 bytes is an array of small objects. Threads: one; the work
// of background threads counts as CPU time. The databases are in a directory below $TMPDIR, which
// is removed at the end. Everything is read from the page cache of the system.

#include <benchmark/benchmark.h>

#include "core.hpp"

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  bench::register_core();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
