#include <cstdint>
#include <utility>
#include <variant>
#include <vector>

#include <kvstore/engine/sqlite_rest.hpp>
#include <kvstore/engine/sqlite_schema.hpp>

namespace kvstore::engine {
namespace {

/// A row that outlives its statement's next step.
class KeptRow {
 public:
  explicit KeptRow(Row row) : values_(row.begin(), row.end()) {
    std::size_t bytes = 0;
    for (const Value& value : row) bytes += text_in(value).size();
    texts_.reserve(bytes);  // views of it are to stay
    for (Value& value : values_) {
      if (!std::holds_alternative<std::string_view>(value)) continue;
      const std::size_t at = texts_.size();
      texts_ += text_in(value);
      value = std::string_view(texts_).substr(at);
    }
  }
  KeptRow(const KeptRow&) = delete;
  KeptRow& operator=(const KeptRow&) = delete;
  KeptRow(KeptRow&&) = delete;
  KeptRow& operator=(KeptRow&&) = delete;
  ~KeptRow() = default;

  [[nodiscard]] Row row() const noexcept { return values_; }

 private:
  static std::string_view text_in(const Value& value) noexcept {
    const auto* text = std::get_if<std::string_view>(&value);
    return text == nullptr ? std::string_view() : *text;
  }

  std::vector<Value> values_;
  std::string texts_;
};

}  // namespace

std::optional<RestingFile> RestingFile::find(const DatabaseFile& file) {
  if (file.may_have_log() || !file.may_write()) return std::nullopt;
  RestingFile found(file, file.open_immutable());
  file.refuse_other_file();
  sqlite3_file* open = file_of(found.database_.get());
  // Closing gives the lock back.
  if (open == nullptr || open->pMethods->xLock(open, SQLITE_LOCK_SHARED) != SQLITE_OK ||
      !holds_current_store(*open) || !found.still_rests()) {
    return std::nullopt;
  }
  return found;
}

RestingConnection::RestingConnection(RestingFile file, std::string name,
                                     std::chrono::milliseconds busy_timeout, Open open)
    : SqliteConnection(file.share(), std::move(name), busy_timeout),
      file_(std::move(file)),
      open_(std::move(open)) {}

std::int64_t RestingConnection::run(std::string_view sql, Row parameters, OnRow on_row) {
  // To open the store takes as long as some 60 reads without the cache of documents take longer.
  constexpr int most_statements = 60;
  if (file_ && ++statements_ <= most_statements && run_at_rest(sql, parameters, on_row)) return 0;
  wake();
  return SqliteConnection::run(sql, parameters, on_row);
}

/// What was read is handed out when it is known to be what was committed. Returns whether it was;
/// if not, there is more than one row, or something was in the way.
bool RestingConnection::run_at_rest(std::string_view sql, Row parameters, OnRow on_row) {
  std::optional<KeptRow> kept;
  bool single = true;
  try {
    SqliteConnection::run(sql, parameters, [&](Row row) {
      single = !kept;
      if (single) kept.emplace(row);
      return single;
    });
  } catch (const Error&) {
    return false;  // it may be for a page that somebody was writing
  }
  if (!single || !file_->still_rests()) return false;
  if (kept) on_row(kept->row());
  return true;
}

void RestingConnection::run_many(std::string_view sql, NextRow next_row, OnResult on_result) {
  wake();
  SqliteConnection::run_many(sql, next_row, on_result);
}

void RestingConnection::begin(Access access, std::chrono::milliseconds patience) {
  wake();
  SqliteConnection::begin(access, patience);
}

bool RestingConnection::keep_reading() noexcept {
  return !file_ && SqliteConnection::keep_reading();
}

/// The lock is held until the store's own connections hold theirs: nobody can take the file out of
/// WAL mode in between.
void RestingConnection::wake() {
  if (!file_) return;
  replace_handle(open_());
  file_.reset();
}

}  // namespace kvstore::engine
