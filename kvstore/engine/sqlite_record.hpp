#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <kvstore/engine/engine.hpp>

/// The bytes of a database file: the pages of its b-trees, and the records in them. What they say
/// is believed only as far as it makes sense; nothing that they say can lead outside of them.
/// Source: https://sqlite.org/fileformat2.html §1.6 and §2.1 (3.40).
namespace kvstore::engine {

/// How many bytes of the first page stand before its b-tree.
inline constexpr std::size_t file_header = 100;

std::uint16_t u16(std::string_view bytes, std::size_t at) noexcept;
std::uint32_t u32(std::string_view bytes, std::size_t at) noexcept;

/// Reads a number of one to nine bytes and steps behind it. Absent: the bytes end before it does.
std::optional<std::uint64_t> varint(std::string_view bytes, std::size_t& at) noexcept;

enum class Tree : bool { table, index };

enum class PageKind : std::uint8_t {
  index_interior = 2,
  table_interior = 5,
  index_leaf = 10,
  table_leaf = 13
};

/// A page of a b-tree as its header describes it.
struct Node {
  PageKind kind{};
  std::size_t header = 0;            ///< Offset of the header.
  std::vector<std::size_t> cells{};  ///< Offsets of the cells.
  bool damaged = false;              ///< Some of its cells are out of bounds.

  [[nodiscard]] bool leaf() const noexcept {
    return kind == PageKind::index_leaf || kind == PageKind::table_leaf;
  }

  [[nodiscard]] Tree tree() const noexcept {
    return kind == PageKind::table_interior || kind == PageKind::table_leaf ? Tree::table
                                                                            : Tree::index;
  }
};

/// `header`: its offset. Absent: it is no page of a b-tree.
std::optional<Node> node_of(std::string_view page, std::size_t header);

/// How many bytes of a record of so many stand in its cell; the rest is on pages of its own.
std::uint64_t bytes_in_cell(PageKind kind, std::uint64_t bytes, std::uint64_t usable) noexcept;

/// Reads a page, numbered from 1. False: it cannot be had.
using ReadPage = FunctionRef<bool(std::uint32_t number, std::string& page)>;

/// Puts a record of so many bytes together, whose cell has its first ones at `at` of `page`. False:
/// it is damaged.
bool read_payload(ReadPage read_page, std::size_t usable, std::string_view page, PageKind kind,
                  std::size_t at, std::uint64_t bytes, std::string& payload);

/// The columns of a record; text is borrowed from it. False: it is damaged.
bool read_columns(std::string_view record, std::vector<Value>& columns);

}  // namespace kvstore::engine
