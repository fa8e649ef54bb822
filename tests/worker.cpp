#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iostream>
#include <map>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <kvstore/kvstore.hpp>

#include "announcements.hpp"
#include "bank.hpp"

/// A program of its own for tests of many processes: `kvstore-test-worker VERB FILE [ARGUMENT]…`.
/// Tells what it has done on its output, a line each; exit status 1 and a line on the error output
/// for a failure.
namespace {

using kvstore::KVStore;
using kvstore::test::Announcements;
using Arguments = std::vector<std::string>;

void say(const std::string& line) {
  std::cout << line << std::endl;
}

void wait_for_end_of_input() {
  std::string line;
  while (std::getline(std::cin, line)) {
  }
}

/// Opens when told to, writes its own name, closes.
void open_once(const Arguments& arguments) {
  say("ready");
  std::string go;
  std::getline(std::cin, go);
  KVStore store(arguments[0]);
  store.set(arguments[1], true);
  say("done");
}

/// Stores PREFIX0, PREFIX1, … until it is killed; says each number after it was acknowledged.
void write_forever(const Arguments& arguments) {
  const auto durability =
      arguments.at(2) == "normal" ? kvstore::Durability::normal : kvstore::Durability::full;
  KVStore store(arguments[0], {.durability = durability});
  for (int i = 0;; ++i) {
    store.set(arguments[1] + std::to_string(i), i);
    say(std::to_string(i));
  }
}

/// Adds one COUNT times to the number under KEY.
void increment(const Arguments& arguments) {
  KVStore store(arguments[0]);
  for (int i = 0; i < std::stoi(arguments.at(2)); ++i) {
    store.update(arguments[1], 0,
                 [](kvstore::json& value) { value = value.get<std::int64_t>() + 1; });
  }
  say("done");
}

/// Reads and changes the same keys as other programs until its input ends, and sees to it that no
/// revision falls. KEY… are documents `{"n": …}`.
void read_and_write(const Arguments& arguments) {
  KVStore store(arguments[0], {.busy_timeout = kvstore::Duration(20'000)});
  std::atomic<bool> over{false};
  std::thread ear([&] {
    wait_for_end_of_input();
    over = true;
  });
  std::map<std::string, kvstore::Revision> seen;
  std::size_t writes = 0;
  say("ready");
  while (!over) {
    for (std::size_t i = 1; i < arguments.size(); ++i) {
      const std::string& key = arguments[i];
      if (const auto entry = store.entry(key)) {
        if (entry->revision < seen[key]) throw std::runtime_error("a revision fell");
        seen[key] = entry->revision;
      }
      store.update(key, kvstore::json::object(), [](kvstore::json& value) {
        value["worker"] = value.value("worker", std::int64_t{0}) + 1;
      });
      ++writes;
    }
  }
  ear.join();
  say(std::to_string(writes));
}

/// Stores COUNT values under PREFIX…, some of them again, and sees to it that no commit leaves the
/// store above MAX_BYTES.
void fill_within(const Arguments& arguments) {
  const std::uint64_t max_bytes = std::stoull(arguments.at(3));
  KVStore store(arguments[0], {.durability = kvstore::Durability::normal,
                               .busy_timeout = kvstore::Duration(20'000),
                               .max_bytes = max_bytes});
  for (int i = 0; i < std::stoi(arguments.at(2)); ++i) {
    store.set(arguments[1] + std::to_string(i - i % 3), std::string(100 + i * 37 % 900, 'x'));
    if (store.stats().used_bytes > max_bytes) throw std::runtime_error("the bound was exceeded");
  }
  say("done");
}

/// Asks for the value of KEY on many THREADS at once; says "computing" for each computation, and
/// then the value that all of them got.
void compute_together(const Arguments& arguments) {
  KVStore store(arguments[0], {.busy_timeout = kvstore::Duration(20'000)});
  say("ready");
  std::string go;
  std::getline(std::cin, go);
  const auto compute = [] {
    say("computing");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));  // stands for work
    return kvstore::json(getpid());
  };
  std::vector<kvstore::json> values(std::stoul(arguments.at(2)));
  std::vector<std::thread> threads;
  threads.reserve(values.size());
  for (kvstore::json& value : values) {
    threads.emplace_back([&store, &compute, &value, &key = arguments[1]] {
      value = store.get_or_compute(key, kvstore::Duration(3'600'000), compute);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const kvstore::json& value : values) {
    if (value != values.front()) throw std::runtime_error("threads got different values");
  }
  say(values.front().dump());
}

/// Computes the value of KEY until it is killed.
void compute_forever(const Arguments& arguments) {
  KVStore store(arguments[0]);
  store.get_or_compute(arguments.at(1), kvstore::Duration(3'600'000), [] {
    say("computing");
    wait_for_end_of_input();
    return kvstore::json("late");
  });
}

void check_sqlite(int code) {
  if (code != SQLITE_OK) throw std::runtime_error(sqlite3_errstr(code));
}

/// An outside reader: holds a read transaction until its input ends.
void pin(const Arguments& arguments) {
  sqlite3* database = nullptr;
  check_sqlite(sqlite3_open(arguments[0].c_str(), &database));
  check_sqlite(sqlite3_exec(database, "BEGIN; SELECT count(*) FROM kv", nullptr, nullptr, nullptr));
  say("ready");
  wait_for_end_of_input();
  sqlite3_close(database);
}

/// Runs SQL as an outsider and is killed by the test, or ends with its input, without closing.
void leave_open(const Arguments& arguments) {
  sqlite3* database = nullptr;
  check_sqlite(sqlite3_open(arguments[0].c_str(), &database));
  check_sqlite(sqlite3_exec(database, arguments.at(1).c_str(), nullptr, nullptr, nullptr));
  say("ready");
  wait_for_end_of_input();
  std::_Exit(0);
}

/// The index of a log, on which connections hold locks.
/// Source: https://sqlite.org/walformat.html §2.3.
class LogIndex {
 public:
  explicit LogIndex(const std::string& file)
      : path_(file + "-shm"), descriptor_(open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    constexpr off_t in_use = 128;
    lock(F_RDLCK, in_use, 1);
  }
  ~LogIndex() noexcept { close(descriptor_); }
  LogIndex(const LogIndex&) = delete;
  LogIndex& operator=(const LogIndex&) = delete;
  LogIndex(LogIndex&&) = delete;
  LogIndex& operator=(LogIndex&&) = delete;

  void lock(short type, off_t first, off_t count) const {
    struct flock range {};
    range.l_type = type;
    range.l_whence = SEEK_SET;
    range.l_start = first;
    range.l_len = count;
    if (fcntl(descriptor_, F_SETLK, &range) != 0) throw std::runtime_error("cannot lock " + path_);
  }

  void empty() const {
    constexpr off_t bytes = 32768;
    if (ftruncate(descriptor_, 0) != 0 || ftruncate(descriptor_, bytes) != 0) {
      throw std::runtime_error("cannot empty " + path_);
    }
  }

 private:
  std::string path_;
  int descriptor_;
};

/// Holds the locks of a connection that makes the index of a log anew, until its input ends.
void recover(const Arguments& arguments) {
  constexpr off_t write_to_recover = 120;
  const LogIndex index(arguments[0]);
  index.lock(F_WRLCK, write_to_recover, 3);
  index.empty();
  say("ready");
  wait_for_end_of_input();
}

/// Holds the locks of a connection that moves a log into the file, until its input ends.
void move(const Arguments& arguments) {
  constexpr off_t checkpoint = 121;
  constexpr off_t read_the_file_alone = 123;
  const LogIndex index(arguments[0]);
  index.lock(F_WRLCK, checkpoint, 1);
  index.lock(F_WRLCK, read_the_file_alone, 1);
  say("ready");
  wait_for_end_of_input();
}

/// Stores numbers that grow under 0, 1, …, and announces each in FILE2 when it was acknowledged.
/// Does in between what else changes a log.
void announce(const Arguments& arguments) {
  const Announcements announced(arguments.at(1));
  KVStore store(arguments[0], {.durability = kvstore::Durability::normal});
  sqlite3* outsider = nullptr;
  check_sqlite(sqlite3_open(arguments[0].c_str(), &outsider));
  // A checkpoint that waits for readers holds the write lock meanwhile.
  check_sqlite(sqlite3_busy_timeout(outsider, 20));
  say("ready");
  std::int64_t number = announced.largest();
  for (std::size_t round = 1;; ++round) {
    const std::size_t key = round % announced.count();
    store.set(std::to_string(key), ++number);
    announced.announce(key, number);
    const char* upkeep = round % 4'001 == 0   ? "VACUUM"
                         : round % 1'009 == 0 ? "PRAGMA wal_checkpoint(TRUNCATE)"
                         : round % 499 == 0   ? "PRAGMA wal_checkpoint(RESTART)"
                                              : nullptr;
    // Others may be in the way.
    if (upkeep != nullptr) sqlite3_exec(outsider, upkeep, nullptr, nullptr, nullptr);
  }
}

/// The same over plain SQL, with a connection for each number, which moves its log into the file.
void announce_in_passing(const Arguments& arguments) {
  const Announcements announced(arguments.at(1));
  say("ready");
  for (std::int64_t number = announced.largest() + 1;; ++number) {
    const auto key = static_cast<std::size_t>(number) % announced.count();
    sqlite3* outsider = nullptr;
    check_sqlite(sqlite3_open(arguments[0].c_str(), &outsider));
    check_sqlite(sqlite3_busy_timeout(outsider, 20'000));
    check_sqlite(sqlite3_exec(outsider, "PRAGMA synchronous = OFF", nullptr, nullptr, nullptr));
    const std::string change = "UPDATE kv SET value = '" + std::to_string(number) +
                               "' WHERE key = '" + std::to_string(key) + "'";
    check_sqlite(sqlite3_exec(outsider, change.c_str(), nullptr, nullptr, nullptr));
    announced.announce(key, number);
    sqlite3_exec(outsider, "PRAGMA wal_checkpoint", nullptr, nullptr, nullptr);
    sqlite3_close(outsider);
  }
}

/// Migrates to step COUNT when told to; each step adds one to the number under its own key.
void migrate(const Arguments& arguments) {
  std::vector<kvstore::Migration> steps;
  for (int version = 1; version <= std::stoi(arguments.at(1)); ++version) {
    const std::string key = "taken/" + std::to_string(version);
    steps.push_back({.version = version, .name = key, .up = [key](kvstore::Transaction& tx) {
                       tx.increment(key);
                     }});
  }
  say("ready");
  std::string go;
  std::getline(std::cin, go);
  KVStore store(arguments[0], {.busy_timeout = kvstore::Duration(20'000)});
  kvstore::migrate(store, steps);
  say("done");
}

/// Moves 1 to 9 between two of ACCOUNTS numbers, COUNT times, when told to.
void transfer(const Arguments& arguments) {
  const int accounts = std::stoi(arguments.at(1));
  std::minstd_rand random(static_cast<unsigned>(std::stoul(arguments.at(3))));
  KVStore store(arguments[0], {.durability = kvstore::Durability::normal,
                               .busy_timeout = kvstore::Duration(60'000)});
  say("ready");
  std::string go;
  std::getline(std::cin, go);
  for (int i = 0; i < std::stoi(arguments.at(2)); ++i) {
    kvstore::test::move_money(store, accounts, random);
    if (i == 0) say("moving");
  }
  say("done");
}

/// Does as its input says, a line each, and answers "done": "set KEY JSON" or "erase KEY".
void obey(const Arguments& arguments) {
  KVStore store(arguments[0]);
  say("ready");
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string verb;
    std::string key;
    std::string value;
    words >> verb >> key;
    std::getline(words, value);
    if (verb == "set") {
      store.set_text(key, value);
    } else {
      store.erase(key);
    }
    say("done");
  }
}

/// Makes a backup at a path, and waits, to be killed, when the callback has come so many times.
void backup(const Arguments& arguments) {
  const KVStore store(arguments[0]);
  int calls = std::stoi(arguments.at(2));
  store.backup(arguments.at(1), [&](std::uint64_t /*done*/, std::uint64_t /*total*/) {
    if (calls-- == 0) {
      say("copying");
      wait_for_end_of_input();
    }
    return true;
  });
}

void get(const Arguments& arguments) {
  const KVStore store(arguments[0]);
  const auto value = store.get(arguments.at(1));
  say(value ? value->dump() : "absent");
}

}  // namespace

int main(int count, char** words) {
  const std::map<std::string, std::function<void(const Arguments&)>> verbs = {
      {"open", open_once},
      {"write", write_forever},
      {"increment", increment},
      {"mix", read_and_write},
      {"fill", fill_within},
      {"migrate", migrate},
      {"transfer", transfer},
      {"compute", compute_together},
      {"compute-forever", compute_forever},
      {"pin", pin},
      {"leave-open", leave_open},
      {"recover", recover},
      {"move", move},
      {"announce", announce},
      {"announce-in-passing", announce_in_passing},
      {"obey", obey},
      {"backup", backup},
      {"get", get}};
  if (count < 3) return 2;
  try {
    verbs.at(words[1])(Arguments(words + 2, words + count));
    return 0;
  } catch (const std::exception& error) {
    std::cerr << words[1] << ": " << error.what() << '\n';
    return 1;
  }
}
