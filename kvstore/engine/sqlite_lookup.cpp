#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <kvstore/engine/sqlite_lookup.hpp>

namespace kvstore::engine {
namespace {

/// Where pages refer to each other in a circle a search must end. Source: BTCURSOR_MAX_DEPTH of
/// SQLite.
constexpr int deepest = 20;

/// Behind the pointer to its child, of a cell that has one.
std::size_t content_of(const Node& node, std::size_t cell) noexcept {
  return node.leaf() ? cell : cell + 4;
}

/// The page that a search goes on with which has come to this cell, or behind the last.
std::uint32_t child(std::string_view page, const Node& node, std::size_t cell) noexcept {
  constexpr std::size_t rightmost = 8;
  return u32(page, cell < node.cells.size() ? node.cells[cell] : node.header + rightmost);
}

/// A cell of a table: of a leaf with a record, else with the last rowid below its child.
struct TableCell {
  std::int64_t rowid = 0;
  std::uint64_t bytes = 0;  ///< Of the record.
  std::size_t record = 0;   ///< Where that begins.
};

TableCell table_cell(std::string_view page, const Node& node, std::size_t cell) noexcept {
  TableCell found{.record = content_of(node, cell)};
  if (node.leaf()) found.bytes = varint(page, found.record).value_or(0);
  found.rowid = static_cast<std::int64_t>(varint(page, found.record).value_or(0));
  return found;
}

class Search {
 public:
  Search(ReadPage read_page, const StoreShape& store, FoundRow& row) noexcept
      : read_page_(read_page), store_(store), row_(row) {}

  LookedUp rowid_of(std::string_view key);
  LookedUp row();

 private:
  std::optional<Node> node(std::uint32_t number, Tree tree);
  std::optional<int> compare(const Node& node, std::size_t cell, std::string_view key);

  ReadPage read_page_;
  const StoreShape& store_;
  FoundRow& row_;
  std::int64_t rowid_ = 0;
  std::string page_;
  std::vector<Value> columns_;  ///< Of the index.
};

std::optional<Node> Search::node(std::uint32_t number, Tree tree) {
  if (!read_page_(number, page_)) return std::nullopt;
  std::optional<Node> node = node_of(page_, 0);
  const bool usable = node && !node->damaged && node->tree() == tree;
  return usable ? std::move(node) : std::nullopt;
}

/// How the key in a cell of the index compares with `key`; notes its row. Absent: nobody can tell.
std::optional<int> Search::compare(const Node& node, std::size_t cell, std::string_view key) {
  std::size_t at = content_of(node, cell);
  const std::optional<std::uint64_t> bytes = varint(page_, at);
  if (!bytes || bytes_in_cell(node.kind, *bytes, store_.usable_bytes) != *bytes ||
      *bytes > page_.size() - at ||
      !read_columns(std::string_view(page_).substr(at, *bytes), columns_) || columns_.size() != 2) {
    return std::nullopt;
  }
  const auto* text = std::get_if<std::string_view>(columns_.data());
  const auto* rowid = std::get_if<std::int64_t>(&columns_[1]);
  if (text == nullptr || rowid == nullptr) return std::nullopt;
  rowid_ = *rowid;
  return text->compare(key);
}

LookedUp Search::rowid_of(std::string_view key) {
  std::uint32_t number = store_.keys;
  for (int depth = 0; depth < deepest; ++depth) {
    const std::optional<Node> found = node(number, Tree::index);
    if (!found) return LookedUp::doubtful;
    std::size_t low = 0;
    std::size_t high = found->cells.size();
    while (low < high) {
      const std::size_t middle = (low + high) / 2;
      const std::optional<int> order = compare(*found, found->cells[middle], key);
      if (!order) return LookedUp::doubtful;
      if (*order == 0) return LookedUp::found;
      if (*order < 0) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    if (found->leaf()) return LookedUp::absent;
    number = child(page_, *found, low);
  }
  return LookedUp::doubtful;
}

/// A key without its row is damage.
LookedUp Search::row() {
  std::uint32_t number = store_.table;
  for (int depth = 0; depth < deepest; ++depth) {
    const std::optional<Node> found = node(number, Tree::table);
    if (!found) return LookedUp::doubtful;
    const auto cell = std::ranges::partition_point(
        found->cells, [&](std::size_t at) { return table_cell(page_, *found, at).rowid < rowid_; });
    if (!found->leaf()) {
      number = child(page_, *found, static_cast<std::size_t>(cell - found->cells.begin()));
      continue;
    }
    if (cell == found->cells.end()) return LookedUp::doubtful;
    const TableCell row = table_cell(page_, *found, *cell);
    const bool whole = row.rowid == rowid_ && row.bytes <= store_.file_bytes &&
                       read_payload(read_page_, store_.usable_bytes, page_, found->kind, row.record,
                                    row.bytes, row_.record) &&
                       read_columns(row_.record, row_.columns);
    return whole ? LookedUp::found : LookedUp::doubtful;
  }
  return LookedUp::doubtful;
}

}  // namespace

LookedUp look_up(ReadPage read_page, const StoreShape& store, std::string_view key, FoundRow& row) {
  Search search(read_page, store, row);
  LookedUp outcome = search.rowid_of(key);
  if (outcome == LookedUp::found) outcome = search.row();
  const bool another =
      outcome == LookedUp::found && (row.columns.empty() || row.columns.front() != Value(key));
  return another ? LookedUp::doubtful : outcome;
}

}  // namespace kvstore::engine
