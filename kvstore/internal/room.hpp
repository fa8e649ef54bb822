#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <kvstore/engine/engine.hpp>

namespace kvstore::internal {

class Writing;

/// Keeps the pages in use within `Options::max_bytes` at each commit: what has expired goes first,
/// then what was stored longest ago. Belongs to whoever has the turn to write.
///
/// Asking for the pages costs 3 µs, because SQLite prepares `PRAGMA page_count` anew each time. So
/// it remembers how much was free and asks again when that could have been used up, by the most
/// that a row can take, or when another process has committed.
class Room {
 public:
  /// `max_bytes` 0: unbounded.
  explicit Room(std::uint64_t max_bytes) noexcept : max_bytes_(max_bytes) {}

  /// A transaction begins in the state that has this mark.
  void start(const engine::Mark& mark) noexcept;

  /// Told of each row that was written.
  void wrote(std::size_t bytes) noexcept;
  void wrote_many() noexcept { free_ = 0; }

  /// Told of each entry that was stored. Makes room early in a long transaction: the file would
  /// grow by all that it stores before the first of it goes.
  /// Throws: full, when the entry does not fit by itself.
  void stored(Writing& writing, std::string_view key, std::size_t bytes);

  /// Makes room, before the commit. Throws: full, when what was stored last does not fit by itself.
  void keep(Writing& writing);

  /// The transaction was committed. `mark`: of the state now. `alone`: it made that state.
  void committed(const engine::Mark& mark, bool alone) noexcept;

 private:
  void make_room(Writing& writing);
  [[nodiscard]] std::uint64_t used(Writing& writing);

  std::uint64_t max_bytes_;
  bool known_ = false;           ///< Whether the two `settled` are right.
  bool stored_ = false;          ///< Whether the transaction stored any entry.
  std::string newest_{};         ///< The key that it stored last.
  std::uint64_t unseen_ = 0;     ///< Stored in it since room was made. Units: bytes.
  std::uint64_t free_ = 0;       ///< Surely not in use. Units: bytes.
  std::uint64_t settled_ = 0;    ///< The same, after the last commit,
  engine::Mark settled_mark_{};  ///< which had this mark.
  std::uint64_t page_bytes_ = 0;
};

}  // namespace kvstore::internal
