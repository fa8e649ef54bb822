#include <algorithm>

#include <kvstore/engine/text.hpp>
#include <kvstore/error.hpp>
#include <kvstore/internal/room.hpp>
#include <kvstore/internal/rows.hpp>
#include <kvstore/internal/statements.hpp>

namespace kvstore::internal {
namespace {

/// The pages that one row can add besides those that its bytes fill: where it splits a page on each
/// of eight levels of the table and its two indexes, and each of these becomes three.
constexpr std::uint64_t most_pages_of_row = 48;

std::uint64_t number(Writing& writing, std::string_view pragma) {
  std::uint64_t number = 0;
  writing.connection.run(pragma, {}, [&](engine::Row row) {
    number = static_cast<std::uint64_t>(std::get<std::int64_t>(row[0]));
    return false;
  });
  return number;
}

}  // namespace

void Room::start(const engine::Mark& mark) noexcept {
  free_ = known_ && mark == settled_mark_ ? settled_ : 0;
  unseen_ = 0;
  stored_ = false;
  newest_.clear();
}

void Room::wrote(std::size_t bytes) noexcept {
  free_ -= std::min(free_, bytes + most_pages_of_row * page_bytes_);
}

void Room::stored(Writing& writing, std::string_view key, std::size_t bytes) {
  if (max_bytes_ == 0) return;
  stored_ = true;
  newest_ = key;
  unseen_ += bytes;
  if (free_ != 0 || unseen_ < max_bytes_ / 16) return;
  make_room(writing);
  free_ = 0;  // what was removed comes back when the call fails
}

void Room::keep(Writing& writing) {
  // One row more than it was told of: there are also the store's own tables.
  if (max_bytes_ != 0 && free_ <= most_pages_of_row * page_bytes_) make_room(writing);
}

void Room::committed(const engine::Mark& mark, bool alone) noexcept {
  known_ = alone;
  settled_ = free_;
  settled_mark_ = mark;
}

std::uint64_t Room::used(Writing& writing) {
  if (page_bytes_ == 0) page_bytes_ = number(writing, bounded_statements.page_bytes);
  const std::uint64_t pages = number(writing, bounded_statements.pages);
  return (pages - number(writing, bounded_statements.free_pages)) * page_bytes_;
}

void Room::make_room(Writing& writing) {
  constexpr std::size_t expired_at_once = 64;
  unseen_ = 0;
  std::uint64_t bytes = used(writing);
  for (; bytes > max_bytes_; bytes = used(writing)) {
    if (writing.purge(expired_at_once) != 0) continue;
    // A little more than is needed, so that not every write has to.
    if (writing.evict(bytes - max_bytes_ + max_bytes_ / 64, newest_) != 0) continue;
    if (!stored_) break;
    throw Error(ErrorCode::full, "cannot store " + engine::in_quotes(newest_) +
                                     ": with what every store needs it takes " +
                                     std::to_string(bytes) + " bytes, and Options::max_bytes is " +
                                     std::to_string(max_bytes_) + "; raise it, or store less");
  }
  free_ = max_bytes_ - std::min(bytes, max_bytes_);
}

}  // namespace kvstore::internal
