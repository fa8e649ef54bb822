#include <kvstore/engine/text.hpp>
#include <kvstore/error.hpp>
#include <kvstore/internal/migrations.hpp>
#include <kvstore/internal/session.hpp>
#include <kvstore/internal/store.hpp>
#include <kvstore/kvstore.hpp>
#include <kvstore/migration.hpp>

namespace kvstore {

using internal::Reading;
using internal::Writing;

namespace {

std::string step_name(int version, const std::string& name) {
  return "step " + std::to_string(version) + ' ' + engine::in_quotes(name);
}

/// The steps of a program, and where it wants the store to be.
class Plan {
 public:
  /// Throws: misuse.
  Plan(std::span<const Migration> steps, std::optional<int> target);

  [[nodiscard]] int target() const noexcept { return target_; }
  [[nodiscard]] const Migration& step(int version) const {
    return steps_[static_cast<std::size_t>(version - 1)];
  }

  /// Throws: newer_format, conflict; misuse, when there is no way back.
  void check(const std::vector<migration::Applied>& applied, const std::string& store) const;

  /// Takes the next step from `seen`, or sees that another program did. Returns where the store is
  /// now.
  int advance(KVStore& store, int seen) const;

 private:
  int take(Transaction& tx, int now) const;

  std::span<const Migration> steps_;
  int target_;
};

Plan::Plan(std::span<const Migration> steps, std::optional<int> target)
    : steps_(steps), target_(target.value_or(static_cast<int>(steps.size()))) {
  int version = 0;
  for (const Migration& step : steps) {
    ++version;
    if (step.version != version) {
      throw Error(ErrorCode::misuse, "cannot migrate: " + step_name(step.version, step.name) +
                                         " stands where step " + std::to_string(version) +
                                         " is expected; number the steps 1, 2, 3, … in order");
    }
    if (!step.up) {
      throw Error(ErrorCode::misuse, "cannot migrate: " + step_name(version, step.name) +
                                         " has no `up`; say what it does");
    }
    if (!engine::valid_utf8(step.name) || step.name.find('\0') != std::string::npos) {
      throw Error(ErrorCode::misuse, "cannot migrate: the name of " +
                                         step_name(version, step.name) +
                                         " is not UTF-8 without NUL bytes");
    }
  }
  if (target_ < 0 || target_ > version) {
    throw Error(ErrorCode::misuse, "cannot migrate to step " + std::to_string(target_) +
                                       ": the steps are 0 to " + std::to_string(version));
  }
}

void Plan::check(const std::vector<migration::Applied>& applied, const std::string& store) const {
  if (applied.size() > steps_.size()) {
    throw Error(ErrorCode::newer_format,
                store + " was migrated to " +
                    step_name(applied.back().version, applied.back().name) +
                    ", this program knows steps up to " + std::to_string(steps_.size()) +
                    "; it was left as it is, use the newer program");
  }
  for (const migration::Applied& past : applied) {
    const Migration& own = step(past.version);
    if (past.name != own.name) {
      throw Error(ErrorCode::conflict, store + " has taken " + step_name(past.version, past.name) +
                                           ", which this program calls " +
                                           engine::in_quotes(own.name) +
                                           "; it was left as it is, give each step its own number");
    }
    if (past.version > target_ && !own.down) {
      throw Error(ErrorCode::misuse, "cannot migrate " + store + " back to step " +
                                         std::to_string(target_) + ": " +
                                         step_name(past.version, past.name) + " has no `down`");
    }
  }
}

int Plan::advance(KVStore& store, int seen) const {
  return store.transaction([&](Transaction& tx) {
    const std::string& name = detail::session_of(tx).store().name();
    const std::vector<migration::Applied> applied = migration::history(tx);
    check(applied, name);
    const int now = static_cast<int>(applied.size());
    if (now == target_) return now;
    if (now != seen && (now < seen) == (now < target_)) {
      throw Error(ErrorCode::conflict, "cannot migrate " + name + " to step " +
                                           std::to_string(target_) +
                                           ": another program takes it the other way; run one of "
                                           "them alone");
    }
    return take(tx, now);
  });
}

int Plan::take(Transaction& tx, int now) const {
  const bool up = now < target_;
  const Migration& next = step(up ? now + 1 : now);
  // So that a step which commits or rolls back what it was given is refused, with all it did.
  Transaction inner = tx.begin();
  (up ? next.up : next.down)(inner);
  inner.commit();
  detail::session_of(tx).write([&](Writing& writing) {
    if (up) {
      internal::note_applied(writing, next.version, next.name);
    } else {
      internal::note_taken_back(writing, next.version);
    }
  });
  return up ? now + 1 : now - 1;
}

}  // namespace

void migrate(KVStore& store, std::span<const Migration> steps, std::optional<int> target) {
  const Plan plan(steps, target);
  const std::vector<migration::Applied> applied = migration::history(store);
  plan.check(applied, detail::session_of(store).store().name());
  int at = static_cast<int>(applied.size());
  while (at != plan.target()) at = plan.advance(store, at);
}

void migrate(KVStore& store, std::initializer_list<Migration> steps, std::optional<int> target) {
  migrate(store, std::span<const Migration>(steps.begin(), steps.size()), target);
}

namespace migration {

int current(const Reader& store) {
  return static_cast<int>(history(store).size());
}

std::vector<Applied> history(const Reader& store) {
  std::vector<Applied> steps;
  detail::session_of(store).read(internal::Span::call, [&](Reading& reading) {
    steps.clear();
    internal::each_applied(reading, [&](int version, std::string_view name, Time applied_at) {
      steps.push_back({version, std::string(name), applied_at});
    });
  });
  return steps;
}

}  // namespace migration
}  // namespace kvstore
