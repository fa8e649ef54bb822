#include <algorithm>
#include <set>
#include <utility>

#include <kvstore/engine/fork_guard.hpp>
#include <kvstore/error.hpp>
#include <kvstore/internal/statements.hpp>
#include <kvstore/internal/store.hpp>

namespace kvstore::internal {
namespace {

using Deadline = WriteQueue::Clock::time_point;

constexpr std::chrono::milliseconds read_is_idle_after(10);

std::chrono::milliseconds left(Deadline deadline) {
  const auto rest =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - WriteQueue::Clock::now());
  return std::max(rest, std::chrono::milliseconds::zero());
}

/// Of the error that is being handled, for another thread to throw; without memory for a copy they
/// share it.
std::exception_ptr own_copy(const Error& error) noexcept {
  std::exception_ptr shared = std::current_exception();
  try {
    return std::make_exception_ptr(Error(error.code(), error.what()));
  } catch (...) {
    return shared;
  }
}

/// Marks this thread as one that makes a backup of a store: closing the store would wait for it.
class BackupMark {
 public:
  explicit BackupMark(const Store& store) noexcept : store_(store), outer_(innermost) {
    innermost = this;
  }
  ~BackupMark() noexcept { innermost = outer_; }
  BackupMark(const BackupMark&) = delete;
  BackupMark& operator=(const BackupMark&) = delete;
  BackupMark(BackupMark&&) = delete;
  BackupMark& operator=(BackupMark&&) = delete;

  static bool is_on_this_thread(const Store& store) noexcept {
    const BackupMark* mark = innermost;
    while (mark != nullptr && &mark->store_ != &store) mark = mark->outer_;
    return mark != nullptr;
  }

 private:
  static thread_local const BackupMark* innermost;

  const Store& store_;
  const BackupMark* outer_;
};

thread_local const BackupMark* BackupMark::innermost = nullptr;

}  // namespace

Store::Parts::Parts(std::unique_ptr<engine::Engine> opened, const Options& options, Store& store)
    : engine(std::move(opened)),
      queue(engine->name(),
            [this] {
              // Whoever waited while the store was closed still gets a turn.
              const bool any = engine != nullptr && engine->has_neighbours();
              // The lock that it keeps would not be free in the window that is left for them.
              if (any && writer != nullptr) writer->end_read();
              return any;
            }),
      ticker(read_is_idle_after, [&store] { return store.end_idle_reads(); }),
      readers(*engine, engine->traits().one_connection ? 0 : 4, options.busy_timeout, ticker),
      cache(*engine, options.cache_bytes),
      janitor(
          [&store] {
            const ReadPool::Break no_reads_kept(store.parts_->readers);
            return store.parts_->engine->tidy(
                [&](engine::FunctionRef<void(engine::Connection&)> body) {
                  store.with_writer(WriteQueue::Clock::now() + store.options_.busy_timeout, body);
                });
          },
          options.on_background_error),
      watcher(std::make_shared<Watcher>(*engine, options.on_background_error)) {}

Store::Store(std::unique_ptr<engine::Engine> engine, Options options)
    : options_(std::move(options)),
      name_(engine->name()),
      traits_(engine->traits()),
      dialect_(engine->dialect()),
      clock_(options_.clock),
      generation_(engine::fork_generation()),
      room_(options_.max_bytes),
      parts_(std::make_unique<Parts>(std::move(engine), options_, *this)) {}

Store::~Store() noexcept {
  if (forked()) {
    // The connections and threads are the parent's; closing them here would harm it.
    static_cast<void>(parts_.release());  // NOLINT(bugprone-unused-return-value)
    return;
  }
  try {
    end();
  } catch (...) {  // NOLINT(bugprone-empty-catch): destructors do not throw
  }
}

void Store::refuse_closed() const {
  if (closed_.load(std::memory_order_acquire)) {
    throw Error(ErrorCode::misuse, name_ + " was closed; open it again");
  }
}

bool Store::forked() const noexcept {
  return engine::fork_generation() != generation_;
}

void Store::refuse_forked() const {
  if (forked()) {
    throw Error(ErrorCode::misuse, name_ + " was opened before fork(); in the child call exec(), " +
                                       "or open the store after the fork only");
  }
}

void Store::refuse_misuse() const {
  refuse_forked();
  if (writing_thread_.load(std::memory_order_relaxed) == std::this_thread::get_id()) {
    throw Error(ErrorCode::misuse, name_ + " was used by the thread that holds its write lock, " +
                                       "in a transaction or a callback; use the transaction, or " +
                                       "what the callback was given");
  }
  refuse_closed();
}

void Store::refuse_read_only() const {
  if (options_.read_only) {
    throw Error(ErrorCode::read_only,
                "cannot write " + name_ + ": it was opened with Options::read_only");
  }
}

Reading Store::reading(engine::Connection& connection, const engine::Mark& mark) {
  return {connection, clock_, options_, dialect_, mark};
}

Cache* Store::cache() {
  refuse_misuse();
  return parts_->cache.enabled() ? &parts_->cache : nullptr;
}

void Store::read(Span span, engine::FunctionRef<void(Reading&)> body) {
  refuse_misuse();
  with_reader(span, [&](Reading& reading) {
    if (span != Span::call) return body(reading);
    reading.connection.begin(engine::Access::read, options_.busy_timeout);
    try {
      body(reading);
      reading.connection.commit();
    } catch (...) {
      reading.connection.rollback();
      throw;
    }
  });
}

void Store::with_reader(Span span, engine::FunctionRef<void(Reading&)> body) {
  const auto use = [&](engine::Connection& connection, const engine::Mark& mark) {
    Reading read = reading(connection, mark);
    body(read);
  };
  if (traits_.one_connection) {
    with_writer(WriteQueue::Clock::now() + options_.busy_timeout,
                [&](engine::Connection& connection) { use(connection, parts_->engine->mark()); });
  } else if (span == Span::call) {
    const ReadPool::Loan loan = parts_->readers.borrow();
    use(loan.connection(), {});
  } else {
    const ReadPool::Loan loan = parts_->readers.borrow_for_statements(
        span == Span::row ? engine::Access::read_row : engine::Access::read);
    use(loan.connection(), loan.mark());
  }
}

void Store::with_writer(Deadline deadline, engine::FunctionRef<void(engine::Connection&)> body) {
  const Writer writer(*this, parts_->queue.wait(deadline));
  body(writer.connection());
}

/// Ends the reads that were not used lately: housekeeping, here and in other processes, could not
/// pass them. Returns whether none is left; of a connection in use nobody can tell.
bool Store::end_idle_reads() noexcept {
  const auto lately = WriteQueue::Clock::now() - read_is_idle_after;
  const bool readers = parts_->readers.end_idle_reads(lately);
  const bool writer = parts_->queue.if_idle_since(lately, [this] {
    if (parts_->writer != nullptr) parts_->writer->end_read();
  });
  return readers && writer;
}

Store::Writer::Writer(Store& store, WriteQueue::Turn turn)
    : turn_(std::move(turn)), writer_(store.parts_->writer) {
  store.refuse_closed();
  if (writer_ == nullptr) writer_ = store.parts_->engine->connect(engine::Access::write);
}

Store::Writer::~Writer() noexcept {
  if (writer_->state() == engine::State::open) writer_->rollback();
  if (writer_->state() == engine::State::lost) writer_.reset();
}

void Store::write(Grouping grouping, engine::FunctionRef<void(Writing&)> body) {
  // The caller's code may drop the last handle of this very store.
  const std::shared_ptr<Store> self = shared_from_this();
  if (grouping == Grouping::alone) return write_alone(body);
  const Deadline deadline = deadline_of_write();
  WriteQueue::Member own{body};
  std::optional<WriteQueue::Turn> turn = parts_->queue.wait(deadline, &own);
  if (turn) {
    WriteTransaction transaction(*this, *std::move(turn), deadline);
    // Those who came while the write lock was waited for.
    const WriteQueue::Group others(parts_->queue);
    std::vector<WriteQueue::Member*> members = others.members();
    if (members.empty()) {
      Writing writing = transaction.writing();
      body(writing);
      transaction.commit();
      return transaction.keep_changed(writing);
    }
    members.insert(members.begin(), &own);
    write_group(transaction, members);
  }
  if (own.outcome == WriteQueue::Member::Outcome::failed) std::rethrow_exception(own.error);
  if (own.outcome == WriteQueue::Member::Outcome::apart) write_alone(body);
}

void Store::write_alone(engine::FunctionRef<void(Writing&)> body) {
  WriteTransaction transaction(*this);
  Writing writing = transaction.writing();
  {
    const ThreadMark mark = mark_callback();
    body(writing);
  }
  transaction.commit();
  transaction.keep_changed(writing);
}

/// Does the work of many calls in one transaction, each by itself all or nothing. Where the engine
/// has rolled back, or nothing was committed for another reason, each is to try alone.
void Store::write_group(WriteTransaction& transaction,
                        std::span<WriteQueue::Member* const> members) {
  using Outcome = WriteQueue::Member::Outcome;
  engine::Connection& connection = transaction.connection();
  const auto run = [&](WriteQueue::Member& member) {
    connection.run(statements.savepoint);
    try {
      Writing writing = transaction.writing();
      member.body(writing);
      member.outcome = Outcome::stored;
    } catch (...) {
      member.outcome = Outcome::failed;
      member.error = std::current_exception();
      if (connection.state() != engine::State::open) throw;
      connection.run(statements.rollback_to_savepoint);
    }
    connection.run(statements.release);
  };
  try {
    for (WriteQueue::Member* member : members) run(*member);
    transaction.commit();
  } catch (const Error& error) {
    const bool unknown = error.code() == ErrorCode::outcome_unknown;
    for (WriteQueue::Member* member : members) {
      if (!unknown) {
        member->outcome = Outcome::apart;
      } else if (member->outcome != Outcome::failed) {
        member->outcome = Outcome::failed;
        member->error = own_copy(error);
      }
    }
  } catch (...) {
    for (WriteQueue::Member* member : members) member->outcome = Outcome::apart;
  }
}

Deadline Store::deadline_of_write() {
  refuse_misuse();
  refuse_read_only();
  if (log_is_large_.load(std::memory_order_relaxed)) {
    parts_->janitor.wait(WriteQueue::Clock::now() + options_.busy_timeout);
  }
  return WriteQueue::Clock::now() + options_.busy_timeout;
}

Store::WriteTransaction::WriteTransaction(Store& store)
    : WriteTransaction(store, store.deadline_of_write()) {}

Store::WriteTransaction::WriteTransaction(Store& store, Deadline deadline)
    : WriteTransaction(store, store.parts_->queue.wait(deadline), deadline) {}

Store::WriteTransaction::WriteTransaction(Store& store, WriteQueue::Turn turn, Deadline deadline)
    : store_(store), writer_(store, std::move(turn)) {
  try {
    connection().begin(engine::Access::write, left(deadline));
  } catch (const Error& error) {
    if (error.code() == ErrorCode::busy) store_.parts_->queue.saw_others();
    throw;
  }
  store_.note_others();
  store_.room_.start(store_.parts_->mark);
  mark_.emplace(store_.writing_thread_);
}

void Store::WriteTransaction::commit() {
  Writing last = writing();
  store_.room_.keep(last);
  Parts& parts = *store_.parts_;
  const engine::Mark before = parts.mark;
  const bool keeps_reading =
      !store_.traits_.one_connection && parts.queue.undisturbed() && parts.ticker.start();
  const auto after =
      keeps_reading ? engine::AfterCommit::keep_reading : engine::AfterCommit::end_read;
  bool alone = false;
  {
    Cache::OwnCommit own(parts.cache);
    connection().commit(after);
    parts.mark = parts.engine->mark();
    alone = parts.engine->only_commit(connection(), before, parts.mark);
    changed_read_ = alone && own.carry(changes_, before, parts.mark);
  }
  if (!alone) store_.history_.past_file = false;
  store_.room_.committed(parts.mark, alone);
  mark_.reset();
  parts.watcher->committed(changes_, before, parts.mark, alone);
  store_.tidy_if_needed();
}

void Store::WriteTransaction::keep_changed(const Writing& writing) noexcept {
  const Changes::Stored* stored = changes_.only_stored();
  if (!changed_read_ || stored == nullptr) return;
  Parts& parts = *store_.parts_;
  try {
    parts.cache.keep(changes_.keys().front(), *stored, writing.value_put(), parts.mark);
  } catch (...) {  // NOLINT(bugprone-empty-catch): the next read finds it in the file
  }
}

std::shared_ptr<Watch> Store::watch(std::string prefix, OnChange on_change) {
  refuse_misuse();
  return parts_->watcher->add(shared_from_this(), std::move(prefix), std::move(on_change));
}

ReadPool::Loan Store::borrow_for_snapshot() {
  refuse_misuse();
  std::optional<Writer> turn;
  if (traits_.one_connection) {
    turn.emplace(*this, parts_->queue.wait(WriteQueue::Clock::now() + options_.busy_timeout));
  }
  return parts_->readers.borrow_for_snapshot();
}

void Store::adopt(const std::shared_ptr<Holder>& holder) {
  const std::lock_guard lock(holding_);
  if (no_more_holders_) throw Error(ErrorCode::misuse, name_ + " was closed; open it again");
  std::erase_if(holders_, [](const std::weak_ptr<Holder>& other) { return other.expired(); });
  holders_.push_back(holder);
}

void Store::let_go_of_all() noexcept {
  std::vector<std::weak_ptr<Holder>> holders;
  {
    const std::lock_guard lock(holding_);
    no_more_holders_ = true;
    holders.swap(holders_);
  }
  for (const std::weak_ptr<Holder>& weak : holders) {
    if (const std::shared_ptr<Holder> holder = weak.lock()) holder->let_go();
  }
}

engine::Mark Store::mark() {
  refuse_misuse();
  if (traits_.one_connection) return {};
  const ReadPool::Loan no_closing = parts_->readers.borrow();
  return parts_->engine->mark();
}

void Store::note_others() {
  const engine::Mark mark = parts_->engine->mark();
  const bool undisturbed = mark.known && mark == parts_->mark;
  if (!undisturbed && parts_->mark.known) parts_->queue.saw_others();
  history_.past_file = history_.past_file && undisturbed;
  parts_->mark = mark;
}

void Store::tidy_if_needed() {
  const bool others_write = parts_->queue.others_within(std::chrono::minutes(1));
  const engine::Need need = parts_->engine->need_to_tidy(others_write);
  log_is_large_.store(need == engine::Need::urgent, std::memory_order_relaxed);
  if (need != engine::Need::none) parts_->janitor.wake();
}

Stats Store::stats() {
  refuse_misuse();
  Stats stats;
  with_reader(Span::call, [&](Reading& reading) {
    stats = parts_->engine->facts(reading.connection);
    stats.cache_bytes = parts_->cache.bytes();
    stats.read_connections = traits_.one_connection ? 1 : parts_->readers.size();
  });
  const std::lock_guard lock(holding_);
  for (const std::weak_ptr<Holder>& weak : holders_) {
    const std::shared_ptr<Holder> holder = weak.lock();
    const std::optional<Time> since = holder == nullptr ? std::nullopt : holder->pins_since();
    if (!since) continue;
    ++stats.snapshots;
    stats.oldest_snapshot =
        std::max(stats.oldest_snapshot.value_or(Duration::zero()), clock_.now() - *since);
  }
  return stats;
}

Report Store::check() {
  constexpr std::size_t most_problems = 1000;
  Report report;
  std::set<std::string, std::less<>> named;
  const auto note = [&](std::string_view key, const std::string& what) {
    if (report.problems.size() == most_problems) return;
    if (!key.empty() && !named.emplace(key).second) return;
    report.problems.push_back({std::string(key), what});
  };
  // What stops one part of the inspection is a finding, and no reason to leave out the next.
  const auto inspect_part = [&](engine::FunctionRef<void()> part) {
    try {
      part();
    } catch (const Error& error) {
      const bool damage =
          error.code() == ErrorCode::corrupt || error.code() == ErrorCode::not_a_store;
      if (!damage) throw;
      note("", error.what());
    }
  };
  const auto inspect_rows = [&](Reading& read, auto& inspect) {
    std::size_t rows = 0;
    inspect_part([&] {
      inspect(read, [&](std::string_view key, const std::string& problem) {
        ++rows;
        if (!problem.empty()) note(key, problem);
      });
    });
    return rows;
  };
  inspect_part([&] {
    read(Span::call, [&](Reading& read) {
      inspect_part([&] {
        for (const std::string& defect : parts_->engine->defects(read.connection)) {
          note("", defect);
        }
      });
      const bool sound_pages = report.ok();
      report.entries = inspect_rows(read, inspect);
      if (sound_pages) return;
      report.entries = std::max(report.entries, inspect_rows(read, inspect_by_key));
      inspect_rows(read, inspect_hidden);
    });
  });
  return report;
}

void Store::backup(const std::filesystem::path& to, const Progress& progress) {
  // The callback may drop the last handle of this very store.
  const std::shared_ptr<Store> self = shared_from_this();
  const ReadPool::Loan loan = borrow_for_snapshot();
  loan.connection().begin(engine::Access::snapshot, options_.busy_timeout);
  const BackupMark mark(*this);
  parts_->engine->backup(loan.connection(), to, progress,
                         [this](engine::Connection& copy) { refuse_damage(reading(copy)); });
}

std::string Store::path() {
  std::string path;
  read(Span::row, [&](Reading& read) {
    read.connection.run(statements.database_list, {}, [&](engine::Row row) {
      const auto* name = std::get_if<std::string_view>(&row[1]);
      const auto* file = std::get_if<std::string_view>(&row[2]);
      if (name != nullptr && *name == "main" && file != nullptr) path = *file;
      return true;
    });
  });
  return path;
}

void Store::compact() {
  const Deadline deadline = deadline_of_write();
  {
    const Writer writer(*this, parts_->queue.wait(deadline));
    // Sees to it that the file is still in its place, and waits for the lock.
    writer.connection().begin(engine::Access::write, left(deadline));
    writer.connection().rollback();
    writer.connection().run(statements.compact);
    parts_->mark = parts_->engine->mark();
    history_.past_file = false;
  }
  // The file becomes smaller when the log is moved into it.
  parts_->janitor.finish(WriteQueue::Clock::now() + options_.busy_timeout);
}

void Store::close() {
  if (callback_thread_.load(std::memory_order_relaxed) == std::this_thread::get_id()) {
    throw Error(ErrorCode::misuse,
                name_ +
                    " was closed inside a callback that runs under its write lock; close it "
                    "when the call has returned");
  }
  if (forked()) return;
  if (parts_->janitor.is_this_thread()) {
    throw Error(ErrorCode::misuse, name_ + " was closed inside Options::on_background_error; " +
                                       "close it on a thread of the program");
  }
  if (BackupMark::is_on_this_thread(*this)) {
    throw Error(ErrorCode::misuse, name_ + " was closed inside the progress callback of its " +
                                       "backup; return false from it, and close the store then");
  }
  if (parts_->watcher->is_this_thread()) {
    throw Error(ErrorCode::misuse, name_ +
                                       " was closed inside a callback of KVStore::watch, which " +
                                       "would wait for itself; close it on another thread");
  }
  end();
}

void Store::end() {
  const std::lock_guard lock(closing_);
  if (closed_.load(std::memory_order_relaxed)) return;
  let_go_of_all();
  // Before the rest, or an attempt that is under way would fail for no other reason than the
  // closing.
  parts_->watcher->stop();
  parts_->janitor.stop();
  parts_->ticker.stop();
  closed_.store(true, std::memory_order_release);
  parts_->flights.close();
  const WriteQueue::Turn turn = parts_->queue.wait(Deadline::max());
  parts_->cache.close();
  parts_->writer.reset();
  parts_->readers.close();
  parts_->engine.reset();
}

}  // namespace kvstore::internal
