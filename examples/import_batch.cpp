// Imports lines of JSON in one transaction: a line that fails is skipped without a trace, all
// others become visible together.
//
//   import_batch FILE < LINES          lines such as {"id": "7", "stock": 3, "tags": ["new"]}
#include <cstddef>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>

#include <kvstore/kvstore.hpp>

namespace {

using kvstore::json;

/// Stores an article and counts it under its tags; throws when something is wrong with it, which
/// may be after it has written.
void import(kvstore::Transaction& tx, const std::string& line) {
  const json article = json::parse(line);
  const std::string id = article.at("id");
  if (!tx.insert("article/" + id, article))
    throw std::invalid_argument("there is an article " + id);
  for (const json& tag : article.value("tags", json::array())) {
    tx.increment("tag/" + tag.get<std::string>());
  }
  tx.increment("stock", article.at("stock").get<int>());
}

struct Outcome {
  std::size_t imported = 0, skipped = 0;
};

/// What is wrong with the disk and not with a line is lost neither: the commit says it again.
Outcome import_all(kvstore::KVStore& store, std::istream& lines) {
  return store.transaction([&](kvstore::Transaction& batch) {
    Outcome outcome;
    std::string line;
    for (int number = 1; std::getline(lines, line); ++number) {
      try {
        batch.transaction([&](kvstore::Transaction& item) { import(item, line); });
        ++outcome.imported;
      } catch (const std::exception& error) {
        std::cout << "line " << number << ": " << error.what() << '\n';
        ++outcome.skipped;
      }
    }
    return outcome;
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: import_batch FILE < LINES\n";
    return 2;
  }
  try {
    kvstore::KVStore store(argv[1]);
    const Outcome outcome = import_all(store, std::cin);
    std::cout << "imported " << outcome.imported << ", skipped " << outcome.skipped << ", in stock "
              << store.get_or("stock", 0) << '\n';
    for (const kvstore::Entry& tag : store.scan({.prefix = "tag/"})) {
      std::cout << tag.key << ": " << tag.value << '\n';
    }
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "import_batch: " << error.what() << '\n';
    return 3;
  }
}
