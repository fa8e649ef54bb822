#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <kvstore/engine/sqlite_pages.hpp>
#include <kvstore/engine/staged_file.hpp>
#include <kvstore/options.hpp>

namespace kvstore::engine {

/// What is left of a store in a damaged file.
class DamagedStore {
 public:
  /// Looks at one moment of a file that may be open and written meanwhile. `scratch`: filled with a
  /// copy of its pages, and needed as long as this object. Where SQLite cannot open the file any
  /// more, its own pages are read, and its write-ahead log is not.
  /// Throws: what opening a file throws, except for corrupt; not_a_store, when it is a database of
  /// another application; busy, when it must be read directly while this process has it open.
  DamagedStore(std::string_view from, const StagedFile& scratch, const Progress& progress);
  ~DamagedStore() noexcept;
  DamagedStore(const DamagedStore&) = delete;
  DamagedStore& operator=(const DamagedStore&) = delete;
  DamagedStore(DamagedStore&&) = delete;
  DamagedStore& operator=(DamagedStore&&) = delete;

  /// Where a row was found.
  enum class Place : bool {
    table,  ///< In the table, or where the index of the keys says that it is.
    astray  ///< On a page that was cut off from it, so that only its checksum can speak for it.
  };

  /// Calls back for every row that can be read, all columns in the order of the table.
  void each_row(FunctionRef<void(Row, Place)> on_row);

  /// Calls back for every key that the index of the keys holds. Returns whether that is all keys.
  bool each_key(FunctionRef<void(std::string_view)> on_key);

  /// Calls back for every migration that the store has been through, in no order.
  void each_migration(FunctionRef<void(std::int64_t version, Row name_and_time)> on_step);

  /// The number in `kv_floor`; 0 when it cannot be read.
  [[nodiscard]] std::int64_t floor();

  /// Whether nothing tells that the file ever was a store, except for rows that may be found.
  [[nodiscard]] bool is_doubtful() const noexcept { return table_ == 0; }

  [[nodiscard]] std::size_t unreadable_pages() const noexcept {
    return reader_->unreadable_pages();
  }

  /// What is to be known about the damage, beside rows and keys.
  [[nodiscard]] const std::vector<std::string>& remarks() const noexcept { return remarks_; }

 private:
  void copy(std::string_view from, const StagedFile& scratch, const Progress& progress);
  void open_directly(const std::string& path, const std::string& name, const std::string& why);
  void find_roots();
  void read_keys();

  /// A key and its place in an index are a witness for a row that has no checksum.
  [[nodiscard]] bool is_in_index(Row row) const;

  std::optional<RecordReader> reader_;
  int direct_ = -1;                                 ///< The file itself, where it is read directly.
  bool knows_tables_ = false;                       ///< No table is there but those with a root.
  std::uint32_t table_ = 0, keys_ = 0, floor_ = 0;  ///< Root pages; 0 where they are not known.
  std::uint32_t migrations_ = 0;                    ///< The same.
  bool has_read_keys_ = false, all_keys_ = false;   ///< All: `keys_read_` lacks none.
  std::map<std::string, std::int64_t, std::less<>> keys_read_;  ///< By key, where its row is.
  /// The same on pages of indexes, no matter of which table, that were cut off.
  std::set<std::pair<std::string, std::int64_t>> keys_found_;
  std::vector<std::string> remarks_;
};

}  // namespace kvstore::engine
