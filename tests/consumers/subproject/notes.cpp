// A stranger's notebook on the command line: keeps notes and lists them in order.
#include <algorithm>
#include <cstdint>
#include <iostream>
#include <string>

#include <kvstore/kvstore.hpp>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  kvstore::KVStore store(argv[1]);

  for (const std::string text : {"water the plants", "call home", "buy bread"}) {
    store.set("note/" + text,
              {{"text", text}, {"words", 1 + std::count(text.begin(), text.end(), ' ')}});
  }
  store.set("other", 1);

  std::int64_t words = 0;
  std::string line;
  for (const kvstore::Entry& note : store.scan({.prefix = "note/"})) {
    words += note.value.at("words").get<std::int64_t>();
    line += note.value.at("text").get<std::string>() + ", ";
  }
  std::cout << line << words << " words\n";
}
