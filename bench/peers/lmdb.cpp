#include <lmdb.h>

#include <stdexcept>

#include "../peer.hpp"

namespace bench {
namespace {

void check(int code) {
  if (code != MDB_SUCCESS) throw std::runtime_error(mdb_strerror(code));
}

MDB_val borrowed(std::string_view text) noexcept {
  return {text.size(), const_cast<char*>(text.data())};
}

std::string_view text(const MDB_val& value) noexcept {
  return {static_cast<const char*>(value.mv_data), value.mv_size};
}

struct CloseEnvironment {
  void operator()(MDB_env* environment) const noexcept { mdb_env_close(environment); }
};
struct Abort {
  void operator()(MDB_txn* transaction) const noexcept { mdb_txn_abort(transaction); }
};
struct CloseCursor {
  void operator()(MDB_cursor* cursor) const noexcept { mdb_cursor_close(cursor); }
};
using Transaction = std::unique_ptr<MDB_txn, Abort>;

Transaction begin(MDB_env* environment, unsigned flags) {
  MDB_txn* raw = nullptr;
  check(mdb_txn_begin(environment, nullptr, flags, &raw));
  return Transaction(raw);
}

void commit(Transaction transaction) {
  check(mdb_txn_commit(transaction.release()));
}

/// One read transaction for each read, which is renewed instead of begun anew, as lmdb.h advises
/// for mdb_txn_reset. Documents are parsed where they lie in the map.
class LmdbSession : public Session {
 public:
  LmdbSession(MDB_env* environment, MDB_dbi table)
      : environment_(environment), table_(table), read_(begin(environment, MDB_RDONLY)) {
    mdb_txn_reset(read_.get());
  }

  std::optional<json> get(std::string_view key) override {
    const Reading reading(read_.get());
    return found(read_.get(), key);
  }

  std::vector<std::optional<json>> get_many(std::span<const std::string> keys) override {
    const Reading reading(read_.get());
    std::vector<std::optional<json>> documents;
    documents.reserve(keys.size());
    for (const std::string& key : keys) documents.push_back(found(read_.get(), key));
    return documents;
  }

  void scan(std::string_view from, std::size_t limit, const Visit& visit) override {
    const Reading reading(read_.get());
    MDB_cursor* raw = nullptr;
    check(mdb_cursor_open(read_.get(), table_, &raw));
    const std::unique_ptr<MDB_cursor, CloseCursor> cursor(raw);
    MDB_val key = borrowed(from);
    MDB_val value{};
    int code = mdb_cursor_get(raw, &key, &value, MDB_SET_RANGE);
    for (; code == MDB_SUCCESS && limit > 0; --limit) {
      visit(text(key), parsed(text(value)));
      code = mdb_cursor_get(raw, &key, &value, MDB_NEXT);
    }
    if (code != MDB_NOTFOUND) check(code);
  }

  void set(std::string_view key, const json& document) override {
    Transaction write = begin(environment_, 0);
    put(write.get(), key, document);
    commit(std::move(write));
  }

  void set_many(const Batch& batch) override {
    Transaction write = begin(environment_, 0);
    // Behind all that is there, without a search, until the first that does not belong there.
    unsigned flags = MDB_APPEND;
    for (const auto& [key, document] : batch) {
      if (!put(write.get(), key, document, flags)) put(write.get(), key, document, flags = 0);
    }
    commit(std::move(write));
  }

  void update(std::string_view key, const Change& change) override {
    Transaction write = begin(environment_, 0);
    json document = found(write.get(), key).value();
    change(document);
    put(write.get(), key, document);
    commit(std::move(write));
  }

 private:
  /// The newest moment, for as long as this lives.
  class Reading {
   public:
    explicit Reading(MDB_txn* transaction) : transaction_(transaction) {
      check(mdb_txn_renew(transaction));
    }
    ~Reading() noexcept { mdb_txn_reset(transaction_); }
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;
    Reading(Reading&&) = delete;
    Reading& operator=(Reading&&) = delete;

   private:
    MDB_txn* transaction_;
  };

  std::optional<json> found(MDB_txn* transaction, std::string_view key) const {
    MDB_val name = borrowed(key);
    MDB_val value{};
    const int code = mdb_get(transaction, table_, &name, &value);
    if (code == MDB_NOTFOUND) return std::nullopt;
    check(code);
    return parsed(text(value));
  }

  /// Whether it could be put there: with MDB_APPEND only behind all others.
  bool put(MDB_txn* transaction, std::string_view key, const json& document,
           unsigned flags = 0) const {
    const std::string dumped = document.dump();
    MDB_val name = borrowed(key);
    MDB_val value = borrowed(dumped);
    const int code = mdb_put(transaction, table_, &name, &value, flags);
    if (code == MDB_KEYEXIST) return false;
    check(code);
    return true;
  }

  MDB_env* environment_;
  MDB_dbi table_;
  Transaction read_;
};

/// Full durability is LMDB's default, a flush at each commit. LMDB has no mode that loses at most
/// the newest writes for certain and does not flush: normal is MDB_NOSYNC without MDB_WRITEMAP, of
/// which lmdb.h says that it keeps the database whole where the file system keeps the order of
/// writes. With MDB_WRITEMAP it could be corrupt after a power loss. That is less than the others
/// promise, and LMDB's gain.
/// Source: lmdb.h 0.9.24, mdb_env_open.
class LmdbDatabase : public Database {
 public:
  LmdbDatabase(const std::string& directory, const Settings& settings) {
    MDB_env* raw = nullptr;
    check(mdb_env_create(&raw));
    environment_.reset(raw);
    // Address space only: the file grows as it is written.
    constexpr std::size_t largest = std::size_t{64} << 30U;
    check(mdb_env_set_mapsize(raw, largest));
    const unsigned flags = MDB_NOTLS |
                           (settings.durability == Durability::normal ? unsigned{MDB_NOSYNC} : 0U) |
                           (settings.read_only ? unsigned{MDB_RDONLY} : 0U);
    constexpr mdb_mode_t mode = 0600;
    check(mdb_env_open(raw, directory.c_str(), flags, mode));
    Transaction first = begin(raw, settings.read_only ? unsigned{MDB_RDONLY} : 0U);
    check(mdb_dbi_open(first.get(), nullptr, 0, &table_));
    commit(std::move(first));
  }

  std::unique_ptr<Session> session() override {
    return std::make_unique<LmdbSession>(environment_.get(), table_);
  }

 private:
  std::unique_ptr<MDB_env, CloseEnvironment> environment_;
  MDB_dbi table_ = 0;
};

std::unique_ptr<Database> open(const std::string& directory, const Settings& settings) {
  return std::make_unique<LmdbDatabase>(directory, settings);
}

}  // namespace

Peer lmdb_peer() {
  const std::string version = std::to_string(MDB_VERSION_MAJOR) + "." +
                              std::to_string(MDB_VERSION_MINOR) + "." +
                              std::to_string(MDB_VERSION_PATCH);
  return {.name = "lmdb", .version = version, .many_processes = true, .open = open};
}

}  // namespace bench
