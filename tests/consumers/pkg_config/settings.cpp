// A stranger's settings: typed reads with fallbacks, and an error that is caught by its type.
#include <iostream>
#include <string>

#include <kvstore/kvstore.hpp>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  kvstore::KVStore store(argv[1]);

  store.set("server", {{"host", "example.org"}, {"ports", {8080, 8081}}});
  store.set("debug", true);

  const kvstore::json::json_pointer second_port("/ports/1");
  std::string caught = "nothing";
  try {
    static_cast<void>(store.get<int>("debug"));
  } catch (const kvstore::Error& error) {
    caught = kvstore::to_string(error.code());
  }
  std::string keys;
  for (const kvstore::Entry& entry : store.scan()) keys += entry.key + ' ';
  std::cout << keys << store.get_or("server", second_port, 0) << ' '
            << store.get_or("user", "nobody") << ' ' << caught << '\n';
}
