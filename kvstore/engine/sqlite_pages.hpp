#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <kvstore/engine/engine.hpp>
#include <kvstore/engine/sqlite_record.hpp>

/// The pages of a database file, read without SQLite, which gives up at the first that is damaged.
/// Source: https://sqlite.org/fileformat2.html (3.40).
namespace kvstore::engine {

/// Reads single pages. What a damaged one says is believed only as far as it makes sense; nothing
/// that it says can lead outside the file.
class PageFile {
 public:
  /// Reads from a file that nobody writes, and that must stay open. Throws: io.
  explicit PageFile(int descriptor);

  /// Pages are numbered from 1 to this.
  [[nodiscard]] std::uint32_t count() const noexcept { return count_; }

  [[nodiscard]] std::uint32_t page_bytes() const noexcept { return page_bytes_; }

  /// Those of a page that hold content; a file may reserve some at the end, for SQLite's
  /// extensions.
  [[nodiscard]] std::uint32_t usable_bytes() const noexcept { return page_bytes_ - reserved_; }

  /// False: there is no such page.
  bool read(std::uint32_t number, std::string& page) const;

 private:
  [[nodiscard]] bool is_reserved(std::uint32_t bytes) const;

  int descriptor_;
  std::uint32_t page_bytes_ = 0, reserved_ = 0, count_ = 0;
};

/// Reads the records of b-trees, past damaged pages and records.
class RecordReader {
 public:
  explicit RecordReader(int descriptor);

  /// The columns of one record; views are valid until the callback returns.
  using OnRecord = FunctionRef<void(Row)>;

  /// Calls back for every record of a tree, in no order. Returns whether all could be read. A page
  /// that was read once is not read again, for any tree.
  bool walk(Tree tree, std::uint32_t root, OnRecord on_record);

  /// Calls back for every record on pages that look as if they belonged to such a tree, were not
  /// read yet, and are not free: those below a damaged page.
  void sweep(Tree tree, OnRecord on_record);

  /// Of the record of a table that a callback has just been given.
  [[nodiscard]] std::int64_t rowid() const noexcept { return rowid_; }

  /// Whether the list of free pages is whole; if not, `sweep` brings back what was erased.
  [[nodiscard]] bool knows_free_pages() const noexcept { return knows_free_pages_; }

  /// Of the trees that were walked.
  [[nodiscard]] std::size_t unreadable_pages() const noexcept { return unreadable_pages_; }
  [[nodiscard]] std::size_t unreadable_records() const noexcept { return unreadable_records_; }

 private:
  void note_free_pages();
  [[nodiscard]] bool valid(std::uint32_t number) const noexcept;
  bool mark(std::uint32_t number);
  std::optional<Node> node(std::uint32_t number);
  void read_records(const Node& node, OnRecord on_record);
  bool read_payload(PageKind kind, std::size_t at);

  PageFile file_;
  std::vector<bool> seen_;  ///< By page number.
  bool knows_free_pages_ = true;
  std::size_t unreadable_pages_ = 0, unreadable_records_ = 0;
  std::int64_t rowid_ = 0;
  std::string page_, payload_;
  std::vector<Value> columns_;
};

}  // namespace kvstore::engine
