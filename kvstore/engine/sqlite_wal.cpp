#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>

#include <kvstore/engine/sqlite_wal.hpp>
#include <kvstore/engine/sqlite_write_back.hpp>

namespace kvstore::engine {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds shortest_hold{20};
constexpr milliseconds longest_hold{1000};

/// Interrupts a connection after a while, unless it goes out of scope first.
class Deadline {
 public:
  Deadline(sqlite3* database, milliseconds limit)
      : thread_([this, database, limit] {
          std::unique_lock lock(mutex_);
          if (!wake_.wait_for(lock, limit, [this] { return over_; })) sqlite3_interrupt(database);
        }) {}
  ~Deadline() noexcept {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
  Deadline(Deadline&&) = delete;
  Deadline& operator=(Deadline&&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  bool over_ = false;
  std::thread thread_;
};

/// An interrupt that came too late stays set until a statement starts.
void forget_interrupt(sqlite3* database) {
  sqlite3_exec(database, "SELECT 1", nullptr, nullptr, nullptr);
}

}  // namespace

bool has_log_open(sqlite3* database) noexcept {
  sqlite3_file* log = nullptr;
  sqlite3_file_control(database, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
  return log != nullptr && log->pMethods != nullptr;
}

WalIndex::WalIndex(sqlite3* database) noexcept : WalIndex(file_of(database)) {}

WalIndex::WalIndex(sqlite3_file* file) noexcept {
  constexpr int region_bytes = 32768;
  if (file == nullptr || file->pMethods->iVersion < 2) return;
  void volatile* region = nullptr;
  const int code = file->pMethods->xShmMap(file, 0, region_bytes, 0, &region);
  // Who may only read it has it mapped all the same.
  if ((code != SQLITE_OK && code != SQLITE_READONLY) || region == nullptr) return;
  words_ = static_cast<const std::uint32_t*>(const_cast<const void*>(region));
}

std::uint32_t WalIndex::word(std::size_t index) const noexcept {
  return words_ == nullptr ? 0 : __atomic_load_n(words_ + index, __ATOMIC_ACQUIRE);
}

Mark WalIndex::header() const noexcept {
  Mark mark;
  if (words_ == nullptr) return mark;
  // Each load acquires: ThreadSanitizer knows no fences, and on x86 it costs nothing more.
  for (std::size_t i = 0; i < mark.words.size(); ++i) mark.words[i] = word(i);
  mark.known = true;
  return mark;
}

bool WalIndex::sound() const noexcept {
  constexpr std::uint32_t version = 3007000;
  constexpr std::size_t sums = 10;
  const Mark first = header();
  const std::size_t words = first.words.size();
  for (std::size_t i = 0; i < words; ++i) {
    if (first.words[i] != word(words + i)) return false;
  }
  std::uint32_t a = 0;
  std::uint32_t b = 0;
  for (std::size_t i = 0; i < sums; i += 2) {
    a += first.words[i] + b;
    b += first.words[i + 1] + a;
  }
  return first.known && first.words[0] == version && first.words[sums] == a &&
         first.words[sums + 1] == b;
}

bool WalIndex::one_commit(const Mark& before, const Mark& after, std::uint32_t frames) noexcept {
  constexpr std::size_t changes = 2;
  constexpr std::size_t in_log = 4;
  constexpr std::size_t salt = 8;
  if (!before.known) return false;
  if (before == after) return true;  // nothing was written
  // The salt stands there in the byte order of the log. It grows when the log starts anew. After a
  // recovery, which empties the log, the counter of changes alone could be that of a stranger.
  const std::uint32_t restarts =
      __builtin_bswap32(after.words[salt]) - __builtin_bswap32(before.words[salt]);
  return after.words[changes] == before.words[changes] + 1 && after.words[in_log] == frames &&
         (restarts <= 1 || before.words[in_log] == 0);
}

std::uint32_t WalIndex::page_bytes() const noexcept {
  // The upper half of the third word in the machine's order: two flags of one byte go before it.
  const std::uint32_t flags_and_size = word(3);
  std::uint16_t size = 0;
  std::memcpy(&size, reinterpret_cast<const char*>(&flags_and_size) + 2, sizeof size);
  constexpr std::uint32_t largest = 65536;  // stands as 1
  return size == 1 ? largest : size;
}

bool WalIndex::may_hold(std::uint32_t page) const noexcept {
  // Behind the header stands the page of each frame, and behind 4,062 of them what finds them.
  constexpr std::uint32_t header_words = 34;
  constexpr std::uint32_t listed = 4096 - header_words;
  const std::uint32_t in_file = backfilled();
  // More than there are: whoever let the log start anew was killed meanwhile.
  if (!mapped() || in_file > frames()) return true;
  for (std::uint32_t frame = in_file; frame < frames(); ++frame) {
    if (frame >= listed || word(header_words + frame) == page) return true;
  }
  return false;
}

GuardedCheckpoint::GuardedCheckpoint(Database pin, Database copier, WalIndex index,
                                     Durability durability, std::string name)
    : pin_(std::move(pin)),
      copier_(std::move(copier)),
      index_(index),
      durability_(durability),
      name_(std::move(name)),
      budget_(shortest_hold) {}

Tidied GuardedCheckpoint::run(WithWriter with_writer) {
  if (doubtful_) refuse_doubtful();
  try {
    return attempt(with_writer);
  } catch (...) {
    if (!doubtful_) unpin();  // or the log could not start anew until the next attempt
    throw;
  }
}

Tidied GuardedCheckpoint::attempt(WithWriter with_writer) {
  constexpr std::uint32_t few_frames = 400;
  constexpr int most_rounds = 3;
  const std::uint32_t frames_at_first = index_.frames();
  // The bulk, while writers go on: what the pin reads cannot be reset.
  bool synced = false;
  for (int round = 0; round < most_rounds; ++round) {
    if (index_.frames() - index_.backfilled() <= few_frames) break;
    prepare_sync(sqlite3_filename_wal(path()));
    if (!pin_log(with_writer)) break;
    const Copied copied = copy_passively(longest_hold);
    if (synced || copied == Copied::too_slow) continue;
    // Most was copied now; a sync of less takes as long, and the log grows meanwhile.
    sync_file();
    synced = true;
  }
  // The rest, while our own writer keeps all others out.
  Copied copied = Copied::some;
  with_writer([&](Connection& writer) {
    writer.end_read();  // no checkpoint passes the read mark that it may hold
    writer.begin(Access::write, longest_hold);
    unpin();
    copied = copy_passively(budget_);
    writer.rollback();
    // In the same turn: what another writer of ours added would have to be copied here, too.
    if (copied == Copied::all) restart_log();
  });
  // A slow disk may need longer than the shortest hold; without this it would never finish.
  budget_ = copied == Copied::too_slow ? std::min(budget_ * 2, longest_hold) : shortest_hold;
  if (copied == Copied::all) return Tidied::done;
  // Who waits for a slow disk gets there; who waits for somebody that reads from the log may not.
  const bool hindered = copied == Copied::some && index_.backfilled() < frames_at_first;
  return hindered ? Tidied::incomplete : Tidied::advanced;
}

bool GuardedCheckpoint::pin_log(WithWriter with_writer) {
  bool pinned = false;
  with_writer([&](Connection& writer) {
    writer.begin(Access::write, longest_hold);
    unpin();
    sqlite3_exec(pin_.get(), "BEGIN; SELECT 1 FROM sqlite_master", nullptr, nullptr, nullptr);
    // A reader pins the log only if it reads from it: when all is copied it reads the file alone.
    pinned = sqlite3_txn_state(pin_.get(), "main") == SQLITE_TXN_READ &&
             index_.backfilled() < index_.frames();
    if (!pinned) unpin();
    writer.rollback();
  });
  return pinned;
}

void GuardedCheckpoint::unpin() noexcept {
  if (sqlite3_get_autocommit(pin_.get()) == 0) {
    sqlite3_exec(pin_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  }
}

GuardedCheckpoint::Copied GuardedCheckpoint::copy_passively(milliseconds limit) {
  forget_interrupt(copier_.get());
  int frames = 0;
  int copied = 0;
  int code = SQLITE_OK;
  {
    const Deadline deadline(copier_.get(), limit);
    code = sqlite3_wal_checkpoint_v2(copier_.get(), "main", SQLITE_CHECKPOINT_PASSIVE, &frames,
                                     &copied);
  }
  if (code == SQLITE_OK) return frames == copied ? Copied::all : Copied::some;
  if (is_busy(code)) return Copied::some;
  if ((code & 0xFF) == SQLITE_INTERRUPT) return Copied::too_slow;
  fail(code);
}

void GuardedCheckpoint::fail(int code) {
  if (code != SQLITE_IOERR_FSYNC) raise(copier_.get(), code, "checkpoint", name_);
  doubtful_ = true;
  sqlite3_db_config(pin_.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  sqlite3_db_config(copier_.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  refuse_doubtful();
}

void GuardedCheckpoint::refuse_doubtful() const {
  throw Error(ErrorCode::io, "cannot checkpoint " + name_ +
                                 ": the disk failed, and the log is kept until all of it is copied "
                                 "anew; close the store and open it again");
}

const char* GuardedCheckpoint::path() const noexcept {
  return sqlite3_db_filename(copier_.get(), "main");
}

void GuardedCheckpoint::prepare_sync(const char* file) {
  // A durable writer waits for the disk at each commit, and these chunks would go ahead of it: of
  // 2 KB documents a set took 206 µs instead of 158.
  if (durability_ == Durability::normal && !write_back(file)) fail(SQLITE_IOERR_FSYNC);
}

void GuardedCheckpoint::sync_file() {
  sqlite3_file* file = file_of(copier_.get());
  if (file == nullptr) return;
  prepare_sync(path());
  const int code = file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
  if (code != SQLITE_OK) fail(code);
}

void GuardedCheckpoint::restart_log() {
  struct Wait {
    sqlite3* database = nullptr;
    Patience patience;
  } wait{copier_.get(), Patience(shortest_hold)};
  forget_interrupt(copier_.get());
  sqlite3_busy_handler(
      copier_.get(),
      [](void* context, int) -> int {
        auto& waiting = *static_cast<Wait*>(context);
        if (waiting.patience.wait()) return 1;
        // Without the write lock SQLite would go on as PASSIVE, unguarded.
        sqlite3_interrupt(waiting.database);
        return 0;
      },
      &wait);
  const int code =
      sqlite3_wal_checkpoint_v2(copier_.get(), "main", SQLITE_CHECKPOINT_RESTART, nullptr, nullptr);
  sqlite3_busy_handler(copier_.get(), nullptr, nullptr);
  // Somebody who still reads from the log only puts it off.
  if (code != SQLITE_OK && !is_busy(code) && (code & 0xFF) != SQLITE_INTERRUPT) fail(code);
}

}  // namespace kvstore::engine
