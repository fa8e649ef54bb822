#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include <kvstore/entry.hpp>
#include <kvstore/internal/lease.hpp>
#include <kvstore/internal/store.hpp>

namespace kvstore::internal {

/// One call of `KVStore::get_or_compute`. Of the threads that ask for a key one leads; the leaders
/// of several processes agree on one by a lease. Whoever has it computes, without any lock.
class Computation {
 public:
  using Value = SingleFlight::Value;

  /// Throws: invalid_key.
  Computation(Store& store, std::string_view key, const ComputeOptions& how,
              const std::function<json()>& compute);

  json run();

 private:
  /// A live entry.
  struct Found {
    std::optional<json> value{};  ///< Absent: there is none.
    Revision revision = 0;
    std::optional<Time> expires_at{};
  };

  /// What came of asking for the lease.
  struct Answer {
    std::optional<Lease> lease{};
    Found found{};
  };

  [[nodiscard]] Found find(const Reading& reading) const;
  [[nodiscard]] Found look() const;
  [[nodiscard]] bool good(const Found& found) const;
  [[nodiscard]] bool is_leased() const;
  json refresh(Found found);
  Value lead();
  Answer ask_for_lease();
  Value wait_for_others();
  void wait_for_change(const engine::Mark& mark, Time until);
  Value compute_and_store(Lease lease, Revision seen);
  Value store_result(json result, Lease lease, Revision seen);
  void give_up(Lease lease) noexcept;
  void report() const noexcept;

  Store& store_;
  std::string_view key_;
  const ComputeOptions& how_;
  const std::function<json()>& compute_;
};

}  // namespace kvstore::internal
