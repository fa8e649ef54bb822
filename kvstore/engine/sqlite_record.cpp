#include <algorithm>
#include <array>
#include <bit>

#include <kvstore/engine/sqlite_record.hpp>

namespace kvstore::engine {
namespace {

std::uint64_t big_endian(std::string_view bytes, std::size_t at, std::size_t count) noexcept {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < count; ++i) {
    number = number << 8U | static_cast<unsigned char>(bytes[at + i]);
  }
  return number;
}

/// How many bytes a column of a serial type takes. Absent: there is no such type.
std::optional<std::uint64_t> column_bytes(std::uint64_t type) noexcept {
  constexpr std::array<std::uint64_t, 10> fixed = {0, 1, 2, 3, 4, 6, 8, 8, 0, 0};
  if (type < fixed.size()) return fixed[type];
  if (type < 12) return std::nullopt;
  return (type - 12) / 2;
}

Value column_value(std::uint64_t type, std::string_view bytes) noexcept {
  if (type == 0) return std::monostate();
  if (type == 8 || type == 9) return static_cast<std::int64_t>(type - 8);
  if (type >= 12) return type % 2 == 1 ? Value(bytes) : Value(Stranger());
  const std::uint64_t number = big_endian(bytes, 0, bytes.size());
  if (type == 7) return std::bit_cast<double>(number);
  const auto unused = static_cast<unsigned>(64 - 8 * bytes.size());
  return std::bit_cast<std::int64_t>(number << unused) >> unused;
}

}  // namespace

std::uint16_t u16(std::string_view bytes, std::size_t at) noexcept {
  return static_cast<std::uint16_t>(big_endian(bytes, at, 2));
}

std::uint32_t u32(std::string_view bytes, std::size_t at) noexcept {
  return static_cast<std::uint32_t>(big_endian(bytes, at, 4));
}

std::optional<std::uint64_t> varint(std::string_view bytes, std::size_t& at) noexcept {
  std::uint64_t number = 0;
  for (int i = 0; i < 9; ++i) {
    if (at >= bytes.size()) return std::nullopt;
    const auto byte = static_cast<unsigned char>(bytes[at++]);
    if (i == 8) return number << 8U | byte;
    number = number << 7U | (byte & 0x7FU);
    if (byte < 0x80) return number;
  }
  return std::nullopt;
}

std::optional<Node> node_of(std::string_view page, std::size_t header) {
  if (header >= page.size()) return std::nullopt;
  Node node{.header = header};
  const auto kind = static_cast<unsigned char>(page[header]);
  if (kind != 2 && kind != 5 && kind != 10 && kind != 13) return std::nullopt;
  node.kind = PageKind{kind};
  const std::size_t pointers = header + (node.leaf() ? 8 : 12);
  if (pointers > page.size()) return std::nullopt;
  const std::size_t cells = u16(page, header + 3);
  for (std::size_t i = 0; i < cells; ++i) {
    const std::size_t pointer = pointers + i * 2;
    const std::size_t cell = pointer + 2 <= page.size() ? u16(page, pointer) : 0;
    if (cell < pointers || cell + 4 > page.size()) {
      node.damaged = true;
    } else {
      node.cells.push_back(cell);
    }
  }
  return node;
}

std::uint64_t bytes_in_cell(PageKind kind, std::uint64_t bytes, std::uint64_t usable) noexcept {
  const std::uint64_t most =
      kind == PageKind::table_leaf ? usable - 35 : (usable - 12) * 64 / 255 - 23;
  if (bytes <= most) return bytes;
  const std::uint64_t least = (usable - 12) * 32 / 255 - 23;
  const std::uint64_t here = least + (bytes - least) % (usable - 4);
  return here > most ? least : here;
}

bool read_payload(ReadPage read_page, std::size_t usable, std::string_view page, PageKind kind,
                  std::size_t at, std::uint64_t bytes, std::string& payload) {
  const std::uint64_t here = bytes_in_cell(kind, bytes, usable);
  const std::uint64_t needed = here + (here < bytes ? 4 : 0);
  if (at + needed > page.size()) return false;
  payload.assign(page, at, here);
  if (here == bytes) return true;
  std::string overflow;
  std::uint32_t next = u32(page, at + here);
  while (payload.size() < bytes) {
    if (!read_page(next, overflow)) return false;
    payload.append(overflow, 4, std::min(bytes - payload.size(), std::uint64_t{usable - 4}));
    next = u32(overflow, 0);
  }
  return true;
}

bool read_columns(std::string_view record, std::vector<Value>& columns) {
  columns.clear();
  std::size_t at = 0;
  const std::optional<std::uint64_t> header = varint(record, at);
  if (!header || *header > record.size() || *header < at) return false;
  const std::string_view types = record.substr(0, *header);
  std::uint64_t body = *header;
  while (at < types.size()) {
    const std::optional<std::uint64_t> type = varint(types, at);
    const std::optional<std::uint64_t> bytes = type ? column_bytes(*type) : std::nullopt;
    if (!bytes || *bytes > record.size() - body) return false;
    columns.push_back(column_value(*type, record.substr(body, *bytes)));
    body += *bytes;
  }
  return true;
}

}  // namespace kvstore::engine
