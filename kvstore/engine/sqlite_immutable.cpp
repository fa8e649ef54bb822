#include <exception>
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
  if (lock_) return;  // a log that was found stays only as long as it is held
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
  if (file_.may_be_written()) {
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

bool ImmutableConnection::may_be_written() const {
  return lock_ && file_.may_be_written();
}

void ImmutableConnection::raise_written() const {
  throw Error(ErrorCode::busy,
              "another process wrote " + file_.name() + " while it was being read; read again");
}

/// Does what reads the file, and again where that was written meanwhile, as long as nothing was
/// handed out, which `body` notes; what looked like damage was none then. The log that there is now
/// stays, for others remove none under the lock, and is read the second time.
void ImmutableConnection::reliably(FunctionRef<void()> body, const HandedOut& handed_out) {
  const Use use(*this);
  const bool starts = state() == State::idle;
  if (starts) refresh();
  std::exception_ptr failure;
  try {
    body();
  } catch (...) {
    failure = std::current_exception();
  }
  if (handed_out != HandedOut::all && may_be_written()) {
    if (!starts || handed_out != HandedOut::nothing) raise_written();
    SqliteConnection::rollback();
    refresh();
    return body();
  }
  if (failure != nullptr) std::rethrow_exception(failure);
}

std::int64_t ImmutableConnection::run(std::string_view sql, Row parameters, OnRow on_row) {
  if (state() == State::idle && resting_.run(sql, parameters, on_row)) return 0;
  std::int64_t changed = 0;
  auto handed_out = HandedOut::nothing;
  const auto hand_out = [&](Row row) {
    const bool first = handed_out == HandedOut::nothing;
    if (first && may_be_written()) raise_written();
    handed_out = first ? HandedOut::all : HandedOut::some;
    const bool more = on_row(row);
    if (more) handed_out = HandedOut::some;
    return more;
  };
  reliably([&] { changed = SqliteConnection::run(sql, parameters, hand_out); }, handed_out);
  return changed;
}

void ImmutableConnection::run_many(std::string_view sql, NextRow next_row, OnResult on_result) {
  // The parameters cannot be had again.
  reliably([&] { SqliteConnection::run_many(sql, next_row, on_result); }, HandedOut::some);
}

void ImmutableConnection::begin(Access access, std::chrono::milliseconds patience) {
  reliably([&] { SqliteConnection::begin(access, patience); }, HandedOut::nothing);
}

void ImmutableConnection::commit(AfterCommit after) {
  const Use use(*this);
  SqliteConnection::commit(after);
}

void ImmutableConnection::rollback() noexcept {
  const Use use(*this);
  SqliteConnection::rollback();
}

}  // namespace kvstore::engine
