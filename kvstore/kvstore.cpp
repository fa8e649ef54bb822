#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include <kvstore/engine/sqlite.hpp>
#include <kvstore/engine/text.hpp>
#include <kvstore/internal/computation.hpp>
#include <kvstore/internal/open_snapshot.hpp>
#include <kvstore/internal/open_transaction.hpp>
#include <kvstore/internal/store.hpp>
#include <kvstore/kvstore.hpp>

namespace kvstore {
namespace {

/// An empty store takes up to half of it.
constexpr std::uint64_t least_max_bytes = 64U << 10U;

/// Throws: misuse.
Options accepted(Options options, std::string_view location) {
  if (options.max_bytes != 0 && options.max_bytes < least_max_bytes) {
    throw Error(ErrorCode::misuse, "cannot open " + engine::in_quotes(location) +
                                       ": Options::max_bytes is less than the " +
                                       std::to_string(least_max_bytes) +
                                       " bytes with which a store can work");
  }
  if (options.busy_timeout < Duration::zero()) {
    throw Error(ErrorCode::misuse, "cannot open " + engine::in_quotes(location) +
                                       ": Options::busy_timeout is negative");
  }
  // Longer than anybody waits, and far from where sums of times overflow.
  options.busy_timeout = std::min(options.busy_timeout, Duration(std::chrono::hours(24 * 365)));
  return options;
}

std::shared_ptr<internal::Session> open_memory(const Options& options) {
  if (options.read_only) {
    throw Error(ErrorCode::misuse,
                "cannot open \":memory:\" with Options::read_only: nothing could ever be in it");
  }
  return std::make_shared<internal::Store>(engine::open_sqlite_memory(options), options);
}

std::shared_ptr<internal::Session> open(std::string_view path, const Options& options) {
  return std::make_shared<internal::Store>(engine::open_sqlite_file(path, options), options);
}

std::shared_ptr<internal::Session> open_location(std::string_view location, const Options& wanted) {
  const Options options = accepted(wanted, location);
  if (location == ":memory:") return open_memory(options);
  if (location.starts_with("postgresql://") || location.starts_with("postgres://")) {
    throw Error(ErrorCode::unsupported, "cannot open " + engine::in_quotes(location) +
                                            ": this version keeps stores in files only");
  }
  return open(location, options);
}

}  // namespace

KVStore::KVStore(std::string_view location, const Options& options)
    : Keyspace(open_location(location, options)) {}

KVStore::KVStore(std::shared_ptr<internal::Session> session) noexcept
    : Keyspace(std::move(session)) {}

KVStore& KVStore::operator=(KVStore&& other) noexcept {
  if (this != &other) {
    close_quietly();
    Keyspace::operator=(std::move(other));
  }
  return *this;
}

KVStore::~KVStore() noexcept {
  close_quietly();
}

void KVStore::close_quietly() noexcept {
  if (moved_from()) return;
  try {
    close();
  } catch (...) {  // NOLINT(bugprone-empty-catch): only from inside a callback of this very store
  }
}

KVStore KVStore::open_file(std::string_view path, const Options& options) {
  return KVStore(open(path, accepted(options, path)));
}

Transaction KVStore::begin() {
  auto transaction = internal::OpenTransaction::open(session().store().shared_from_this());
  return Transaction(std::make_shared<internal::TransactionSession>(
      std::move(transaction), internal::OpenTransaction::outermost));
}

Snapshot KVStore::snapshot() const {
  return Snapshot(internal::OpenSnapshot::open(session().store().shared_from_this()));
}

json KVStore::get_or_compute(std::string_view key, Duration ttl,
                             const std::function<json()>& compute) {
  return get_or_compute(key, ComputeOptions{.ttl = ttl}, compute);
}

json KVStore::get_or_compute(std::string_view key, const ComputeOptions& how,
                             const std::function<json()>& compute) {
  // What is kept parsed does not tell how long it still lives.
  if (how.refresh_before <= Duration::zero()) {
    if (std::optional<json> there = get(key)) return *std::move(there);
  }
  // The caller's code may drop the last handle of this very store.
  const std::shared_ptr<internal::Store> store = session().store().shared_from_this();
  return internal::Computation(*store, key, how, compute).run();
}

Subscription KVStore::watch(std::string prefix, std::function<void(const Change&)> on_change) {
  if (!on_change) {
    throw Error(ErrorCode::misuse, "cannot watch " + session().store().name() +
                                       ": the callback is empty; give a function");
  }
  return Subscription(session().store().watch(std::move(prefix), std::move(on_change)));
}

std::size_t KVStore::purge_expired() {
  constexpr std::size_t batch = 1000;  // so that other writers get their turn
  std::size_t total = 0;
  std::size_t purged = 0;
  do {
    session().write([&](internal::Writing& writing) { purged = writing.purge(batch); });
    total += purged;
  } while (purged != 0);
  return total;
}

void KVStore::backup(const std::filesystem::path& to, const Progress& progress) const {
  session().store().backup(to, progress);
}

void KVStore::compact() {
  session().store().compact();
}

SalvageReport KVStore::salvage(const std::filesystem::path& to, const Progress& progress) const {
  // The callback may drop the last handle of this very store.
  const std::shared_ptr<internal::Store> store = session().store().shared_from_this();
  const std::string path = store->path();
  if (path.empty()) {
    throw Error(ErrorCode::unsupported,
                "a store in memory has no file to salvage from; use backup()");
  }
  return kvstore::salvage(path, to, store->options(), progress);
}

Report KVStore::check() const {
  return session().store().check();
}

Stats KVStore::stats() const {
  return session().store().stats();
}

void KVStore::close() {
  session().store().close();
}

}  // namespace kvstore
