// Orders and the users who made them, in typed collections: orders FILE
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include <kvstore/kvstore.hpp>

namespace {

struct User {
  std::string name;
  std::string city;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(User, name, city)

struct Order {
  std::string user;  ///< The key of a user.
  int cents = 0;
  std::vector<std::string> items;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Order, user, cents, items)

/// All of it or nothing: no order is ever seen without its user.
void fill(kvstore::KVStore& store) {
  store.transaction([](kvstore::Transaction& tx) {
    tx.collection<User>("users").set_many({{"ada", {"Ada Lovelace", "London"}},
                                           {"grace", {"Grace Hopper", "New York"}},
                                           {"kurt", {"Kurt Gödel", "Brno"}}});
    tx.collection<Order>("orders/2024")
        .set_many({{"0001", {"ada", 4200, {"notebook", "ink"}}},
                   {"0002", {"kurt", 1250, {"lamp"}}},
                   {"0003", {"ada", 990, {"pen"}}},
                   {"0004", {"nobody", 100, {"stamp"}}}});
  });
}

/// One scan for the orders and one read for all of their users, at one moment: not one read each.
void print(const kvstore::Snapshot& snapshot) {
  std::vector<Order> orders;
  std::vector<std::string> user_keys;
  for (const auto& entry : snapshot.collection<Order>("orders/2024").scan()) {
    user_keys.push_back(entry.value.user);
    orders.push_back(entry.value);
  }
  const auto users = snapshot.collection<User>("users").get_many(user_keys);
  for (std::size_t i = 0; i < orders.size(); ++i) {
    const std::string who = users[i] ? users[i]->name + " of " + users[i]->city : "unknown user";
    std::cout << who << ": " << orders[i].items.front() << ", " << orders[i].cents << " cents\n";
  }
}

void run(const std::string& file) {
  kvstore::KVStore store(file);
  fill(store);
  print(store.snapshot());

  auto orders = store.collection<Order>("orders").collection<Order>("2024");
  orders.update("0002", [](Order& order) { order.items.emplace_back("bulb"); });
  std::cout << "order 0002 as it is stored: " << store.get("orders/2024/0002").value() << '\n';
  for (const std::string& name : store.collections()) std::cout << "collection " << name << '\n';
  std::cout << "orders removed: " << orders.clear() << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: orders FILE\n";
    return 2;
  }
  try {
    run(argv[1]);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "orders: " << error.what() << '\n';
    return 1;
  }
}
