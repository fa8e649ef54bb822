// A tour of kvstore on real data: the countries, regions, languages, scripts and currencies of ISO,
// as Debian's package iso-codes brings them.
//
//   tour           in a temporary file, which is removed at the end
//   tour FILE      in a file that stays, to look at with sqlite3, Python or another program
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <kvstore/kvstore.hpp>

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using kvstore::json;
using kvstore::KVStore;

const fs::path data_directory = "/usr/share/iso-codes/json";

struct Country {
  std::string alpha_2;
  std::string name;
  std::string official_name;
  std::string numeric;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Country, alpha_2, name, official_name, numeric)

void heading(std::string_view text) {
  std::cout << '\n' << text << '\n';
}

void say(const std::string& text) {
  std::cout << "    " << text << '\n';
}

/// Runs one step and prints how long it took: only the work, without what is printed about it.
template <class Work>
auto timed(const std::string& what, Work&& work) {
  const auto start = std::chrono::steady_clock::now();
  auto result = work();
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  std::printf("  %-62s %9.3f ms\n", what.c_str(), took.count());
  std::fflush(stdout);
  return result;
}

/// 14:03:07.512, of the day that the moment is in.
std::string clock_time(kvstore::Time time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::hh_mm_ss parts(time - day);
  char text[32];
  std::snprintf(text, sizeof text, "%02d:%02d:%02d.%03d", static_cast<int>(parts.hours().count()),
                static_cast<int>(parts.minutes().count()),
                static_cast<int>(parts.seconds().count()),
                static_cast<int>(parts.subseconds().count()));
  return text;
}

struct Source {
  std::string file;    ///< The ISO standard: also the name of the list in the file.
  std::string prefix;  ///< Of the keys.
  std::string id;      ///< The field that names an item.
};

const std::vector<Source> sources = {{"3166-1", "country/", "alpha_2"},
                                     {"3166-2", "region/", "code"},
                                     {"639-3", "language/", "alpha_3"},
                                     {"15924", "script/", "alpha_4"},
                                     {"4217", "currency/", "alpha_3"}};

std::vector<std::pair<std::string, json>> items_of(const Source& source) {
  const fs::path path = data_directory / ("iso_" + source.file + ".json");
  std::ifstream in(path);
  if (!in) throw std::runtime_error("cannot read " + path.string() + "; apt-get install iso-codes");
  json document = json::parse(in);
  std::vector<std::pair<std::string, json>> items;
  for (json& item : document.at(source.file)) {
    std::string key = source.prefix + item.at(source.id).get<std::string>();
    items.emplace_back(std::move(key), std::move(item));
  }
  return items;
}

void load(KVStore& store) {
  heading("Load: set_many stores a whole list in one transaction");
  for (const Source& source : sources) {
    const auto items = items_of(source);
    timed("ISO " + source.file + ": " + std::to_string(items.size()) + " documents under " +
              source.prefix,
          [&] { return store.set_many(items); });
  }
}

void read(const KVStore& store) {
  heading("Read: as JSON, as your own type, or just one place");
  const auto script = timed("get(\"script/Latn\")", [&] { return store.get("script/Latn"); });
  say(script.value().dump());

  const auto country =
      timed("get<Country>(\"country/CH\")", [&] { return store.get<Country>("country/CH"); });
  say(country.value().name + ", officially: " + country.value().official_name);

  const auto currency = timed("get_or(\"currency/CHF\", \"/name\"_json_pointer, \"?\")", [&] {
    return store.get_or("currency/CHF", "/name"_json_pointer, "?");
  });
  say(currency);

  const auto absent =
      timed("get(\"country/XX\")", [&] { return store.get("country/XX").has_value(); });
  say(absent ? "there" : "absent: an empty optional, not an error");
}

void change(KVStore& store) {
  heading("Change: every write moves the revision and updated_at");
  timed("set(\"country/ZZ\", Country{...})", [&] {
    return store.set("country/ZZ", Country{"ZZ", "Utopia", "Republic of Utopia", "999"});
  });
  say(store.get_text("country/ZZ").value());
  timed("erase(\"country/ZZ\")", [&] { return store.erase("country/ZZ"); });

  const kvstore::Entry before = store.entry("country/IS").value();
  timed("set(\"country/IS\", \"/capital\"_json_pointer, \"Reykjavik\")",
        [&] { return store.set("country/IS", "/capital"_json_pointer, "Reykjavik"); });
  const kvstore::Entry after = store.entry("country/IS").value();
  say("updated_at " + clock_time(before.updated_at) + " -> " + clock_time(after.updated_at));
  say("revision   " + std::to_string(before.revision) + " -> " + std::to_string(after.revision));

  const auto visits = timed("update(\"visits\", 0, [](json& n) { ... + 1; })", [&] {
    return store.update("visits", 0, [](json& n) { n = n.get<int>() + 1; });
  });
  say("visits is now " + visits.dump() + "; no other process can come between read and write");
}

/// Stores a new name for New Zealand, unless somebody changed the entry since `seen`.
bool rename(KVStore& store, const kvstore::Entry& seen, const std::string& name) {
  json value = seen.value;
  value["name"] = name;
  return store.replace("country/NZ", value, seen.revision).has_value();
}

void compare_and_set(KVStore& store) {
  heading("Compare and set: two editors, nothing overwritten unseen");
  const kvstore::Entry alices = store.entry("country/NZ").value();
  const kvstore::Entry bobs = store.entry("country/NZ").value();
  const bool first =
      timed("Alice: replace(..., revision)", [&] { return rename(store, alices, "Aotearoa"); });
  say(first ? "won" : "lost");
  const bool second =
      timed("Bob:   replace(..., revision)", [&] { return rename(store, bobs, "Zealandia"); });
  say(second ? "won" : "lost: the entry has a newer revision; Bob reads it again");
  const bool third = timed("Bob:   entry, then replace", [&] {
    return rename(store, store.entry("country/NZ").value(), "Aotearoa New Zealand");
  });
  say((third ? "won: " : "lost: ") + store.get_or("country/NZ", "/name"_json_pointer, ""));
}

void scan(const KVStore& store) {
  heading("Scan: keys are ordered, so a prefix is a folder");
  const auto regions = timed("count({.prefix = \"region/NO-\"})",
                             [&] { return store.count({.prefix = "region/NO-"}); });
  say("Norway has " + std::to_string(regions) + " regions; the last three:");
  for (const kvstore::Entry& region :
       store.scan({.prefix = "region/NO-", .limit = 3, .descending = true})) {
    say("  " + region.key + "  " + region.value.at("name").get<std::string>());
  }

  const auto kinds = timed("scan({.prefix = \"language/\"}), every document", [&] {
    std::map<std::string, int> count;
    for (const kvstore::Entry& language : store.scan({.prefix = "language/"})) {
      ++count[language.value.at("type").get<std::string>()];
    }
    return count;
  });
  const auto of = [&](const std::string& kind) {
    return std::to_string(kinds.contains(kind) ? kinds.at(kind) : 0);
  };
  say(of("L") + " living languages, " + of("E") + " extinct, " + of("H") + " historical, " +
      of("C") + " constructed");
}

void expire(KVStore& store, kvstore::Duration& ahead) {
  heading("Expiry: a ttl, seen through a clock that the program may bring along");
  timed("set(\"quote/CHF\", 1.04, {.ttl = 1h})",
        [&] { return store.set("quote/CHF", 1.04, {.ttl = 1h}); });
  ahead = 59min;
  say(std::string("59 minutes later: ") + (store.contains("quote/CHF") ? "there" : "gone"));
  ahead = 60min;
  say(std::string("60 minutes later: ") + (store.contains("quote/CHF") ? "there" : "gone"));
  const auto purged = timed("purge_expired()", [&] { return store.purge_expired(); });
  say("entries removed from the file: " + std::to_string(purged));
}

void refuse(const KVStore& store) {
  heading("Errors: one type, a code to act on, a text to read");
  try {
    static_cast<void>(store.get<int>("country/CH", "/name"_json_pointer));
  } catch (const kvstore::Error& error) {
    say("code: " + std::string(to_string(error.code())));
    say(error.what());
  }
}

void reopen(const std::string& file) {
  heading("Reopen: all of it is there");
  const KVStore store = timed("KVStore store(file)", [&] { return KVStore(file); });
  say(std::to_string(store.count()) + " entries; Iceland's capital is " +
      store.get_or("country/IS", "/capital"_json_pointer, "forgotten"));
  const kvstore::Report report = timed("check(), every byte of it", [&] { return store.check(); });
  for (const kvstore::Problem& problem : report.problems) say(problem.key + ": " + problem.what);
  const kvstore::Stats stats = store.stats();
  say((report.ok() ? "sound: " : "damaged: ") + std::to_string(stats.file_bytes / 1024) +
      " KiB in one file, engine " + stats.engine);
}

void tour(const std::string& file) {
  std::cout << "kvstore, a tour. The store is " << file << '\n';
  kvstore::Duration ahead{};
  {
    KVStore store(file, {.clock = [&ahead] {
                    return std::chrono::floor<kvstore::Duration>(std::chrono::system_clock::now()) +
                           ahead;
                  }});
    load(store);
    read(store);
    change(store);
    compare_and_set(store);
    scan(store);
    refuse(store);
    expire(store, ahead);
  }
  reopen(file);
}

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (fs::temp_directory_path() / "kvstore-tour-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make " + pattern);
    path_ = pattern;
  }
  ~TemporaryDirectory() noexcept {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  TemporaryDirectory(TemporaryDirectory&&) = delete;
  TemporaryDirectory& operator=(TemporaryDirectory&&) = delete;

  [[nodiscard]] std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  fs::path path_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc > 2) {
    std::cerr << "usage: tour [FILE]\n";
    return 2;
  }
  try {
    if (argc == 2) {
      tour(argv[1]);
      std::cout << "\nThe file stays. Try: sqlite3 " << argv[1]
                << " \"SELECT key, value FROM kv LIMIT 5\"\n";
    } else {
      const TemporaryDirectory directory;
      tour(directory.file("iso.db"));
    }
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "tour: " << error.what() << '\n';
    return 1;
  }
}
