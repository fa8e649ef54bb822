// What moving a whole store costs: kvstore-bench-archive [MiB], by default 1024.
//
// Fills a store with documents of 2,048 bytes, and moves it in every way there is. Each line is one
// of them: a size (of the lines, where there are any, else of the store), the time, the rate, the
// processor time, and the largest resident memory of the process, which does nothing else. What is
// read has just been written, so it comes from the page cache of the system. All is below $TMPDIR,
// which needs room for eight times the size.

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <string>

#include <kvstore/kvstore.hpp>

#include "documents.hpp"
#include "temp_dir.hpp"

namespace bench {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t document_bytes = 2048;
constexpr double mebibyte = 1U << 20U;

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

/// Runs `body` in a process of its own and prints what it cost. `measured`: the file whose size is
/// that of the work.
void measure(const char* name, const std::string& measured, const std::function<void()>& body) {
  const auto begin = std::chrono::steady_clock::now();
  const pid_t child = fork();
  if (child == 0) {
    try {
      body();
      _exit(0);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s: %s\n", name, error.what());
      _exit(1);
    }
  }
  int status = 0;
  rusage used{};
  if (wait4(child, &status, 0, &used) != child || status != 0) throw std::runtime_error(name);
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
  const double size = static_cast<double>(fs::file_size(measured)) / mebibyte;
  std::printf("%-24s %6.0f MiB %7.2f s %5.0f MiB/s %7.2f s of CPU %4ld MiB of memory\n", name, size,
              time.count(), size / time.count(), seconds(used.ru_utime) + seconds(used.ru_stime),
              used.ru_maxrss / 1024);
  std::fflush(stdout);
}

void fill(const std::string& file, std::size_t entries) {
  constexpr std::size_t batch = 1000;
  const Documents& documents = Documents::of({.bytes = document_bytes, .entries = entries});
  kvstore::KVStore store(file, {.durability = kvstore::Durability::normal});
  for (std::size_t i = 0; i < entries; i += batch) {
    store.transaction([&](kvstore::Transaction& tx) {
      for (std::size_t j = i; j < std::min(i + batch, entries); ++j) {
        tx.set("document/" + std::to_string(j), documents.value(j));
      }
    });
  }
}

void import(const std::string& lines, const std::string& file, std::size_t batch) {
  std::ifstream in(lines, std::ios::binary);
  kvstore::KVStore store(file, {.durability = kvstore::Durability::normal});
  kvstore::import_jsonl(store, in, {.batch = batch});
}

void run(std::size_t mebibytes) {
  const TempDir dir;
  const std::string store = dir.file("store.db");
  const std::string lines = dir.file("store.jsonl");
  const std::string copy = dir.file("copy.db");
  const std::size_t entries = (mebibytes << 20U) / document_bytes;
  measure("fill", store, [&] { fill(store, entries); });
  measure("export_jsonl", lines, [&] {
    const kvstore::KVStore from(store);
    std::ofstream out(lines, std::ios::binary);
    kvstore::export_jsonl(from, out);
  });
  measure("import_jsonl, batch 1000", lines, [&] { import(lines, copy, 1000); });
  fs::remove(copy);
  measure("import_jsonl, batch 0", lines, [&] { import(lines, copy, 0); });
  fs::remove(copy);
  fs::remove(lines);
  measure("backup", store, [&] { kvstore::KVStore(store).backup(copy); });
  fs::remove(copy);
  measure("salvage", store, [&] { static_cast<void>(kvstore::salvage(store, copy)); });
  fs::remove(copy);
  measure("check", store, [&] {
    if (!kvstore::KVStore(store).check().ok()) throw std::runtime_error("the store is damaged");
  });
  measure("compact", store, [&] { kvstore::KVStore(store).compact(); });
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  try {
    bench::run(argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1024);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "failed: %s\n", error.what());
    return 1;
  }
}
