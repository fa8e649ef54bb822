#include <utility>

#include <kvstore/engine/sqlite_immutable.hpp>

namespace kvstore::engine {

/// Ends the lock where no transaction goes on.
class ImmutableConnection::Use {
 public:
  explicit Use(ImmutableConnection& connection) noexcept : connection_(connection) {}
  ~Use() noexcept {
    if (connection_.state() != State::open) connection_.lock_.reset();
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;
  Use(Use&&) = delete;
  Use& operator=(Use&&) = delete;

 private:
  ImmutableConnection& connection_;
};

ImmutableConnection::ImmutableConnection(const DatabaseFile& file, const Options& options,
                                         std::shared_ptr<RestingFile> resting)
    : SqliteConnection(file.name(), options.busy_timeout),
      file_(file),
      options_(options),
      resting_(std::move(resting)) {}

/// Waits for whoever has the file alone, as he has who moves his log into it and closes it.
/// Throws: busy.
void ImmutableConnection::lock() {
  if (!lock_file_) lock_file_.emplace(file_.path(), true);
  if (lock_file_->get() == nullptr) {
    lock_file_.reset();
    return;  // to open a connection will tell why
  }
  Patience patience(options_.busy_timeout);
  for (lock_.emplace(*lock_file_); !lock_->locked(); lock_.emplace(*lock_file_)) {
    if (!patience.wait()) raise_busy(patience, file_.name());
  }
}

/// Opens the file where that was not done yet, or where it has changed since.
void ImmutableConnection::refresh() {
  resting_.end();
  file_.refuse_other_file();
  if (has_log_) return;  // it stays as long as this connection, which sees what is in it
  lock();
  if (file_.has_log()) {
    trace_.reset();
    replace_handle(file_.open(options_));
    SqliteConnection::run("SELECT 1 FROM sqlite_master", {}, [](Row) { return false; });
    has_log_ = true;
    lock_.reset();
    return;
  }
  const std::uint64_t trace = file_.trace();
  if (trace == trace_) return;
  replace_handle(file_.open_immutable());
  trace_ = trace;
}

void ImmutableConnection::refuse_changed_file() const {
  if (lock_ && file_.has_log()) {
    throw Error(ErrorCode::busy,
                "another process wrote " + file_.name() + " while it was being read; read again");
  }
}

/// Does what reads the file. Where that was written meanwhile, what looks like damage is none.
void ImmutableConnection::reliably(FunctionRef<void()> body) {
  const Use use(*this);
  if (state() == State::idle) refresh();
  try {
    body();
  } catch (...) {
    refuse_changed_file();
    throw;
  }
  refuse_changed_file();
}

std::int64_t ImmutableConnection::run(std::string_view sql, Row parameters, OnRow on_row) {
  if (state() == State::idle && resting_.run(sql, parameters, on_row)) return 0;
  std::int64_t changed = 0;
  reliably([&] { changed = SqliteConnection::run(sql, parameters, on_row); });
  return changed;
}

void ImmutableConnection::run_many(std::string_view sql, NextRow next_row, OnResult on_result) {
  reliably([&] { SqliteConnection::run_many(sql, next_row, on_result); });
}

void ImmutableConnection::begin(Access access, std::chrono::milliseconds patience) {
  reliably([&] { SqliteConnection::begin(access, patience); });
}

void ImmutableConnection::commit(AfterCommit after) {
  reliably([&] { SqliteConnection::commit(after); });
}

void ImmutableConnection::rollback() noexcept {
  const Use use(*this);
  SqliteConnection::rollback();
}

}  // namespace kvstore::engine
