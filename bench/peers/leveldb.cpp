#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/filter_policy.h>
#include <leveldb/write_batch.h>

#include <mutex>
#include <stdexcept>

#include "../peer.hpp"

namespace bench {
namespace {

void check(const leveldb::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.ToString());
}

leveldb::Slice slice(std::string_view text) noexcept {
  return {text.data(), text.size()};
}

std::string_view text(const leveldb::Slice& slice) noexcept {
  return {slice.data(), slice.size()};
}

/// Has no transactions that read: `update` takes a mutex of the program.
class LeveldbSession : public Session {
 public:
  LeveldbSession(leveldb::DB& database, const leveldb::WriteOptions& write, std::mutex& updating)
      : database_(database), write_(write), updating_(updating) {}

  std::optional<json> get(std::string_view key) override { return found({}, key); }

  std::vector<std::optional<json>> get_many(std::span<const std::string> keys) override {
    const auto release = [this](const leveldb::Snapshot* moment) {
      database_.ReleaseSnapshot(moment);
    };
    const std::unique_ptr<const leveldb::Snapshot, decltype(release)> moment(
        database_.GetSnapshot(), release);
    leveldb::ReadOptions read;
    read.snapshot = moment.get();
    std::vector<std::optional<json>> documents;
    documents.reserve(keys.size());
    for (const std::string& key : keys) documents.push_back(found(read, key));
    return documents;
  }

  void scan(std::string_view from, std::size_t limit, const Visit& visit) override {
    const std::unique_ptr<leveldb::Iterator> entry(database_.NewIterator({}));
    for (entry->Seek(slice(from)); entry->Valid() && limit > 0; entry->Next(), --limit) {
      visit(text(entry->key()), parsed(text(entry->value())));
    }
    check(entry->status());
  }

  void set(std::string_view key, const json& document) override {
    check(database_.Put(write_, slice(key), document.dump()));
  }

  void set_many(const Batch& batch) override {
    leveldb::WriteBatch all;
    for (const auto& [key, document] : batch) all.Put(key, document.dump());
    check(database_.Write(write_, &all));
  }

  void update(std::string_view key, const Change& change) override {
    const std::lock_guard lock(updating_);
    json document = get(key).value();
    change(document);
    set(key, document);
  }

 private:
  std::optional<json> found(const leveldb::ReadOptions& read, std::string_view key) {
    const leveldb::Status status = database_.Get(read, slice(key), &text_);
    if (status.IsNotFound()) return std::nullopt;
    check(status);
    return parsed(text_);
  }

  leveldb::DB& database_;
  leveldb::WriteOptions write_;
  std::mutex& updating_;
  std::string text_;
};

/// A block cache, a Bloom filter of 10 bits a key, compression as it comes (Snappy, which costs
/// reads of what no cache holds some time), and with a bound of the memory also a write buffer of
/// that size, since "larger values increase performance". Full durability is `sync`; normal hands
/// the log to the system at each write.
/// Source: https://github.com/google/leveldb/blob/1.23/doc/index.md, leveldb/options.h.
class LeveldbDatabase : public Database {
 public:
  LeveldbDatabase(const std::string& directory, const Settings& settings)
      : filter_(leveldb::NewBloomFilterPolicy(10)) {
    leveldb::Options options;
    options.create_if_missing = true;
    options.filter_policy = filter_.get();
    if (settings.cache_bytes) {
      cache_.reset(leveldb::NewLRUCache(*settings.cache_bytes));
      options.block_cache = cache_.get();
      options.write_buffer_size = *settings.cache_bytes;
    }
    write_.sync = settings.durability == Durability::full;
    leveldb::DB* raw = nullptr;
    check(leveldb::DB::Open(options, directory, &raw));
    database_.reset(raw);
  }

  std::unique_ptr<Session> session() override {
    return std::make_unique<LeveldbSession>(*database_, write_, updating_);
  }

  void settle() override { database_->CompactRange(nullptr, nullptr); }

 private:
  std::unique_ptr<const leveldb::FilterPolicy> filter_;
  std::unique_ptr<leveldb::Cache> cache_;
  leveldb::WriteOptions write_;
  std::mutex updating_;
  std::unique_ptr<leveldb::DB> database_;
};

std::unique_ptr<Database> open(const std::string& directory, const Settings& settings) {
  return std::make_unique<LeveldbDatabase>(directory, settings);
}

}  // namespace

Peer leveldb_peer() {
  const std::string version =
      std::to_string(leveldb::kMajorVersion) + "." + std::to_string(leveldb::kMinorVersion);
  return {.name = "leveldb", .version = version, .many_processes = false, .open = open};
}

}  // namespace bench
