// Settings kept in a store: typed, with defaults, edited one place at a time, taken over live.
//
//   app_config FILE                    shows the settings in use
//   app_config FILE live               shows them again after each change, until its input ends
//   app_config FILE POINTER VALUE      changes one of them: app_config app.db /port 9090
#include <cstdint>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <syncstream>
#include <vector>

#include <kvstore/kvstore.hpp>

namespace {

using kvstore::json;

struct Config {
  std::string host = "localhost";
  std::uint16_t port = 8080;
  bool verbose = false;
  std::vector<std::string> admins{"root"};
};
// WITH_DEFAULT: a setting that a later version adds is not missing from an older file.
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Config, host, port, verbose, admins)

constexpr std::string_view key = "config";

void show(const kvstore::Reader& store) {
  const Config config = store.get_or(key, Config{});
  std::osyncstream out(std::cout);  // whole, whichever thread shows it
  out << "listening on " << config.host << ':' << config.port << (config.verbose ? ", verbose" : "")
      << "\nadmins:";
  for (const std::string& admin : config.admins) out << ' ' << admin;
  out << std::endl;
}

void follow(kvstore::KVStore& store) {
  const auto live = store.watch(std::string(key), [&](const auto&) { show(store); });
  show(store);
  for (std::string line; std::getline(std::cin, line);) continue;
}

/// A change that the program could not read back is refused before it is stored: what the callback
/// throws ends the update, and the old settings stay.
void change(kvstore::Keyspace& store, const std::string& pointer, const std::string& text) {
  const json::json_pointer at(pointer);
  json value = json::parse(text, nullptr, false);
  if (value.is_discarded()) value = text;  // a bare word is a string
  store.update(key, json(Config{}), [&](json& config) {
    const json before = config.get<Config>();  // with the settings that the file does not know yet
    if (!before.contains(at)) throw std::invalid_argument("there is no setting " + pointer);
    config = before;
    config[at] = value;
    if (json(config.get<Config>()) != config) {
      throw std::invalid_argument(value.dump() + " does not fit where " + before[at].dump() +
                                  " stands");
    }
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 4 || (argc == 3 && argv[2] != std::string_view("live"))) {
    std::cerr << "usage: app_config FILE [live | POINTER VALUE]\n";
    return 2;
  }
  try {
    kvstore::KVStore store(argv[1]);
    if (argc == 4) change(store, argv[2], argv[3]);
    argc == 3 ? follow(store) : show(store);
  } catch (const std::exception& error) {
    std::cerr << "app_config: " << error.what() << '\n';
    return 1;
  }
}
