#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// The one interface behind which kvstore and its peers stand, so that each workload is written
/// once.
namespace bench {

using json = nlohmann::json;

/// Entries to be stored, in the order of their keys; the documents are borrowed.
using Batch = std::vector<std::pair<std::string, const json&>>;
using Visit = std::function<void(std::string_view key, const json& document)>;
using Change = std::function<void(json& document)>;

/// What an acknowledged write survives: everything, or all but power loss.
enum class Durability : std::uint8_t { full, normal };

struct Settings {
  Durability durability = Durability::full;

  /// Memory in which the peer may keep what it has read. Default: what the peer takes when nobody
  /// asks. LMDB has no such memory and reads from the page cache of the system.
  /// Units: bytes.
  std::optional<std::size_t> cache_bytes{};

  /// Whether parsed documents may be kept; without, each read parses. Default: true.
  bool keep_parsed = true;

  /// Opened for reading only; of a peer that many processes may open. Default: false.
  bool read_only = false;
};

/// What one thread does with a database. A document goes in and comes out as nlohmann::json:
/// parsing and dumping are part of the work.
///
/// Throws, every verb: what derives from std::exception, when the peer fails.
class Session {
 public:
  Session() = default;
  virtual ~Session() = default;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  Session(Session&&) = delete;
  Session& operator=(Session&&) = delete;

  virtual std::optional<json> get(std::string_view key) = 0;

  /// For reading in place. Default: what `get` returns, moved into a shared pointer.
  virtual std::shared_ptr<const json> get_shared(std::string_view key);

  /// One place inside a document. Default: reads the whole document.
  virtual std::optional<json> get_at(std::string_view key, const json::json_pointer& place);

  /// Many documents of one moment, in the caller's order.
  virtual std::vector<std::optional<json>> get_many(std::span<const std::string> keys) = 0;

  /// Calls `visit` for at most `limit` entries, in order, from `from` on.
  virtual void scan(std::string_view from, std::size_t limit, const Visit& visit) = 0;

  virtual void set(std::string_view key, const json& document) = 0;

  /// Stores all in one transaction.
  virtual void set_many(const Batch& batch) = 0;

  /// Reads, changes and writes a document that is there, as one step.
  virtual void update(std::string_view key, const Change& change) = 0;
};

/// A database that is open. Its sessions do not outlive it.
class Database {
 public:
  Database() = default;
  virtual ~Database() = default;
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  Database(Database&&) = delete;
  Database& operator=(Database&&) = delete;

  virtual std::unique_ptr<Session> session() = 0;

  /// Finishes the background work that a load leaves, so that it does not disturb what is measured
  /// next. Default: there is none.
  virtual void settle() {}
};

/// One contestant.
struct Peer {
  std::string name{};
  std::string version{};

  /// Whether several processes may have a database open.
  bool many_processes = false;

  /// Opens the database in a directory of its own, or creates it.
  std::unique_ptr<Database> (*open)(const std::string& directory,
                                    const Settings& settings) = nullptr;
};

/// Those that this program was built with: kvstore first, then SQLite by hand.
const std::vector<Peer>& peers();

/// Throws: std::invalid_argument, when there is none of this name.
const Peer& peer_called(std::string_view name);

/// The names of those whose library was missing when this program was built.
std::vector<std::string> missing_peers();

inline json parsed(std::string_view text) {
  return json::parse(text.begin(), text.end());
}

Peer kvstore_peer();
Peer sqlite_peer();
Peer lmdb_peer();
Peer leveldb_peer();
Peer rocksdb_peer();

}  // namespace bench
