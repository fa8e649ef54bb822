#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <utility>

#include <kvstore/internal/codec.hpp>
#include <kvstore/internal/computation.hpp>
#include <kvstore/internal/key.hpp>

namespace kvstore::internal {

Computation::Computation(Store& store, std::string_view key, const ComputeOptions& how,
                         const std::function<json()>& compute)
    : store_(store), key_(key), how_(how), compute_(compute) {
  check_key(key, store.options());
}

Computation::Found Computation::find(const Reading& reading) const {
  Found found;
  internal::find(reading, key_, [&](const Record& record) {
    found = {record.parsed(), record.revision, record.expires_at()};
  });
  return found;
}

Computation::Found Computation::look() const {
  Found found;
  store_.read(Span::row, [&](Reading& reading) { found = find(reading); });
  return found;
}

/// Whether it is there and need not be refreshed yet.
bool Computation::good(const Found& found) const {
  if (!found.value) return false;
  if (how_.refresh_before <= Duration::zero() || store_.options().read_only) return true;
  return !found.expires_at || *found.expires_at - store_.now() >= how_.refresh_before;
}

json Computation::run() {
  for (;;) {
    Found found = look();
    if (good(found)) return *std::move(found.value);
    if (found.value) return refresh(std::move(found));
    if (const Value value = store_.flights().join(key_, [&] { return lead(); })) return *value;
    store_.refuse_closed();
  }
}

/// While the old value lives, it is nobody's trouble when there is no new one.
json Computation::refresh(Found found) {
  const Value value = store_.flights().try_lead(key_, [&] {
    try {
      return lead();
    } catch (...) {
      report();
      return Value();
    }
  });
  return value == nullptr ? *std::move(found.value) : *value;
}

/// Null: there is a value that is to be refreshed, and another process is at it.
Computation::Value Computation::lead() {
  Found found = look();
  if (good(found)) return std::make_shared<const json>(*std::move(found.value));
  if (store_.options().read_only) {
    json result = compute_();
    check_value(result, key_);
    return std::make_shared<const json>(std::move(result));
  }
  for (;;) {
    // A value that is there must not wait for the writers' turn only to hear that somebody is at
    // it.
    if (found.value && is_leased()) return nullptr;
    Answer answer = ask_for_lease();
    if (answer.lease) return compute_and_store(*answer.lease, answer.found.revision);
    if (good(answer.found)) return std::make_shared<const json>(*std::move(answer.found.value));
    if (answer.found.value) return nullptr;
    if (Value value = wait_for_others()) return value;
  }
}

bool Computation::is_leased() const {
  bool leased = false;
  store_.read(Span::call,
              [&](Reading& reading) { leased = leased_until(reading, key_).has_value(); });
  return leased;
}

/// The value may have come since it was looked for.
Computation::Answer Computation::ask_for_lease() {
  Answer answer;
  store_.write([&](Writing& writing) {
    answer.found = find(writing);
    if (!good(answer.found)) answer.lease = take_lease(writing, key_, how_.lease);
  });
  return answer;
}

/// Null: nobody holds the lease any more.
Computation::Value Computation::wait_for_others() {
  for (;;) {
    const engine::Mark mark = store_.mark();
    Found found;
    std::optional<Time> until;
    store_.read(Span::call, [&](Reading& reading) {
      found = find(reading);
      until = leased_until(reading, key_);
    });
    if (found.value) return std::make_shared<const json>(*std::move(found.value));
    if (!until) return nullptr;
    wait_for_change(mark, *until);
  }
}

/// Until somebody has committed, or the lease is over.
void Computation::wait_for_change(const engine::Mark& mark, Time until) {
  using std::chrono::microseconds;
  constexpr microseconds longest{16'000};
  microseconds pause{1'000};
  std::minstd_rand random(std::random_device{}());
  do {
    // At random, so that the processes do not all come at once.
    std::uniform_int_distribution<microseconds::rep> some(pause.count() / 2, pause.count());
    if (!store_.flights().sleep(microseconds(some(random)))) store_.refuse_closed();
    pause = std::min(pause * 2, longest);
  } while (mark.known && store_.mark() == mark && store_.now() < until);
}

Computation::Value Computation::compute_and_store(Lease lease, Revision seen) {
  try {
    return store_result(compute_(), lease, seen);
  } catch (...) {
    give_up(lease);
    throw;
  }
}

/// Stores nothing when the lease was taken over, since then a later computation decides; nor when
/// somebody has stored something else meanwhile, which is the newer value.
Computation::Value Computation::store_result(json result, Lease lease, Revision seen) {
  const std::string text = encode(result, key_, store_.options().max_value_bytes);
  store_.write([&](Writing& writing) {
    const bool ours = end_lease(writing, key_, lease);
    Found found = find(writing);
    if (found.value && found.revision != seen) {
      result = *std::move(found.value);
    } else if (ours) {
      writing.put({key_, text, writing.expiry({.ttl = how_.ttl})}, &result);
    }
  });
  return std::make_shared<const json>(std::move(result));
}

/// Others need not wait until the lease is over; where this fails, they do.
void Computation::give_up(Lease lease) noexcept {
  try {
    store_.write([&](Writing& writing) { end_lease(writing, key_, lease); });
  } catch (...) {  // NOLINT(bugprone-empty-catch): what failed before is what the caller hears of
  }
}

void Computation::report() const noexcept {
  if (!store_.options().on_background_error) return;
  try {
    store_.options().on_background_error(std::current_exception());
  } catch (...) {  // NOLINT(bugprone-empty-catch): there is nobody left to tell
  }
}

}  // namespace kvstore::internal
