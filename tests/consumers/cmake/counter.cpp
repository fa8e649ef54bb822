// A stranger's visitor counter: reads, changes and writes in one step, and survives a reopening.
#include <cstddef>
#include <iostream>
#include <string>

#include <kvstore/kvstore.hpp>

namespace {

void visit(const std::string& file, const std::string& page) {
  kvstore::KVStore store(file);
  store.update("visits/" + page, 0, [](kvstore::json& visits) { visits = visits.get<int>() + 1; });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::string file = argv[1];
  for (const std::string page : {"home", "about", "home", "home"}) visit(file, page);

  const kvstore::KVStore store(file, {.read_only = true});
  for (const kvstore::Entry& entry : store.scan({.prefix = "visits/", .descending = true})) {
    std::cout << entry.key << '=' << entry.value << ' ';
  }
  const std::size_t pages = store.count({.prefix = "visits/"});
  std::cout << store.get<int>("visits/home").value_or(0) << " of " << pages << " pages\n";
}
