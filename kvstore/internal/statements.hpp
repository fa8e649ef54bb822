#pragma once

#include <string_view>

#include <kvstore/engine/dialect.hpp>

namespace kvstore::internal {

/// Every SQL text of the store, by what it does. Parameters are numbered in the order in which they
/// first appear. An entry is expired when `expires_at BETWEEN '' AND now`: what is not text, as an
/// outside program may leave there, never expires.
struct Statements {
  std::string_view find = engine::find_entry;

  std::string_view page =
      "SELECT key, value, updated_at, expires_at, revision, checksum FROM kv "
      "WHERE key >= $1 AND key < $2 ORDER BY key";

  std::string_view page_descending =
      "SELECT key, value, updated_at, expires_at, revision, checksum FROM kv "
      "WHERE key >= $1 AND key < $2 ORDER BY key DESC";

  std::string_view every_row =
      "SELECT key, value, updated_at, expires_at, revision, checksum FROM kv";

  // Without an order: rows come as an index, or the table itself, yields them. The value and its
  // time only where no revision tells them from the next.
  std::string_view versions =
      "SELECT key, CASE WHEN revision <> 0 THEN NULL ELSE value END, "
      "CASE WHEN revision <> 0 THEN NULL ELSE updated_at END, expires_at, revision FROM kv "
      "WHERE key >= $1 AND key < $2";

  std::string_view every_version =
      "SELECT key, CASE WHEN revision <> 0 THEN NULL ELSE value END, "
      "CASE WHEN revision <> 0 THEN NULL ELSE updated_at END, expires_at, revision FROM kv";

  /// Read in the index of the keys alone.
  std::string_view keys_from = "SELECT key FROM kv WHERE key >= $1 ORDER BY key LIMIT $2";

  /// The revision makes it read the table, to compare it with the index of the keys.
  std::string_view hidden_rows =
      "SELECT key, revision FROM kv AS a WHERE NOT EXISTS "
      "(SELECT 1 FROM kv AS b WHERE b.key = a.key)";

  // Expired entries are few, and their index finds them without a look at the others.
  std::string_view keys =
      "SELECT key FROM kv WHERE key >= $1 AND key < $2 AND key NOT IN "
      "(SELECT key FROM kv WHERE expires_at BETWEEN '' AND $3 AND key >= $1 AND key < $2) "
      "ORDER BY key LIMIT $4 OFFSET $5";

  std::string_view keys_descending =
      "SELECT key FROM kv WHERE key >= $1 AND key < $2 AND key NOT IN "
      "(SELECT key FROM kv WHERE expires_at BETWEEN '' AND $3 AND key >= $1 AND key < $2) "
      "ORDER BY key DESC LIMIT $4 OFFSET $5";

  std::string_view count =
      "SELECT (SELECT count(*) FROM kv WHERE key >= $1 AND key < $2) - (SELECT count(*) FROM kv "
      "WHERE key >= $1 AND key < $2 AND expires_at BETWEEN '' AND $3)";

  /// Expired ones, too: it looks at nothing but the index of the keys.
  std::string_view keys_with_expired =
      "SELECT key FROM kv WHERE key >= $1 AND key < $2 ORDER BY key";

  std::string_view any_live =
      "SELECT 1 FROM kv WHERE key >= $1 AND key < $2 "
      "AND (expires_at IS NULL OR expires_at NOT BETWEEN '' AND $3) LIMIT 1";

  /// Changes nothing when the row already has this revision or a later one.
  std::string_view put =
      "INSERT INTO kv (key, value, updated_at, expires_at, revision, checksum) "
      "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (key) DO UPDATE SET value = excluded.value, "
      "updated_at = excluded.updated_at, expires_at = excluded.expires_at, "
      "revision = excluded.revision, checksum = excluded.checksum "
      "WHERE excluded.revision > coalesce(kv.revision, 0)";

  /// For a row that `put` left alone.
  std::string_view put_over =
      "UPDATE kv SET value = $1, updated_at = $2, expires_at = $3, revision = $4, checksum = $5 "
      "WHERE key = $6";

  std::string_view revision_of = "SELECT revision FROM kv WHERE key = $1";

  std::string_view touch = "UPDATE kv SET expires_at = $1, checksum = $2 WHERE key = $3";

  std::string_view erase = "DELETE FROM kv WHERE key = $1";

  std::string_view latest_revision_in_range =
      "SELECT max(revision) FROM kv WHERE key >= $1 AND key < $2 "
      "AND revision <= 9223372036854775807";  // all text sorts behind the numbers

  std::string_view erase_range = "DELETE FROM kv WHERE key >= $1 AND key < $2";

  std::string_view expired =
      "SELECT key, value, updated_at, expires_at, revision, checksum FROM kv "
      "WHERE expires_at BETWEEN '' AND $1 LIMIT $2";

  // One name for all: each of these means the savepoint that was set last.
  std::string_view savepoint = "SAVEPOINT kv_savepoint";
  std::string_view release = "RELEASE kv_savepoint";
  std::string_view rollback_to_savepoint = "ROLLBACK TO kv_savepoint";

  std::string_view create_migration_table =
      "CREATE TABLE IF NOT EXISTS kv_migration "
      "(version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TIMESTAMP NOT NULL)";

  std::string_view migrations =
      "SELECT version, name, applied_at FROM kv_migration ORDER BY version";

  std::string_view note_migration =
      "INSERT INTO kv_migration (version, name, applied_at) VALUES ($1, $2, $3)";

  std::string_view forget_migration = "DELETE FROM kv_migration WHERE version = $1";

  /// Made when it is first needed; programs that do not know it leave it alone.
  std::string_view make_leases =
      "CREATE TABLE IF NOT EXISTS kv_lease(key TEXT PRIMARY KEY, owner BIGINT NOT NULL, "
      "expires_at TIMESTAMP NOT NULL)";

  /// Changes nothing while the lease of another owner holds: while it ends after $4, but not after
  /// $5, as only one ends that was given while a clock was wrong.
  std::string_view take_lease =
      "INSERT INTO kv_lease (key, owner, expires_at) VALUES ($1, $2, $3) "
      "ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, expires_at = excluded.expires_at "
      "WHERE NOT (kv_lease.expires_at > $4 AND kv_lease.expires_at <= $5)";

  std::string_view lease =
      "SELECT expires_at FROM kv_lease WHERE key = $1 AND expires_at > $2 AND expires_at <= $3";

  std::string_view end_lease = "DELETE FROM kv_lease WHERE key = $1 AND owner = $2";

  std::string_view count_rows = "SELECT count(*) FROM kv";

  std::string_view database_list = "PRAGMA database_list";

  std::string_view compact = "VACUUM";

  std::string_view floor = "SELECT revision FROM kv_floor";

  std::string_view raise_floor = "UPDATE kv_floor SET revision = $1 WHERE revision < $1";
};

inline constexpr Statements statements{};

/// What keeps a store within `Options::max_bytes`: SQLite only, because it stands on the rowid. It
/// orders the rows by when they were stored, without an index that every store would pay for: a new
/// row gets its revision as rowid, and one that was stored again, so that its revision is past its
/// rowid, moves when its turn has come.
struct BoundedStatements {
  /// As `Statements::put`.
  std::string_view put =
      "INSERT INTO kv (key, value, updated_at, expires_at, revision, checksum, rowid) "
      "VALUES ($1, $2, $3, $4, $5, $6, $5) ON CONFLICT (key) DO UPDATE SET value = excluded.value, "
      "updated_at = excluded.updated_at, expires_at = excluded.expires_at, "
      "revision = excluded.revision, checksum = excluded.checksum "
      "WHERE excluded.revision > coalesce(kv.revision, 0)";

  std::string_view newest_place = "SELECT max(rowid) FROM kv WHERE rowid <= $1";

  std::string_view oldest =
      "SELECT rowid, key, value, updated_at, expires_at, revision, checksum FROM kv "
      "ORDER BY rowid LIMIT $1";

  /// Changes nothing when the new place is taken.
  std::string_view move = "UPDATE OR IGNORE kv SET rowid = $1 WHERE rowid = $2";

  std::string_view evict = "DELETE FROM kv WHERE rowid = $1";

  std::string_view page_bytes = "PRAGMA page_size";
  std::string_view pages = "PRAGMA page_count";
  std::string_view free_pages = "PRAGMA freelist_count";
};

inline constexpr BoundedStatements bounded_statements{};

}  // namespace kvstore::internal
