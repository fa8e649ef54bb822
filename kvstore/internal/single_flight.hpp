#pragma once

#include <chrono>
#include <condition_variable>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>

#include <kvstore/engine/function_ref.hpp>
#include <kvstore/entry.hpp>

namespace kvstore::internal {

/// Lets one thread find the value of a key while the others of the store wait for it.
class SingleFlight {
 public:
  using Value = std::shared_ptr<const json>;
  using Lead = engine::FunctionRef<Value()>;

  /// What `lead` returns, run by this thread or by the one that is at it already; what it throws
  /// reaches all. Null: the store was closed, or that is what `lead` returned.
  /// Throws: misuse, when this thread would wait for itself.
  Value join(std::string_view key, Lead lead);

  /// The same without waiting. Null: another thread is at it.
  Value try_lead(std::string_view key, Lead lead);

  /// Lets a leader wait. False: the store was closed.
  bool sleep(std::chrono::microseconds time);

  /// Wakes all who wait.
  void close() noexcept;

 private:
  struct Flight {
    std::thread::id leader = std::this_thread::get_id();
    std::condition_variable over{};
    bool done = false;
    Value value{};
    std::exception_ptr error{};
  };
  using Flights = std::map<std::string, std::shared_ptr<Flight>, std::less<>>;

  Value fly(std::unique_lock<std::mutex> lock, std::string_view key, Lead lead);
  Value wait(std::unique_lock<std::mutex> lock, const std::shared_ptr<Flight>& flight);
  void refuse_circle(const Flight& flight, std::string_view key) const;

  std::mutex mutex_;
  std::condition_variable closing_;
  bool closed_ = false;
  Flights flights_;
  std::unordered_map<std::thread::id, const Flight*> waiting_;  ///< Which thread for which flight.
};

}  // namespace kvstore::internal
