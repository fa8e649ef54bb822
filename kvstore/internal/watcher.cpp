#include <algorithm>
#include <ctime>
#include <system_error>
#include <utility>

#include <kvstore/engine/fork_guard.hpp>
#include <kvstore/error.hpp>
#include <kvstore/internal/key.hpp>
#include <kvstore/internal/report.hpp>
#include <kvstore/internal/store.hpp>
#include <kvstore/internal/timestamp.hpp>
#include <kvstore/internal/watcher.hpp>

namespace kvstore::internal {
namespace {

using std::chrono::milliseconds;

/// How often the engine's mark is read: twice this and a comparison of 10,000 keys stay below 50
/// ms. Source: kvstore-bench-watch: 0.18 % of a core, of which 0.14 % are the waking up alone.
constexpr milliseconds poll_interval{25};
constexpr milliseconds look_interval{1000};

/// Of this thread.
std::chrono::nanoseconds cpu_time() {
  struct timespec time {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

bool is_busy(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& known) {
    return known.code() == ErrorCode::busy;
  } catch (...) {
    return false;
  }
}

Bounds bounds_of(const std::string& prefix, const Store& store) {
  return bounds({.prefix = prefix}, store.dialect());
}

}  // namespace

Watcher::Watcher(const engine::Engine& engine, std::function<void(std::exception_ptr)> on_error)
    : engine_(engine),
      name_(engine.name()),
      on_error_(std::move(on_error)),
      generation_(engine::fork_generation()) {}

void Watcher::refuse_forked() const {
  if (engine::fork_generation() == generation_) return;
  throw Error(ErrorCode::misuse,
              "a subscription to " + name_ + " was used after fork(); it is " + "the parent's");
}

std::shared_ptr<Watch> Watcher::add(const std::shared_ptr<Store>& store, std::string prefix,
                                    OnChange on_change) {
  auto watch = std::make_shared<Watch>(shared_from_this(), std::move(prefix), std::move(on_change));
  {
    // From here on it is told of what is committed, and afterwards it reads what is there: between
    // the two nothing is lost.
    const std::lock_guard lock(mutex_);
    if (stopping_) throw Error(ErrorCode::misuse, name_ + " was closed; open it again");
    if (watches_.empty()) {
      foreign_.caught_up(engine_.mark());
      last_look_ = engine_.look();
    }
    watches_.push_back(watch);
    anybody_.store(true);
    store_ = store;
  }
  try {
    const Bounds span = bounds_of(watch->prefix_, *store);
    // Over a whole call, so that the store is open, and the engine's mark tells of commits.
    store->read(Span::call, [&](Reading& reading) {
      const Timestamp now(reading.clock.now());
      Known& known = watch->known_;
      each_version(reading, span.lower, span.upper,
                   [&](std::string_view key, const Version& version) {
                     if (!known.agrees(key, version, now.text())) known.note(key, version);
                   });
    });
    start();
  } catch (...) {
    end(*watch);
    throw;
  }
  const std::lock_guard lock(mutex_);
  watch->ready_ = true;
  wake();
  return watch;
}

void Watcher::start() {
  const std::lock_guard lock(mutex_);
  if (alive_ || stopping_) return;
  if (thread_.joinable()) thread_.join();
  try {
    thread_ = std::thread([self = shared_from_this()] { self->loop(); });
  } catch (const std::system_error& error) {
    throw Error(ErrorCode::io, "cannot watch " + name_ + ": no thread could be started: " +
                                   error.what() + "; end others first");
  }
  alive_ = true;
}

void Watcher::wake() noexcept {
  woken_ = true;
  changed_.notify_all();
}

void Watcher::end(Watch& watch) noexcept {
  if (engine::fork_generation() != generation_) return;
  {
    std::unique_lock lock(mutex_);
    watch.ended_ = true;
    std::erase_if(watches_, [&](const auto& other) { return other.get() == &watch; });
    anybody_.store(!watches_.empty());
    if (watches_.empty()) wake();
    if (running_ == &watch) {
      if (thread_id_ == std::this_thread::get_id()) return;
      returned_.wait(lock, [&] { return running_ != &watch; });
    }
  }
  release_callback(watch);
}

/// What the callback holds may use the store in its destructor.
void Watcher::release_callback(Watch& watch) noexcept {
  OnChange released;
  const std::lock_guard lock(mutex_);
  released.swap(watch.on_change_);
}

void Watcher::stop() noexcept {
  Watches ended;
  std::thread thread;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    ended.swap(watches_);
    for (const auto& watch : ended) watch->ended_ = true;
    anybody_.store(false);
    thread.swap(thread_);
    wake();
  }
  if (thread.get_id() == std::this_thread::get_id()) {
    thread.detach();  // a callback has destroyed the store; the thread ends next
  } else if (thread.joinable()) {
    thread.join();
  }
  for (const auto& watch : ended) release_callback(*watch);
}

bool Watcher::is_this_thread() {
  const std::lock_guard lock(mutex_);
  return thread_id_ == std::this_thread::get_id();
}

void Watcher::committed(const Changes& changes, const engine::Mark& before,
                        const engine::Mark& after, bool alone) noexcept {
  if (!anybody_.load()) return;
  const std::lock_guard lock(mutex_);
  if (alone) foreign_.own(before, after);
  for (const auto& watch : watches_) {
    bool concerned = changes.many();
    bool too_many = changes.many();
    try {
      for (const std::string& key : changes.keys()) {
        if (!key.starts_with(watch->prefix_)) continue;
        concerned = true;
        watch->touched_.insert(key);
      }
    } catch (const std::bad_alloc&) {
      too_many = true;
    }
    if (too_many || watch->touched_.size() > Changes::most) {
      watch->touched_.clear();
      watch->compare_ = true;
    }
    if (concerned) wake();
  }
}

void Watcher::loop() noexcept {
  std::unique_lock lock(mutex_);
  thread_id_ = std::this_thread::get_id();
  while (!stopping_ && !watches_.empty()) {
    woken_ = false;
    // Kept alive for a round, and destroyed at its end when a callback dropped the last handle.
    std::shared_ptr<Store> store = store_.lock();
    lock.unlock();
    if (store != nullptr) round(*store);
    store.reset();
    lock.lock();
    changed_.wait_for(lock, poll_interval, [this] { return woken_ || stopping_; });
  }
  thread_id_ = {};
  alive_ = false;
}

void Watcher::round(Store& store) noexcept {
  if (Clock::now() < next_attempt_) return;
  bool failed = false;
  const auto attempt = [&](const auto& step) {
    try {
      step();
    } catch (...) {
      if (is_busy(std::current_exception())) return;  // others being in the way is no failure
      failed = true;
      if (!std::exchange(failing_, true)) report(on_error_);
    }
  };
  Watches watches;
  attempt([&] {
    notice_others();
    watches = ready_watches();
  });
  attempt([&] { compare(store, take_to_compare(watches)); });
  for (const auto& watch : watches) {
    attempt([&] {
      gather_suspects(store, *watch);
      tell(store, *watch);
    });
  }
  failing_ = failed;
  if (failed) next_attempt_ = Clock::now() + look_interval;
}

Watcher::Watches Watcher::ready_watches() {
  const std::lock_guard lock(mutex_);
  Watches watches = watches_;
  std::erase_if(watches, [](const auto& watch) { return !watch->ready_; });
  return watches;
}

void Watcher::notice_others() {
  bool others = file_was_written();
  std::unique_lock lock(mutex_);
  if (foreign_.any(engine_.mark())) {
    // One of ours may stand between its commit and its telling.
    const auto nobody = [&] { return stopping_ || !foreign_.any(engine_.mark()); };
    if (!changed_.wait_for(lock, milliseconds(1), nobody)) {
      others = true;
      foreign_.caught_up(engine_.mark());
    }
  }
  if (!others) return;
  for (const auto& watch : watches_) watch->compare_ = true;
}

bool Watcher::file_was_written() {
  const Clock::time_point now = Clock::now();
  if (engine_.mark().known && now < next_look_) return false;
  next_look_ = now + look_interval;
  try {
    const std::uint64_t look = engine_.look();
    moved_ = false;
    const std::lock_guard lock(mutex_);
    return std::exchange(last_look_, look) != look;
  } catch (const Error&) {
    if (!std::exchange(moved_, true)) report(on_error_);
    return false;
  }
}

Watcher::Watches Watcher::take_to_compare(Watches watches) {
  if (Clock::now() < next_comparison_) return {};
  const std::lock_guard lock(mutex_);
  std::erase_if(watches, [](const auto& watch) { return !std::exchange(watch->compare_, false); });
  return watches;
}

/// At most a tenth of a core, except where that would make few keys wait.
void Watcher::compare(Store& store, const Watches& watches) {
  constexpr std::size_t few_keys = 10'000;
  if (watches.empty()) return;
  std::size_t keys = 0;
  for (const auto& watch : watches) keys += watch->known_.size();
  const std::chrono::nanoseconds before = cpu_time();
  const auto rest = [&] {
    const Clock::duration tenth = 9 * (cpu_time() - before);
    const Clock::duration wait =
        keys > few_keys ? tenth : std::min<Clock::duration>(tenth, poll_interval);
    next_comparison_ = Clock::now() + wait;
  };
  try {
    compare_rows(store, watches, keys);
  } catch (...) {
    rest();
    const std::lock_guard lock(mutex_);
    for (const auto& watch : watches) watch->compare_ = true;
    throw;
  }
  rest();
}

void Watcher::compare_rows(Store& store, const Watches& watches, std::size_t keys) {
  constexpr std::size_t few_keys = 1'000;
  constexpr std::size_t price_of_order = 8;  // see every_version
  const Timestamp now(store.now());
  const auto see = [&](Watch& watch, std::string_view key, const Version& version) {
    if (!watch.known_.agrees(key, version, now.text())) watch.suspects_.emplace(key);
  };
  for (const auto& watch : watches) watch->known_.begin_comparison();
  if (keys <= few_keys || keys * price_of_order <= rows_of_table_) {
    for (const auto& watch : watches) {
      const Bounds span = bounds_of(watch->prefix_, store);
      store.read(Span::statement, [&](Reading& reading) {
        each_version(
            reading, span.lower, span.upper,
            [&](std::string_view key, const Version& version) { see(*watch, key, version); });
      });
    }
  } else {
    std::size_t rows = 0;
    store.read(Span::statement, [&](Reading& reading) {
      every_version(reading, [&](std::string_view key, const Version& version) {
        ++rows;
        for (const auto& watch : watches) {
          if (key.starts_with(watch->prefix_)) see(*watch, key, version);
        }
      });
    });
    rows_of_table_ = rows;
  }
  for (const auto& watch : watches) {
    watch->known_.missing([&](const std::string& key) { watch->suspects_.insert(key); });
  }
}

void Watcher::gather_suspects(Store& store, Watch& watch) {
  std::set<std::string> touched;
  {
    const std::lock_guard lock(mutex_);
    touched.swap(watch.touched_);
  }
  watch.suspects_.merge(touched);
  if (!watch.known_.any_expires()) return;
  const Timestamp now(store.now());
  watch.known_.expired(now.text(), [&](std::string_view key) { watch.suspects_.emplace(key); });
}

void Watcher::tell(Store& store, Watch& watch) {
  while (!watch.suspects_.empty() && !has_ended(watch)) {
    const auto first = watch.suspects_.begin();
    Look look;
    try {
      store.read(Span::call,
                 [&](Reading& reading) { look = watch.known_.look_at(reading, *first); });
    } catch (const Error& error) {
      if (error.code() != ErrorCode::corrupt) throw;
      // Not the row alone, but what it stands in; the others may be readable.
      report(on_error_);
      watch.suspects_.erase(first);
      continue;
    }
    const std::string key = std::move(watch.suspects_.extract(first).value());
    if (look.damage != nullptr) report(on_error_, look.damage);
    const Timestamp now(store.now());
    const std::optional<Change> change = watch.known_.settle(key, std::move(look), now.text());
    if (change) call(watch, *change);
  }
}

bool Watcher::has_ended(const Watch& watch) {
  const std::lock_guard lock(mutex_);
  return watch.ended_;
}

void Watcher::call(Watch& watch, const Change& change) noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (watch.ended_) return;
    running_ = &watch;
  }
  try {
    watch.on_change_(change);
  } catch (...) {
    report(on_error_);
  }
  bool ended = false;
  {
    const std::lock_guard lock(mutex_);
    running_ = nullptr;
    ended = watch.ended_;
  }
  returned_.notify_all();
  if (ended) release_callback(watch);
}

}  // namespace kvstore::internal
