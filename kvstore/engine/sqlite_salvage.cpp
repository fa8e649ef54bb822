#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <kvstore/engine/fork_guard.hpp>
#include <kvstore/engine/sqlite_backup.hpp>
#include <kvstore/engine/sqlite_open.hpp>
#include <kvstore/engine/sqlite_salvage.hpp>
#include <kvstore/error.hpp>

namespace kvstore::engine {
namespace {

constexpr std::size_t table_columns = 6;
constexpr std::size_t oldest_columns = 3;  // of a row that an older file had before it was upgraded

/// A connection to a file that may be damaged, which is left as it is.
Database open_as_it_is(const DatabaseFile& file) {
  const bool has_log = file.has_log();
  try {
    return file.open({}, has_log);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::read_only) throw;
    return has_log ? file.open({.read_only = true}, has_log) : file.open_immutable();
  }
}

/// The key and the rowid that a record of an index of keys holds. Absent: it is none.
std::optional<std::pair<std::string, std::int64_t>> place_of(Row row) {
  const auto* rowid = row.size() == 2 ? std::get_if<std::int64_t>(&row[1]) : nullptr;
  if (rowid == nullptr || !std::holds_alternative<std::string_view>(row[0])) return std::nullopt;
  return std::pair(std::string(text_of(row[0])), *rowid);
}

}  // namespace

DamagedStore::DamagedStore(std::string_view from, const StagedFile& scratch,
                           const Progress& progress) {
  try {
    copy(from, scratch, progress);
    find_roots();
  } catch (...) {
    if (direct_ >= 0) close(direct_);
    throw;
  }
}

DamagedStore::~DamagedStore() noexcept {
  if (direct_ >= 0) close(direct_);
}

void DamagedStore::copy(std::string_view from, const StagedFile& scratch,
                        const Progress& progress) {
  const DatabaseFile file(from, {.create = false});
  std::string why;
  bool damaged = false;
  try {
    const Database database = open_as_it_is(file);
    execute(database.get(), "BEGIN", file.name());
    execute(database.get(), "PRAGMA user_version", file.name());  // reads no table
    copy_pages(database.get(), file.name(), scratch, progress);
    reader_.emplace(scratch.descriptor());
    return;
  } catch (const Error& error) {
    // Whatever else SQLite says may come from the damage.
    constexpr std::array not_of_damage = {ErrorCode::busy, ErrorCode::cancelled, ErrorCode::full};
    if (std::ranges::find(not_of_damage, error.code()) != not_of_damage.end()) throw;
    why = error.what();
    damaged = error.code() == ErrorCode::corrupt || error.code() == ErrorCode::not_a_store;
  }
  if (is_open_here(file.id().device, file.id().inode)) {
    throw Error(ErrorCode::busy, why + "; close the store and salvage the file");
  }
  if (file.has_log()) {
    remarks_.emplace_back(
        damaged ? "the write-ahead log cannot be applied to a file that is damaged so; the newest "
                  "changes may be missing"
                : "the log beside the file could not be read, and the newest changes may be "
                  "missing; salvage it as a user who may write its folder, or copy both elsewhere");
  }
  open_directly(file.path(), file.name(), why);
}

void DamagedStore::open_directly(const std::string& path, const std::string& name,
                                 const std::string& why) {
  // Closing it drops no lock: nobody in this process has it open.
  direct_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (direct_ < 0) {
    throw Error(ErrorCode::io, "cannot read " + name + ": " + std::strerror(errno));
  }
  remarks_.push_back(why);
  reader_.emplace(direct_);
}

void DamagedStore::find_roots() {
  bool is_store = false;
  const auto look = [&](Row row) {
    constexpr std::size_t name = 1;
    constexpr std::size_t table = 2;
    constexpr std::size_t root = 3;
    constexpr std::size_t columns = 5;
    if (row.size() != columns) return;
    // Where the table's own name is damaged, its index or the triggers tell.
    is_store = is_store || text_of(row[table]) == "kv" || text_of(row[name]).starts_with("kv_");
    const auto* number = std::get_if<std::int64_t>(&row[root]);
    if (number == nullptr || *number <= 0 || *number > 0xFFFF'FFFFLL) return;
    const auto page = static_cast<std::uint32_t>(*number);
    if (text_of(row[name]) == "kv") table_ = page;
    if (text_of(row[name]) == "sqlite_autoindex_kv_1") keys_ = page;
    if (text_of(row[name]) == "kv_floor") floor_ = page;
    if (text_of(row[name]) == "kv_migration") migrations_ = page;
  };
  constexpr std::uint32_t schema = 1;
  knows_tables_ = reader_->walk(Tree::table, schema, look);
  if (knows_tables_ && table_ == 0 && !is_store) {
    throw Error(ErrorCode::not_a_store,
                "there is nothing to salvage: the file holds the tables of "
                "another application");
  }
}

void DamagedStore::each_row(FunctionRef<void(Row, Place)> on_row) {
  const auto hand_on = [&](Row row, Place place) {
    // A flipped bit in the head of a record can cut its last columns off.
    if (row.size() != oldest_columns && row.size() != table_columns) return;
    std::array<Value, table_columns> columns;
    std::ranges::copy(row, columns.begin());
    on_row(columns, place);
  };
  const bool whole = table_ != 0 && reader_->walk(Tree::table, table_,
                                                  [&](Row row) { hand_on(row, Place::table); });
  if (whole) return;
  if (!reader_->knows_free_pages()) {
    remarks_.emplace_back(
        "the list of free pages is damaged too: entries that were erased, and "
        "older values, may have come back");
  }
  read_keys();
  bool doubtful = false;
  reader_->sweep(Tree::table, [&](Row row) {
    const Place place = is_in_index(row) ? Place::table : Place::astray;
    const bool unchecked = row.size() < table_columns ||
                           std::holds_alternative<std::monostate>(row[table_columns - 1]);
    doubtful = doubtful || (place == Place::table && !all_keys_ && unchecked);
    hand_on(row, place);
  });
  if (doubtful) {
    remarks_.emplace_back(
        "the index of the keys is damaged: rows of other tables may be among the entries without a "
        "checksum, where those tables look like that of a store");
  }
}

bool DamagedStore::is_in_index(Row row) const {
  if (row.empty() || !std::holds_alternative<std::string_view>(row[0])) return false;
  const std::string_view key = text_of(row[0]);
  const auto found = keys_read_.find(key);
  return (found != keys_read_.end() && found->second == reader_->rowid()) ||
         keys_found_.contains({std::string(key), reader_->rowid()});
}

void DamagedStore::read_keys() {
  if (std::exchange(has_read_keys_, true)) return;
  all_keys_ = keys_ != 0 && reader_->walk(Tree::index, keys_, [&](Row row) {
    if (auto found = place_of(row)) keys_read_.insert(*std::move(found));
  });
  if (all_keys_) return;
  reader_->sweep(Tree::index, [&](Row row) {
    if (auto found = place_of(row)) keys_found_.insert(*std::move(found));
  });
}

bool DamagedStore::each_key(FunctionRef<void(std::string_view)> on_key) {
  if (has_read_keys_) {
    for (const auto& [key, rowid] : keys_read_) on_key(key);
    return all_keys_;
  }
  return keys_ != 0 && reader_->walk(Tree::index, keys_, [&](Row row) {
    if (const auto place = place_of(row)) on_key(place->first);
  });
}

void DamagedStore::each_migration(
    FunctionRef<void(std::int64_t version, Row name_and_time)> on_step) {
  bool whole = migrations_ != 0 || knows_tables_;
  std::set<std::int64_t> versions;
  const auto take = [&](Row row) {
    // The version is the rowid, and NULL in the record.
    const std::int64_t version = reader_->rowid();
    if (row.size() == 3 && std::holds_alternative<std::string_view>(row[1]) &&
        std::holds_alternative<std::string_view>(row[2]) && versions.insert(version).second) {
      on_step(version, row.subspan(1));
    } else {
      whole = false;
    }
  };
  if (migrations_ != 0) {
    whole = reader_->walk(Tree::table, migrations_, take) && whole;
  }
  if (!whole) {
    remarks_.emplace_back(
        "which migrations the documents have been through is not known; find out before the next "
        "migrate()");
  }
}

std::int64_t DamagedStore::floor() {
  std::int64_t floor = 0;
  if (floor_ == 0) return floor;
  reader_->walk(Tree::table, floor_, [&](Row row) {
    const auto* number = row.size() == 1 ? std::get_if<std::int64_t>(row.data()) : nullptr;
    if (number != nullptr) floor = *number;
  });
  return floor;
}

}  // namespace kvstore::engine
