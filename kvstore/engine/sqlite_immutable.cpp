#include <utility>

#include <kvstore/engine/sqlite_immutable.hpp>

namespace kvstore::engine {

ImmutableConnection::ImmutableConnection(const DatabaseFile& file, const Options& options,
                                         std::shared_ptr<RestingFile> resting)
    : SqliteConnection(file.name(), options.busy_timeout),
      file_(file),
      options_(options),
      resting_(std::move(resting)) {}

void ImmutableConnection::refresh() {
  resting_.end();
  // Before it is opened, so that a change in between is seen. With a log, SQLite sees it.
  const FileStamp now = file_.stamp();
  const std::uint64_t trace = now.has_log ? 0 : file_.trace();
  if (now == stamp_ && trace == trace_) return;
  replace_handle(now.has_log ? file_.open(options_) : file_.open_immutable());
  stamp_ = now;
  trace_ = trace;
}

void ImmutableConnection::refuse_changed_file() const {
  if (!stamp_->has_log && file_.stamp() != stamp_) {
    throw Error(ErrorCode::busy,
                "another process wrote " + file_.name() + " while it was being read; read again");
  }
}

std::int64_t ImmutableConnection::run(std::string_view sql, Row parameters, OnRow on_row) {
  if (state() == State::idle) {
    if (resting_.run(sql, parameters, on_row)) return 0;
    refresh();
  }
  const std::int64_t changed = SqliteConnection::run(sql, parameters, on_row);
  refuse_changed_file();
  return changed;
}

void ImmutableConnection::begin(Access access, std::chrono::milliseconds patience) {
  refresh();
  SqliteConnection::begin(access, patience);
}

void ImmutableConnection::commit(AfterCommit after) {
  SqliteConnection::commit(after);
  refuse_changed_file();
}

}  // namespace kvstore::engine
