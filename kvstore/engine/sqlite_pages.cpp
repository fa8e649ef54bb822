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

/// Absent: there is no such page, or it is none of a b-tree.
std::optional<Node> RecordReader::node(std::uint32_t number) {
  if (!file_.read(number, page_)) return std::nullopt;
  return node_of(page_, number == 1 ? file_header : 0);
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
    if (!found->leaf()) {
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
  if (node.kind == PageKind::table_interior) return;
  for (const std::size_t cell : node.cells) {
    if (read_payload(node.kind, cell) && read_columns(payload_, columns_)) {
      on_record(columns_);
    } else {
      ++unreadable_records_;
    }
  }
}

/// Reads the bytes of one record, wherever they are, into `payload_`.
bool RecordReader::read_payload(PageKind kind, std::size_t at) {
  if (kind == PageKind::index_interior) at += 4;
  const std::optional<std::uint64_t> bytes = varint(page_, at);
  if (!bytes || *bytes > std::uint64_t{file_.count()} * file_.page_bytes()) return false;
  if (kind == PageKind::table_leaf) {
    const std::optional<std::uint64_t> rowid = varint(page_, at);
    if (!rowid) return false;
    rowid_ = static_cast<std::int64_t>(*rowid);
  }
  const auto read_page = [&](std::uint32_t number, std::string& page) {
    return file_.read(number, page);
  };
  return engine::read_payload(read_page, file_.usable_bytes(), page_, kind, at, *bytes, payload_);
}

}  // namespace kvstore::engine
