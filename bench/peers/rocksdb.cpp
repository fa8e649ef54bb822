#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/version.h>
#include <rocksdb/write_batch.h>

#include <mutex>
#include <stdexcept>
#include <thread>

#include "../peer.hpp"

namespace bench {
namespace {

void check(const rocksdb::Status& status) {
  if (!status.ok()) throw std::runtime_error(status.ToString());
}

rocksdb::Slice slice(std::string_view text) noexcept {
  return {text.data(), text.size()};
}

std::string_view text(const rocksdb::Slice& slice) noexcept {
  return {slice.data(), slice.size()};
}

/// Reads pinned slices, without a copy. `update` takes a mutex of the program: a TransactionDB
/// would slow all other writes down.
class RocksdbSession : public Session {
 public:
  RocksdbSession(rocksdb::DB& database, const rocksdb::WriteOptions& write, std::mutex& updating)
      : database_(database), write_(write), updating_(updating) {}

  std::optional<json> get(std::string_view key) override {
    rocksdb::PinnableSlice value;
    return document(database_.Get({}, database_.DefaultColumnFamily(), slice(key), &value), value);
  }

  std::vector<std::optional<json>> get_many(std::span<const std::string> keys) override {
    std::vector<rocksdb::Slice> names(keys.begin(), keys.end());
    std::vector<rocksdb::PinnableSlice> values(keys.size());
    std::vector<rocksdb::Status> statuses(keys.size());
    database_.MultiGet({}, database_.DefaultColumnFamily(), keys.size(), names.data(),
                       values.data(), statuses.data());
    std::vector<std::optional<json>> documents;
    documents.reserve(keys.size());
    for (std::size_t i = 0; i < keys.size(); ++i) {
      documents.push_back(document(statuses[i], values[i]));
    }
    return documents;
  }

  void scan(std::string_view from, std::size_t limit, const Visit& visit) override {
    const std::unique_ptr<rocksdb::Iterator> entry(database_.NewIterator({}));
    for (entry->Seek(slice(from)); entry->Valid() && limit > 0; entry->Next(), --limit) {
      visit(text(entry->key()), parsed(text(entry->value())));
    }
    check(entry->status());
  }

  void set(std::string_view key, const json& document) override {
    check(database_.Put(write_, slice(key), document.dump()));
  }

  void set_many(const Batch& batch) override {
    rocksdb::WriteBatch all;
    for (const auto& [key, document] : batch) check(all.Put(key, document.dump()));
    check(database_.Write(write_, &all));
  }

  void update(std::string_view key, const Change& change) override {
    const std::lock_guard lock(updating_);
    json document = get(key).value();
    change(document);
    set(key, document);
  }

 private:
  static std::optional<json> document(const rocksdb::Status& status, const rocksdb::Slice& value) {
    if (status.IsNotFound()) return std::nullopt;
    check(status);
    return parsed(text(value));
  }

  rocksdb::DB& database_;
  rocksdb::WriteOptions write_;
  std::mutex& updating_;
};

/// The basic tuning that its guide recommends: a thread of background work for each core, dynamic
/// level sizes, a steady write-back, LZ4, a Bloom filter of 10 bits a key. Two of its
/// recommendations are left at their defaults, because they save memory and slow reads down: blocks
/// of 16 KiB instead of 4, and index and filter in the block cache, with which get/far at 115 bytes
/// took several times as long. Full durability is `sync`; normal hands the log to the system.
/// Source: https://github.com/facebook/rocksdb/wiki/Setup-Options-and-Basic-Tuning
class RocksdbDatabase : public Database {
 public:
  RocksdbDatabase(const std::string& directory, const Settings& settings) {
    rocksdb::BlockBasedTableOptions table;
    table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
    if (settings.cache_bytes) table.block_cache = rocksdb::NewLRUCache(*settings.cache_bytes);
    rocksdb::Options options;
    options.create_if_missing = true;
    options.IncreaseParallelism(static_cast<int>(std::thread::hardware_concurrency()));
    options.level_compaction_dynamic_level_bytes = true;
    options.bytes_per_sync = 1U << 20U;
    options.compression = rocksdb::kLZ4Compression;
    options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    write_.sync = settings.durability == Durability::full;
    rocksdb::DB* raw = nullptr;
    check(rocksdb::DB::Open(options, directory, &raw));
    database_.reset(raw);
  }

  std::unique_ptr<Session> session() override {
    return std::make_unique<RocksdbSession>(*database_, write_, updating_);
  }

  void settle() override { check(database_->CompactRange({}, nullptr, nullptr)); }

 private:
  rocksdb::WriteOptions write_;
  std::mutex updating_;
  std::unique_ptr<rocksdb::DB> database_;
};

std::unique_ptr<Database> open(const std::string& directory, const Settings& settings) {
  return std::make_unique<RocksdbDatabase>(directory, settings);
}

}  // namespace

Peer rocksdb_peer() {
  return {.name = "rocksdb",
          .version = rocksdb::GetRocksVersionAsString(),
          .many_processes = false,
          .open = open};
}

}  // namespace bench
