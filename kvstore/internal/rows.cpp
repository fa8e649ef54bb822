#include <algorithm>
#include <array>
#include <limits>
#include <utility>
#include <vector>

#include <kvstore/engine/text.hpp>
#include <kvstore/error.hpp>
#include <kvstore/internal/checksum.hpp>
#include <kvstore/internal/codec.hpp>
#include <kvstore/internal/key.hpp>
#include <kvstore/internal/room.hpp>
#include <kvstore/internal/rows.hpp>
#include <kvstore/internal/statements.hpp>
#include <kvstore/internal/timestamp.hpp>

namespace kvstore::internal {
namespace {

using engine::Row;
using engine::Value;

/// The columns that follow the key in every statement that reads whole rows.
struct Columns {
  const Value &value, &updated_at, &expires_at, &revision, &checksum;
  explicit Columns(Row row)
      : value(row[0]), updated_at(row[1]), expires_at(row[2]), revision(row[3]), checksum(row[4]) {}
};

std::int64_t number_of(const Value& value) noexcept {
  const auto* number = std::get_if<std::int64_t>(&value);
  return number == nullptr ? 0 : *number;
}

bool is_null(const Value& value) noexcept {
  return std::holds_alternative<std::monostate>(value);
}

/// Throws: out_of_range, when an outside program left the largest number there is.
Revision after(Revision revision) {
  if (revision == std::numeric_limits<Revision>::max()) {
    throw Error(ErrorCode::out_of_range,
                "a revision in the file is the largest possible number, so that none can follow; "
                "set it back with SQL: UPDATE kv SET revision = 0, and the same for kv_floor, and "
                "open the store again");
  }
  return revision + 1;
}

std::int64_t sql_number(std::size_t number) noexcept {
  constexpr auto most = static_cast<std::size_t>(std::numeric_limits<std::int64_t>::max());
  return static_cast<std::int64_t>(std::min(number, most));
}

/// Throws: invalid_key, for a key that an outside program wrote.
void refuse_bad_key(std::string_view key) {
  if (engine::valid_utf8(key)) return;
  throw Error(ErrorCode::invalid_key,
              "the key " + engine::in_quotes(key) +
                  ", which another program wrote, is not valid UTF-8; erase it there");
}

[[noreturn]] void refuse_damaged(std::string_view key) {
  throw Error(ErrorCode::corrupt, "the entry " + engine::in_quotes(key) +
                                      " is damaged in the file; restore it from a backup, or set "
                                      "it again");
}

bool sound(std::string_view key, const Columns& columns) {
  const std::string_view expires_at = text_of(columns.expires_at);
  return (is_null(columns.expires_at) || !expires_at.empty()) &&
         std::holds_alternative<std::int64_t>(columns.revision) &&
         columns.checksum ==
             Value(checksum(key, text_of(columns.value), text_of(columns.updated_at), expires_at,
                            number_of(columns.revision)));
}

/// Throws: corrupt.
Record verified(std::string_view key, const Columns& columns) {
  Record record;
  record.key = key;
  record.value = text_of(columns.value);
  record.checked = !is_null(columns.checksum);
  if (record.checked ? !sound(key, columns)
                     : !std::holds_alternative<std::string_view>(columns.value)) {
    refuse_damaged(key);
  }
  record.updated_text = text_of(columns.updated_at);
  record.expires_text = text_of(columns.expires_at);
  record.revision = number_of(columns.revision);
  return record;
}

/// As the SQL says it: text that does not sort behind the present moment.
bool expired(const Columns& columns, Clock& clock) {
  const auto* expires_at = std::get_if<std::string_view>(&columns.expires_at);
  return expires_at != nullptr && *expires_at <= Timestamp(clock.now()).text();
}

Value optional_text(const std::optional<Timestamp>& time) {
  return time ? Value(time->text()) : Value();
}

/// The columns of one row that is about to be stored, in the order of the table.
class Fields {
 public:
  Fields(const Writing::Item& item, const Timestamp& updated_at, Revision revision)
      : updated_at_(updated_at), revision_(revision) {
    if (item.expires_at) expires_at_.emplace(*item.expires_at);
    const Value expires_at = optional_text(expires_at_);
    values_ = {item.key,
               item.text,
               updated_at_.text(),
               expires_at,
               revision,
               checksum(item.key, item.text, updated_at_.text(), text_of(expires_at), revision)};
  }
  ~Fields() = default;
  Fields(const Fields&) = delete;
  Fields& operator=(const Fields&) = delete;
  Fields(Fields&&) = delete;
  Fields& operator=(Fields&&) = delete;

  [[nodiscard]] Row row() const noexcept { return values_; }
  [[nodiscard]] Revision revision() const noexcept { return revision_; }

 private:
  Timestamp updated_at_;
  std::optional<Timestamp> expires_at_{};
  Revision revision_;
  std::array<Value, 6> values_;
};

/// Where no revision comes to that is made of a time. What an outside program put further back is
/// not made room for, or one such row would use up the numbers that are left.
constexpr std::int64_t last_place = 253'402'300'799'999'999;  // 9999-12-31 23:59:59.999999

/// A row that a store with `Options::max_bytes` may have to give up.
struct Oldest {
  std::int64_t place = 0;
  std::int64_t stored = 0;  ///< When it was: its place, or what it has to move to.
  std::string key{};
  Revision revision = 0;  ///< 0 where damage may have changed it.
  std::size_t bytes = 0;

  explicit Oldest(Row row) : place(number_of(row[0])), stored(place), key(text_of(row[1])) {
    const Columns columns(row.subspan(2));
    if (is_null(columns.checksum) || sound(key, columns)) revision = number_of(columns.revision);
    if (revision <= last_place) stored = std::max(place, revision);
    bytes = key.size() + text_of(columns.value).size();
  }

  [[nodiscard]] bool stored_again() const noexcept { return stored != place; }
};

void run_keys(const Reading& reading, const Range& range, std::size_t limit, std::size_t offset,
              engine::FunctionRef<bool(std::string_view)> on_key) {
  constexpr std::size_t all = std::numeric_limits<std::size_t>::max();
  const Bounds span = bounds(range, reading.dialect);
  const Timestamp now(reading.clock.now());
  const std::array parameters = {Value(span.lower), Value(span.upper), Value(now.text()),
                                 Value(sql_number(limit == 0 ? all : limit)),
                                 Value(sql_number(offset))};
  reading.connection.run(range.descending ? statements.keys_descending : statements.keys,
                         parameters, [&](Row row) {
                           refuse_bad_key(text_of(row[0]));
                           return on_key(text_of(row[0]));
                         });
}

}  // namespace

bool has_table(const Reading& reading, std::string_view name) {
  bool exists = false;
  reading.connection.run(reading.dialect.table_exists, std::array{Value(name)}, [&](Row) {
    exists = true;
    return false;
  });
  return exists;
}

std::string_view Record::text() const {
  if (!checked) {
    refuse_bad_key(key);
    check_text(value, key, std::numeric_limits<std::size_t>::max());
  }
  return value;
}

json Record::parsed() const {
  return decode(text(), key);
}

std::optional<json> Record::parsed_at(const json::json_pointer& at) const {
  return decode_at(text(), key, at);
}

std::optional<Time> Record::expires_at() const noexcept {
  return parse_timestamp(expires_text);
}

void Record::fill(Entry& entry) const {
  entry.key = key;
  decode(text(), key, entry.value);
  entry.revision = revision;
  entry.updated_at = parse_timestamp(updated_text).value_or(Time());
  entry.expires_at = expires_at();
}

bool find(const Reading& reading, std::string_view key, OnRecord on_record) {
  bool found = false;
  reading.connection.run(statements.find, std::array{Value(key)}, [&](Row row) {
    const Columns columns(row);
    const Record record = verified(key, columns);
    if (!expired(columns, reading.clock)) {
      found = true;
      on_record(record);
    }
    return false;
  });
  return found;
}

void each(const Reading& reading, std::string_view lower, std::string_view upper, bool descending,
          engine::FunctionRef<bool(const Record&)> on_record) {
  const std::string_view sql = descending ? statements.page_descending : statements.page;
  reading.connection.run(sql, std::array{Value(lower), Value(upper)}, [&](Row row) {
    const Columns columns(row.subspan(1));
    // Damage may have moved the expiry, so this comes first.
    const Record record = verified(text_of(row[0]), columns);
    return expired(columns, reading.clock) || on_record(record);
  });
}

void each_key(const Reading& reading, const Range& range,
              engine::FunctionRef<bool(std::string_view)> on_key) {
  run_keys(reading, range, range.limit, 0, on_key);
}

std::optional<std::string> key_at(const Reading& reading, const Range& range, std::size_t index) {
  std::optional<std::string> found;
  run_keys(reading, range, 1, index, [&](std::string_view key) {
    found = key;
    return false;
  });
  return found;
}

std::size_t count(const Reading& reading, const Range& range) {
  const Bounds span = bounds(range, reading.dialect);
  const Timestamp now(reading.clock.now());
  std::int64_t found = 0;
  reading.connection.run(statements.count,
                         std::array{Value(span.lower), Value(span.upper), Value(now.text())},
                         [&](Row row) {
                           found = number_of(row[0]);
                           return false;
                         });
  const auto total = static_cast<std::size_t>(found);
  return range.limit == 0 ? total : std::min(total, range.limit);
}

Writing::Writing(Reading reading, WriteHistory& history, Changes& changes, Room& room)
    : Reading(reading), history_(history), changes_(changes), room_(room) {}

Revision Writing::floor() {
  if (!floor_) {
    floor_ = 0;
    connection.run(statements.floor, {}, [&](Row row) {
      floor_ = number_of(row[0]);
      return false;
    });
  }
  return *floor_;
}

void Writing::raise_floor(Revision revision) {
  if (revision <= floor()) return;
  connection.run(statements.raise_floor, std::array{Value(revision)});
  floor_ = revision;
  if (revision > history_.latest_revision) history_.past_file = false;
}

/// At least the clock in microseconds, and later than all this process gave out: so that a second
/// write within one tick does not have to ask what is stored.
Revision Writing::next_revision(Revision at_least) {
  Revision wanted = std::max(clock.micros(), at_least);
  if (!history_.past_file) wanted = std::max({wanted, after(floor()), after(newest_place())});
  Revision latest = history_.latest_revision.load(std::memory_order_relaxed);
  Revision next = 0;
  do {
    next = std::max(wanted, after(latest));
  } while (
      !history_.latest_revision.compare_exchange_weak(latest, next, std::memory_order_relaxed));
  history_.past_file = true;
  return next;
}

Revision Writing::stored_revision(std::string_view key) {
  Revision stored = 0;
  connection.run(statements.revision_of, std::array{Value(key)}, [&](Row row) {
    stored = number_of(row[0]);
    return false;
  });
  return stored;
}

std::size_t Writing::put_many(engine::FunctionRef<bool(Item&)> next) {
  Item item;
  std::optional<Fields> fields;
  Time last_time{};
  Timestamp updated(last_time);
  std::size_t items = 0;
  connection.run_many(
      put_statement(),
      [&]() -> Row {
        if (!next(item)) return {};
        const Time time = item.updated_at.value_or(clock.now());
        if (std::exchange(last_time, time) != time) updated = Timestamp(time);
        fields.emplace(item, updated, next_revision(0));
        return fields->row();
      },
      [&](std::int64_t changed) {
        if (changed == 0) put_after_stored(item);
        note_stored(item, nullptr);
        ++items;
      });
  return items;
}

Timestamp Writing::updated_at(const Item& item) {
  return Timestamp(item.updated_at.value_or(clock.now()));
}

Revision Writing::put(const Item& item, const json* value) {
  const Fields fields(item, updated_at(item), next_revision(0));
  const bool stored = connection.run(put_statement(), fields.row()) != 0;
  const Revision revision = stored ? fields.revision() : put_after_stored(item);
  note_stored(item, value);
  return revision;
}

std::string_view Writing::put_statement() const noexcept {
  return options.max_bytes == 0 ? statements.put : bounded_statements.put;
}

void Writing::note_stored(const Item& item, const json* value) {
  value_put_ = value;
  changes_.note_stored(item.key, item.text, item.expires_at);
  note_room(item.key, item.text.size());
  sweep_sometimes(item);
  room_.stored(*this, item.key, item.text.size());
}

void Writing::note(std::string_view key, std::size_t bytes) {
  changes_.note(key);
  note_room(key, bytes);
}

void Writing::note_room(std::string_view key, std::size_t bytes) {
  room_.wrote(bytes + 2 * key.size());  // the table and its index hold the key
}

/// Who stores things that expire clears away what has expired: two rows for each stored one.
void Writing::sweep_sometimes(const Item& item) {
  constexpr std::uint32_t every = 32;
  if (item.expires_at && history_.writes_with_ttl.fetch_add(1) % every == every - 1) {
    purge(std::size_t{2} * every);
  }
}

/// The clock of whoever wrote the row last was ahead of ours, or what stands there is no revision.
Revision Writing::put_after_stored(const Item& item) {
  const Fields fields(item, updated_at(item), next_revision(after(stored_revision(item.key))));
  const Row row = fields.row();
  const std::array parameters = {row[1], row[2], row[3], row[4], row[5], row[0]};
  connection.run(statements.put_over, parameters);
  return fields.revision();
}

void Writing::erase(std::string_view key, Revision revision) {
  raise_floor(revision);
  connection.run(statements.erase, std::array{Value(key)});
  note(key);
}

void Writing::erase_span(std::string_view lower, std::string_view upper) {
  const std::array span = {Value(lower), Value(upper)};
  Revision latest = 0;
  connection.run(statements.latest_revision_in_range, span, [&](Row row) {
    latest = number_of(row[0]);
    return false;
  });
  raise_floor(latest);
  connection.run(statements.erase_range, span);
  changes_.note_many();
  room_.wrote_many();
}

void Writing::touch(std::string_view key, std::optional<Time> expires_at) {
  std::optional<Timestamp> stamp;
  if (expires_at) stamp.emplace(*expires_at);
  const Value expiry_text = optional_text(stamp);
  Value sum;
  connection.run(statements.find, std::array{Value(key)}, [&](Row row) {
    const Columns columns(row);
    if (!is_null(columns.checksum)) {
      sum = checksum(key, text_of(columns.value), text_of(columns.updated_at), text_of(expiry_text),
                     number_of(columns.revision));
    }
    return false;
  });
  connection.run(statements.touch, std::array{expiry_text, sum, Value(key)});
  note(key);
}

std::size_t Writing::purge(std::size_t limit) {
  const Timestamp now(clock.now());
  Revision latest = 0;
  std::vector<std::string> keys;
  connection.run(statements.expired, std::array{Value(now.text()), Value(sql_number(limit))},
                 [&](Row row) {
                   const Columns columns(row.subspan(1));
                   // What may have been made to look expired by damage is left to be reported.
                   if (is_null(columns.checksum) || sound(text_of(row[0]), columns)) {
                     keys.emplace_back(text_of(row[0]));
                     latest = std::max(latest, number_of(columns.revision));
                   }
                   return true;
                 });
  raise_floor(latest);
  for (const std::string& key : keys) {
    connection.run(statements.erase, std::array{Value(key)});
    note(key);
  }
  return keys.size();
}

/// The place of the row that was stored last, which every revision from here on passes: so no new
/// row finds its place taken, whatever the clocks of others say.
Revision Writing::newest_place() {
  Revision place = 0;
  if (options.max_bytes == 0) return place;
  connection.run(bounded_statements.newest_place, std::array{Value(last_place)}, [&](Row row) {
    place = number_of(row[0]);
    return false;
  });
  return place;
}

std::size_t Writing::evict(std::size_t bytes, std::string_view newest) {
  constexpr std::int64_t most = 64;
  std::vector<Oldest> rows;
  std::size_t found = 0;
  connection.run(bounded_statements.oldest, std::array{Value(most)}, [&](Row row) {
    const bool enough = found >= bytes;
    rows.emplace_back(row);
    found += rows.back().stored_again() ? 0 : rows.back().bytes;
    return !enough;
  });
  if (rows.empty()) return 0;
  // Every other row was stored after this.
  const std::int64_t seen = rows.back().place;
  for (Oldest& row : rows) {
    // Also where the clock of whoever stored the others was ahead.
    if (row.key == newest) row.stored = std::numeric_limits<std::int64_t>::max();
  }
  std::ranges::sort(rows, {}, &Oldest::stored);
  rows.pop_back();  // may be the newest of all
  const auto young = std::ranges::upper_bound(rows, seen, {}, &Oldest::stored);
  auto old = rows.begin();
  Revision latest = 0;
  for (std::size_t freed = 0; old != young && freed < bytes; ++old) {
    connection.run(bounded_statements.evict, std::array{Value(old->place)});
    note(old->key);
    latest = std::max(latest, old->revision);
    freed += old->bytes;
  }
  raise_floor(latest);
  for (auto row = young; row != rows.end(); ++row) move(row->place, row->stored);
  return static_cast<std::size_t>((old - rows.begin()) + (rows.end() - young));
}

/// Two rows may have one revision, where two processes wrote at once; then one stands behind.
void Writing::move(std::int64_t from, std::int64_t to) {
  while (connection.run(bounded_statements.move, std::array{Value(to), Value(from)}) == 0) ++to;
  next_revision(to);  // whatever comes now is to stand behind it
}

std::optional<Time> Writing::expiry(const SetOptions& how) {
  if (!how.ttl) return std::nullopt;
  return internal::expiry(clock.now(), *how.ttl);
}

void Writing::restore(engine::Row row) {
  connection.run(statements.put, row);
  raise_floor(number_of(row[4]));
  changes_.note_many();
}

bool Writing::has_row(std::string_view key) const {
  bool found = false;
  connection.run(statements.revision_of, std::array{Value(key)}, [&](Row) {
    found = true;
    return false;
  });
  return found;
}

std::size_t Writing::count_rows() const {
  std::int64_t rows = 0;
  connection.run(statements.count_rows, {}, [&](Row row) {
    rows = number_of(row[0]);
    return false;
  });
  return static_cast<std::size_t>(rows);
}

bool has_checksum(Row row) noexcept {
  return !is_null(row[5]);
}

std::string problem_of(Row row) {
  if (!std::holds_alternative<std::string_view>(row[0])) return "a row has a key that is not text";
  const std::string_view key = text_of(row[0]);
  const Columns columns(row.subspan(1));
  try {
    static_cast<void>(verified(key, columns).parsed());
  } catch (const Error& error) {
    return error.what();
  }
  if (!is_null(columns.revision) && !std::holds_alternative<std::int64_t>(columns.revision)) {
    return "the revision of " + engine::in_quotes(key) +
           ", which another program wrote, is no whole number; set the entry again";
  }
  return "";
}

void inspect(const Reading& reading, OnInspected on_row) {
  reading.connection.run(statements.every_row, {}, [&](Row row) {
    on_row(text_of(row[0]), problem_of(row));
    return true;
  });
}

namespace {

std::string problem_of_key(const Reading& reading, std::string_view key) {
  std::string problem = engine::in_quotes(key) + " is in the index of the keys, but has no row";
  try {
    reading.connection.run(statements.find, std::array{Value(key)}, [&](Row row) {
      problem = problem_of(std::array{Value(key), row[0], row[1], row[2], row[3], row[4]});
      return false;
    });
  } catch (const Error& error) {
    if (error.code() != ErrorCode::corrupt) throw;
    problem = "the entry " + engine::in_quotes(key) +
              " stands on a damaged page; restore it from a backup, or set it again";
  }
  return problem;
}

}  // namespace

void inspect_by_key(const Reading& reading, OnInspected on_row) {
  constexpr std::int64_t page = 256;
  std::string next;
  std::vector<std::string> keys;
  do {
    keys.clear();
    reading.connection.run(statements.keys_from, std::array{Value(next), Value(page)},
                           [&](Row row) {
                             keys.emplace_back(text_of(row[0]));
                             return true;
                           });
    for (const std::string& key : keys) on_row(key, problem_of_key(reading, key));
    if (keys.empty()) return;
    std::string behind = keys.back() + '\x01';  // no key holds a NUL byte
    if (behind <= next) return;                 // keys out of order would lead round in a circle
    next = std::move(behind);
  } while (keys.size() == page);
}

void inspect_hidden(const Reading& reading, OnInspected on_row) {
  reading.connection.run(statements.hidden_rows, {}, [&](Row row) {
    on_row(text_of(row[0]), "the entry " + engine::in_quotes(text_of(row[0])) +
                                " is not found by its key, because the index of the keys is "
                                "damaged; salvage() rescues it");
    return true;
  });
}

void refuse_damage(const Reading& reading) {
  reading.connection.run(statements.every_row, {}, [&](Row row) {
    verified(text_of(row[0]), Columns(row.subspan(1)));
    return true;
  });
}

}  // namespace kvstore::internal
