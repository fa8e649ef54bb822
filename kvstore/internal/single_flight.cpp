#include <utility>

#include <kvstore/engine/text.hpp>
#include <kvstore/error.hpp>
#include <kvstore/internal/single_flight.hpp>

namespace kvstore::internal {

SingleFlight::Value SingleFlight::join(std::string_view key, Lead lead) {
  std::unique_lock lock(mutex_);
  if (closed_) return nullptr;
  const auto found = flights_.find(key);
  if (found == flights_.end()) return fly(std::move(lock), key, lead);
  refuse_circle(*found->second, key);
  return wait(std::move(lock), std::shared_ptr<Flight>(found->second));
}

SingleFlight::Value SingleFlight::try_lead(std::string_view key, Lead lead) {
  std::unique_lock lock(mutex_);
  if (closed_) return nullptr;
  const auto found = flights_.find(key);
  if (found == flights_.end()) return fly(std::move(lock), key, lead);
  refuse_circle(*found->second, key);
  return nullptr;
}

SingleFlight::Value SingleFlight::fly(std::unique_lock<std::mutex> lock, std::string_view key,
                                      Lead lead) {
  const auto place = flights_.emplace(key, std::make_shared<Flight>()).first;
  const std::shared_ptr<Flight> flight = place->second;
  lock.unlock();
  try {
    flight->value = lead();
  } catch (...) {
    flight->error = std::current_exception();
  }
  lock.lock();
  flight->done = true;
  flights_.erase(place);
  flight->over.notify_all();
  lock.unlock();
  if (flight->error) std::rethrow_exception(flight->error);
  return flight->value;
}

SingleFlight::Value SingleFlight::wait(std::unique_lock<std::mutex> lock,
                                       const std::shared_ptr<Flight>& flight) {
  const auto place = waiting_.emplace(std::this_thread::get_id(), flight.get()).first;
  flight->over.wait(lock, [&] { return flight->done || closed_; });
  waiting_.erase(place);
  if (!flight->done) return nullptr;
  if (flight->error) std::rethrow_exception(flight->error);
  return flight->value;
}

/// The leader of the flight may itself wait for another's result, and so on.
void SingleFlight::refuse_circle(const Flight& flight, std::string_view key) const {
  const Flight* next = &flight;
  while (next->leader != std::this_thread::get_id()) {
    const auto waits = waiting_.find(next->leader);
    // A flight that is over only waits for this thread to wake up.
    if (waits == waiting_.end() || waits->second->done) return;
    next = waits->second;
  }
  throw Error(ErrorCode::misuse,
              "the value of " + engine::in_quotes(key) +
                  " was asked for while it is being computed for the sake of this very call; "
                  "compute it from something else");
}

bool SingleFlight::sleep(std::chrono::microseconds time) {
  std::unique_lock lock(mutex_);
  return !closing_.wait_for(lock, time, [&] { return closed_; });
}

void SingleFlight::close() noexcept {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  closing_.notify_all();
  for (const auto& [key, flight] : flights_) flight->over.notify_all();
}

}  // namespace kvstore::internal
