#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <kvstore/kvstore.hpp>

/// Money that moves between accounts: whatever happens, there is as much as in the beginning.
namespace kvstore::test {

inline constexpr std::int64_t money_of_an_account = 100;

inline std::vector<std::string> accounts_of_a_bank(int count) {
  std::vector<std::string> keys;
  for (int i = 0; i < count; ++i) keys.push_back("account/" + std::to_string(i));
  return keys;
}

inline void found_bank(Keyspace& store, int accounts) {
  for (const std::string& key : accounts_of_a_bank(accounts)) store.set(key, money_of_an_account);
}

/// Moves some money from one account to another.
template <class Random>
void move_money(KVStore& store, int accounts, Random& random) {
  std::uniform_int_distribution<int> any(0, accounts - 1);
  const std::string from = "account/" + std::to_string(any(random));
  const std::string to = "account/" + std::to_string(any(random));
  const auto amount = static_cast<std::int64_t>(1 + any(random) % 9);
  store.transaction([&](Transaction& tx) {
    tx.set(from, tx.get<std::int64_t>(from).value() - amount);
    tx.set(to, tx.get<std::int64_t>(to).value() + amount);
  });
}

inline std::int64_t money_in(const std::vector<std::optional<json>>& accounts) {
  std::int64_t total = 0;
  for (const std::optional<json>& account : accounts) {
    if (!account) throw std::runtime_error("an account is missing");
    total += account->get<std::int64_t>();
  }
  return total;
}

}  // namespace kvstore::test
