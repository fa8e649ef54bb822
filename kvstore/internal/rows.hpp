#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <kvstore/engine/engine.hpp>
#include <kvstore/engine/function_ref.hpp>
#include <kvstore/internal/changes.hpp>
#include <kvstore/internal/clock.hpp>
#include <kvstore/internal/timestamp.hpp>
#include <kvstore/options.hpp>

/// The rows of the table `kv`: what the verbs are made of.
namespace kvstore::internal {

/// What a read needs: a connection for the length of one call, and the store's clock and limits.
struct Reading {
  engine::Connection& connection;
  Clock& clock;
  const Options& options;
  const engine::Dialect& dialect;
  engine::Mark mark{};  ///< What is read is at least as new; not known where nobody needs it.
};

/// Whether there is a table that is made on first use.
bool has_table(const Reading& reading, std::string_view name);

/// One row that was found sound; views are valid in the callback that receives it.
struct Record {
  std::string_view key{}, value{}, updated_text{}, expires_text{};
  Revision revision = 0;
  bool checked = true;  ///< False: an outside program wrote it, so the text is yet to be checked.

  /// The value's text. Throws: invalid_value, invalid_key, when another program left what this
  /// library does not accept.
  [[nodiscard]] std::string_view text() const;
  [[nodiscard]] json parsed() const;

  /// What stands at a place of the value. Absent: nullopt.
  [[nodiscard]] std::optional<json> parsed_at(const json::json_pointer& at) const;
  [[nodiscard]] std::optional<Time> expires_at() const noexcept;

  /// `entry`: may be another one, whose memory is used again.
  void fill(Entry& entry) const;
};

using OnRecord = engine::FunctionRef<void(const Record&)>;

/// Reads the live entry of a key. False: there is none.
/// Throws: corrupt, when the row does not have its checksum.
bool find(const Reading& reading, std::string_view key, OnRecord on_record);

/// Reads live entries in order; `on_record` returns false to end.
void each(const Reading& reading, std::string_view lower, std::string_view upper, bool descending,
          engine::FunctionRef<bool(const Record&)> on_record);

/// Calls back for every live key of a range, in order, until false is returned.
void each_key(const Reading& reading, const Range& range,
              engine::FunctionRef<bool(std::string_view)> on_key);

/// The live key at a place of a range, counted from 0 in the range's order; the limit has no say.
/// Absent: there are not so many.
std::optional<std::string> key_at(const Reading& reading, const Range& range, std::size_t index);

std::size_t count(const Reading& reading, const Range& range);

class Room;

/// What the writes of a store have in common, from one transaction to the next.
struct WriteHistory {
  std::atomic<Revision> latest_revision{0};

  /// Whether that is past the floor and the newest place in the file, so that the next write need
  /// not look at them. Ends with a commit of anybody else. For whoever has the turn to write.
  bool past_file = false;

  std::atomic<std::uint32_t> writes_with_ttl{0};
};

/// What a write needs: it holds the write lock for the length of one transaction.
class Writing : public Reading {
 public:
  /// `changes`: told of every key that is written. `room`: told of all that is stored.
  Writing(Reading reading, WriteHistory& history, Changes& changes, Room& room);

  /// A text that was checked, and where it goes.
  struct Item {
    std::string_view key{}, text{};
    std::optional<Time> expires_at{};
    std::optional<Time> updated_at{};  ///< Absent: now.
  };

  /// Stores an item. Returns its revision, later than every one the key ever had. `value`: what the
  /// text was made of, where that lives until `Session::write` returns.
  Revision put(const Item& item, const json* value = nullptr);

  /// What the latest item was made of. Absent: null.
  [[nodiscard]] const json* value_put() const noexcept { return value_put_; }

  /// Stores a series; a key that comes twice keeps the last. Returns how many items came.
  std::size_t put_many(engine::FunctionRef<bool(Item&)> next);

  void erase(std::string_view key, Revision revision);

  /// Erases all rows of a span, expired ones included.
  void erase_span(std::string_view lower, std::string_view upper);

  /// Gives a row another expiry, and nothing else.
  void touch(std::string_view key, std::optional<Time> expires_at);

  /// Stores a row of another store as it is, with its revision, times and checksum. A row of this
  /// key stays, if its revision is not lower.
  void restore(engine::Row row);

  /// Whether a key has a row, expired or not.
  [[nodiscard]] bool has_row(std::string_view key) const;

  /// How many rows there are, expired ones included.
  [[nodiscard]] std::size_t count_rows() const;

  /// No revision up to this one is given out from now on.
  void raise_floor(Revision revision);

  /// Removes at most `limit` expired rows; returns how many there were.
  std::size_t purge(std::size_t limit);

  /// Removes the entries that were stored longest ago: as many as hold this many bytes, of at most
  /// 64, and never the newest, also when `newest` says so against its revision. Returns how many
  /// rows it has dealt with: also those that were stored again and have left their old place. For a
  /// store with `Options::max_bytes` only.
  std::size_t evict(std::size_t bytes, std::string_view newest);

  /// The expiry of what is written now.
  [[nodiscard]] std::optional<Time> expiry(const SetOptions& how);

 private:
  Revision next_revision(Revision at_least);
  Revision floor();
  Revision stored_revision(std::string_view key);
  [[nodiscard]] Timestamp updated_at(const Item& item);
  Revision put_after_stored(const Item& item);
  void sweep_sometimes(const Item& item);
  void note(std::string_view key, std::size_t bytes = 0);
  void note_room(std::string_view key, std::size_t bytes);
  void note_stored(const Item& item, const json* value);
  [[nodiscard]] std::string_view put_statement() const noexcept;
  Revision newest_place();
  void move(std::int64_t from, std::int64_t to);

  WriteHistory& history_;
  Changes& changes_;
  Room& room_;
  std::optional<Revision> floor_{};
  const json* value_put_ = nullptr;
};

/// Whether this library wrote a row, given by all its columns in the order of the table.
bool has_checksum(engine::Row row) noexcept;

/// What is wrong with a row, given by all its columns in the order of the table; empty when nothing
/// is.
std::string problem_of(engine::Row row);

/// Gets the key of a row, and what is wrong with it; empty when nothing is.
using OnInspected = engine::FunctionRef<void(std::string_view key, const std::string& problem)>;

/// Reads every row there is, also expired and damaged ones.
void inspect(const Reading& reading, OnInspected on_row);

/// The same by way of the index of the keys, and past what cannot be read: damage to the pages of
/// the table ends an ordinary inspection, but not this one. Slower.
void inspect_by_key(const Reading& reading, OnInspected on_row);

/// Names the rows that no read finds by their key, because the index of the keys is damaged.
void inspect_hidden(const Reading& reading, OnInspected on_row);

/// Throws: corrupt, when a row, expired or not, does not have its checksum.
void refuse_damage(const Reading& reading);

}  // namespace kvstore::internal
