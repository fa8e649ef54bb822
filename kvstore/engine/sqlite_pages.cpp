#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <string_view>

#include <kvstore/engine/sqlite_pages.hpp>
#include <kvstore/error.hpp>

namespace kvstore::engine {
namespace {

constexpr std::size_t file_header = 100;

std::uint64_t big_endian(std::string_view bytes, std::size_t at, std::size_t count) noexcept {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < count; ++i) {
    number = number << 8U | static_cast<unsigned char>(bytes[at + i]);
  }
  return number;
}

std::uint16_t u16(std::string_view bytes, std::size_t at) noexcept {
  return static_cast<std::uint16_t>(big_endian(bytes, at, 2));
}

std::uint32_t u32(std::string_view bytes, std::size_t at) noexcept {
  return static_cast<std::uint32_t>(big_endian(bytes, at, 4));
}

/// Reads a number of one to nine bytes and steps behind it. Absent: the bytes end before it does.
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

PageFile::PageFile(int descriptor) : descriptor_(descriptor) {
  struct stat facts {};
  if (fstat(descriptor, &facts) != 0) {
    throw Error(ErrorCode::io, std::string("cannot read a damaged file: ") + std::strerror(errno));
  }
  constexpr std::uint32_t smallest = 512;
  constexpr std::uint32_t usual = 4096;
  constexpr std::uint32_t largest = 65536;  // stands as 1
  std::array<char, file_header> header{};
  const bool whole = pread(descriptor, header.data(), header.size(), 0) == ssize_t{file_header};
  const std::string_view bytes(header.data(), whole ? header.size() : 0);
  const std::uint32_t said = whole ? u16(bytes, 16) : 0;
  page_bytes_ = said == 1 ? largest : said;
  if (!std::has_single_bit(page_bytes_) || page_bytes_ < smallest) page_bytes_ = usual;
  count_ = static_cast<std::uint32_t>(static_cast<std::uint64_t>(facts.st_size) / page_bytes_);
  const std::uint32_t reserved = whole ? static_cast<unsigned char>(bytes[20]) : 0;
  if (reserved != 0 && is_reserved(reserved)) reserved_ = reserved;
}

/// Whether the ends of pages look as if so many bytes were reserved. The number may be damage, and
/// so may some pages: what is reserved is empty, and the ends of pages with content seldom are.
bool PageFile::is_reserved(std::uint32_t bytes) const {
  constexpr std::uint32_t least_usable = 480;
  constexpr std::uint32_t some = 64;
  if (page_bytes_ - bytes < least_usable) return false;
  std::uint32_t empty_ends = 0;
  std::uint32_t all = 0;
  std::string page;
  for (std::uint32_t number = 1; number <= std::min(count_, some); ++number) {
    const std::size_t last = read(number, page) ? page.find_last_not_of('\0') : std::string::npos;
    if (last == std::string::npos) continue;
    ++all;
    if (last < page_bytes_ - bytes) ++empty_ends;
  }
  return empty_ends * 4 > all * 3;
}

bool PageFile::read(std::uint32_t number, std::string& page) const {
  if (number == 0 || number > count_) return false;
  page.resize(page_bytes_);
  const auto offset = static_cast<off_t>(number - 1) * static_cast<off_t>(page_bytes_);
  return pread(descriptor_, page.data(), page.size(), offset) == ssize_t{page_bytes_};
}

RecordReader::RecordReader(int descriptor)
    : file_(descriptor), seen_(std::size_t{file_.count()} + 1) {
  note_free_pages();
}

bool RecordReader::valid(std::uint32_t number) const noexcept {
  return number != 0 && number <= file_.count();
}

/// False: there is no such page, or it was seen before.
bool RecordReader::mark(std::uint32_t number) {
  if (!valid(number) || seen_[number]) return false;
  seen_[number] = true;
  return true;
}

void RecordReader::note_free_pages() {
  knows_free_pages_ = false;
  // Of a header that is gone no number is to be believed, not even 0.
  if (!file_.read(1, page_) || !page_.starts_with("SQLite format 3")) return;
  std::uint32_t trunk = u32(page_, 32);
  std::uint32_t left = u32(page_, 36);
  while (trunk != 0) {
    if (!mark(trunk) || !file_.read(trunk, page_)) return;
    const std::uint32_t leaves = u32(page_, 4);
    if (leaves > file_.usable_bytes() / 4 - 2 || leaves + 1 > left) return;
    for (std::uint32_t i = 0; i < leaves; ++i) {
      if (!mark(u32(page_, 8 + std::size_t{i} * 4))) return;
    }
    left -= leaves + 1;
    trunk = u32(page_, 0);
  }
  knows_free_pages_ = left == 0;
}

/// Absent: it is no page of a b-tree.
std::optional<RecordReader::Node> RecordReader::node(std::uint32_t number) {
  if (!file_.read(number, page_)) return std::nullopt;
  Node node;
  node.header = number == 1 ? file_header : 0;
  const auto kind = static_cast<unsigned char>(page_[node.header]);
  if (kind != 2 && kind != 5 && kind != 10 && kind != 13) return std::nullopt;
  node.kind = Kind{kind};
  const bool leaf = node.kind == Kind::index_leaf || node.kind == Kind::table_leaf;
  const std::size_t pointers = node.header + (leaf ? 8 : 12);
  const std::size_t cells = u16(page_, node.header + 3);
  for (std::size_t i = 0; i < cells; ++i) {
    const std::size_t pointer = pointers + i * 2;
    const std::size_t cell = pointer + 2 <= page_.size() ? u16(page_, pointer) : 0;
    if (cell < pointers || cell + 4 > page_.size()) {
      node.damaged = true;
    } else {
      node.cells.push_back(cell);
    }
  }
  return node;
}

bool RecordReader::walk(Tree tree, std::uint32_t root, OnRecord on_record) {
  const std::size_t unreadable_before = unreadable_pages_ + unreadable_records_;
  std::vector<std::uint32_t> pages = {root};
  while (!pages.empty()) {
    const std::uint32_t number = pages.back();
    pages.pop_back();
    std::optional<Node> found = mark(number) ? node(number) : std::nullopt;
    if (found && found->tree() != tree) {
      seen_[number] = false;  // the pointer is wrong, not the page
      found.reset();
    }
    if (!found || found->damaged) ++unreadable_pages_;
    if (!found) continue;
    if (found->kind == Kind::index_interior || found->kind == Kind::table_interior) {
      for (const std::size_t cell : found->cells) pages.push_back(u32(page_, cell));
      pages.push_back(u32(page_, found->header + 8));
    }
    read_records(*found, on_record);
  }
  return unreadable_pages_ + unreadable_records_ == unreadable_before;
}

void RecordReader::sweep(Tree tree, OnRecord on_record) {
  for (std::uint32_t number = 2; number <= file_.count(); ++number) {
    if (seen_[number]) continue;
    const std::optional<Node> found = node(number);
    if (found && found->tree() == tree) read_records(*found, on_record);
  }
}

void RecordReader::read_records(const Node& node, OnRecord on_record) {
  if (node.kind == Kind::table_interior) return;
  for (const std::size_t cell : node.cells) {
    if (read_payload(node.kind, cell) && read_columns()) {
      on_record(columns_);
    } else {
      ++unreadable_records_;
    }
  }
}

/// Reads the bytes of one record, wherever they are, into `payload_`.
bool RecordReader::read_payload(Kind kind, std::size_t at) {
  if (kind == Kind::index_interior) at += 4;
  const std::optional<std::uint64_t> bytes = varint(page_, at);
  if (!bytes || *bytes > std::uint64_t{file_.count()} * file_.page_bytes()) return false;
  if (kind == Kind::table_leaf) {
    const std::optional<std::uint64_t> rowid = varint(page_, at);
    if (!rowid) return false;
    rowid_ = static_cast<std::int64_t>(*rowid);
  }
  // How much of it is on this page: section 1.6 of the file format.
  const std::uint64_t usable = file_.usable_bytes();
  const std::uint64_t most = kind == Kind::table_leaf ? usable - 35 : (usable - 12) * 64 / 255 - 23;
  const std::uint64_t least = (usable - 12) * 32 / 255 - 23;
  std::uint64_t here = *bytes;
  if (*bytes > most) {
    here = least + (*bytes - least) % (usable - 4);
    if (here > most) here = least;
  }
  const std::uint64_t needed = here + (here < *bytes ? 4 : 0);
  if (at + needed > page_.size()) return false;
  payload_.assign(page_, at, here);
  return here == *bytes || append_overflow(u32(page_, at + here), *bytes - here);
}

bool RecordReader::append_overflow(std::uint32_t page, std::size_t bytes) {
  const std::size_t per_page = file_.usable_bytes() - 4;
  while (bytes > 0) {
    if (!file_.read(page, overflow_)) return false;
    const std::size_t here = std::min(bytes, per_page);
    payload_.append(overflow_, 4, here);
    bytes -= here;
    page = u32(overflow_, 0);
  }
  return true;
}

bool RecordReader::read_columns() {
  columns_.clear();
  const std::string_view payload = payload_;
  std::size_t at = 0;
  const std::optional<std::uint64_t> header = varint(payload, at);
  if (!header || *header > payload.size() || *header < at) return false;
  const std::string_view types = payload.substr(0, *header);
  std::uint64_t body = *header;
  while (at < types.size()) {
    const std::optional<std::uint64_t> type = varint(types, at);
    const std::optional<std::uint64_t> bytes = type ? column_bytes(*type) : std::nullopt;
    if (!bytes || *bytes > payload.size() - body) return false;
    columns_.push_back(column_value(*type, payload.substr(body, *bytes)));
    body += *bytes;
  }
  return true;
}

}  // namespace kvstore::engine
