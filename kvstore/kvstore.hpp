#pragma once

#include <concepts>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>

#include <kvstore/api.hpp>
#include <kvstore/archive.hpp>
#include <kvstore/change.hpp>
#include <kvstore/collection.hpp>
#include <kvstore/entry.hpp>
#include <kvstore/error.hpp>
#include <kvstore/keyspace.hpp>
#include <kvstore/migration.hpp>
#include <kvstore/options.hpp>
#include <kvstore/salvage.hpp>
#include <kvstore/snapshot.hpp>
#include <kvstore/stats.hpp>
#include <kvstore/transaction.hpp>
#include <kvstore/typed.hpp>
#include <kvstore/watch.hpp>

namespace kvstore {

/// JSON documents by key, in one file that this and other processes share.
///
/// Single calls are linearizable across threads and processes. With `Durability::full`, the
/// default, an acknowledged write survives kill -9 and power loss.
///
/// Threads: one KVStore serves any number of threads. After fork() the child must not use it.
class KVSTORE_API KVStore : public Keyspace {
 public:
  /// Opens the store at a path, or creates it; `:memory:` makes one that lives as long as this
  /// object. The directory must exist.
  /// Throws: not_found, not_a_store, newer_format, read_only, busy, io, full, unsupported (the
  /// location or the file system), misuse. A file that is refused is left as it was.
  explicit KVStore(std::string_view location, const Options& options = {});

  /// A path is always a file, also one that is called `:memory:`.
  template <std::same_as<std::filesystem::path> Path>
  explicit KVStore(const Path& file, const Options& options = {})
      : KVStore(open_file(file.native(), options)) {}

  KVStore(KVStore&&) noexcept = default;

  /// Closes the store that this object held.
  KVStore& operator=(KVStore&& other) noexcept;

  /// Closes. Everything made from the store answers `misuse` from then on.
  ~KVStore() noexcept;

  /// Runs `body(Transaction&)` and commits what it did, all or nothing; when it throws, nothing is
  /// stored and the exception comes through. Returns what `body` returns. A body that called
  /// `rollback` is not committed.
  ///
  /// While it runs, this thread uses the transaction and not the store: that is `misuse`. Other
  /// threads read on, and wait to write.
  /// Throws: what a write throws.
  template <class Body>
  auto transaction(Body&& body) {
    return Transaction::run(begin(), body);
  }

  /// The same as an object, which rolls back unless it is committed. It belongs to this thread.
  [[nodiscard]] Transaction begin();

  /// One moment of the store, to be read while the store is being written.
  /// Throws: busy, io, misuse.
  [[nodiscard]] Snapshot snapshot() const;

  /// The value of a key, or else what `compute` returns, stored for `ttl` from then on.
  ///
  /// However many threads and processes ask for it, one computes. The others wait as long as that
  /// takes, those of other processes at most `ComputeOptions::lease`. What `compute` throws reaches
  /// all who wait in this process, stores nothing, and lets other processes try. It holds no lock
  /// and may use the store, but not ask for what waits for it, such as this key: that is `misuse`.
  /// So is a call that waits when the store is closed. An entry that was set while `compute` ran
  /// stays, and is returned. A store that is open for reading only computes and stores nothing.
  /// Throws: what a write throws, and what `compute` throws.
  json get_or_compute(std::string_view key, Duration ttl, const std::function<json()>& compute);
  json get_or_compute(std::string_view key, const ComputeOptions& how,
                      const std::function<json()>& compute);

  /// The same with a `T` that nlohmann::json can convert to and from.
  /// Throws: type_mismatch, out_of_range, as `get` does.
  template <class T>
  T get_or_compute(std::string_view key, const ComputeOptions& how,
                   const std::function<std::type_identity_t<T>()>& compute) {
    return detail::as<T>(get_or_compute(key, how, [&] { return json(compute()); }), key, nullptr);
  }

  template <class T>
  T get_or_compute(std::string_view key, Duration ttl,
                   const std::function<std::type_identity_t<T>()>& compute) {
    return get_or_compute<T>(key, ComputeOptions{.ttl = ttl}, compute);
  }

  /// Calls back for every key with this prefix that is changed by a commit of anybody, this process
  /// or another one, after this call has returned. In order for a key; changes that follow each
  /// other faster than the callback runs are told as one, the newest. What a transaction took back
  /// is never told, nor a new expiry of the same value.
  ///
  /// The callback runs on a thread of the library, one at a time for the whole store. It holds no
  /// lock and may use the store, except for closing it, which is `misuse`; it may also end its own
  /// subscription. What it throws goes to `Options::on_background_error`, like what keeps a value
  /// from being read, and that the file was deleted or replaced, which is noticed within a second.
  ///
  /// Units: commits of this process are told at once, those of others within 50 ms; for more than
  /// 10,000 keys, within ten times what it takes to read their revisions again, which every commit
  /// of another process makes necessary. Memory: the keys and revisions under the prefix, about 150
  /// bytes each.
  /// Throws: busy, io, misuse.
  [[nodiscard]] Subscription watch(std::string prefix,
                                   std::function<void(const Change&)> on_change);

  /// Removes entries whose expiry has passed. Returns how many there were. Reads never show such
  /// entries, purged or not; writes with a ttl remove some along the way.
  std::size_t purge_expired();

  /// Copies one moment of the store into a file, which is a store then, while all go on reading and
  /// writing. The copy is checked, pages and checksums, made durable, and takes its place in one
  /// step, so that a backup made earlier stays whole until then. It has no log beside it. The
  /// store's own log keeps what is written meanwhile.
  ///
  /// `to`: nothing, or a store that nobody has open. Its permissions are `Options::file_mode`. A
  /// process that is killed leaves a file "….kvstore-part", which the next backup overwrites.
  /// Progress: pages copied; the check follows them. The callback may use the store, not close it.
  /// Throws: misuse (onto itself), not_found, not_a_store, newer_format (what is at `to`), conflict
  /// (the log of another database is beside it), corrupt (this store is damaged, or what is at
  /// `to`), busy (`to` is open or being written), full, read_only (the directory), unsupported,
  /// io, cancelled. What was at `to` is there then, unchanged.
  void backup(const std::filesystem::path& to, const Progress& progress = {}) const;

  /// Gives the room of erased entries back to the file system. Needs room for twice the entries
  /// meanwhile, and holds the write lock; others read on. Then waits for the log to be moved into
  /// the file, for at most `Options::busy_timeout`: with a very large store, or while a snapshot or
  /// a reader of another process keeps the log, the file gets smaller somewhat later.
  /// Throws: busy, read_only, full, io, misuse.
  void compact();

  /// Copies what is undamaged into a new store. Where a file no longer opens, use the function of
  /// this name, which says more. Throws: what it throws; unsupported, for a store in memory.
  [[nodiscard]] SalvageReport salvage(const std::filesystem::path& to,
                                      const Progress& progress = {}) const;

  /// Reads everything and reports what is damaged: pages, tables, every checksum and value, expired
  /// ones included, and the keys that a damaged index hides.
  [[nodiscard]] Report check() const;

  [[nodiscard]] Stats stats() const;

  /// Lets calls and callbacks in flight finish and ends all subscriptions; every later call on what
  /// was made from this store is `misuse`. Closing twice is allowed.
  void close();

 private:
  explicit KVStore(std::shared_ptr<internal::Session> session) noexcept;
  static KVStore open_file(std::string_view path, const Options& options);
  void close_quietly() noexcept;
};

}  // namespace kvstore
