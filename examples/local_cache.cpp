// Results that take long to get, kept for a while in a file that all processes share.
//
//   local_cache FILE
#include <chrono>
#include <exception>
#include <functional>
#include <iostream>
#include <string>
#include <string_view>

#include <kvstore/kvstore.hpp>

namespace {

using kvstore::json;
using namespace std::chrono_literals;

/// The cached value of a key, or the computed one, which is then kept for `ttl`.
json cached(kvstore::Keyspace& cache, std::string_view key, kvstore::Duration ttl,
            const std::function<json()>& compute) {
  if (std::optional<json> hit = cache.get(key)) return *std::move(hit);
  json value = compute();
  cache.set(key, value, {.ttl = ttl});
  return value;
}

/// Stands for the slow part: a query, a download, a long calculation.
json forecast(std::string_view city) {
  std::cout << "  (computing the forecast for " << city << ")\n";
  return {{"city", city}, {"celsius", city.size() * 3}};
}

void ask(kvstore::Keyspace& cache, std::string_view city) {
  const std::string key = "forecast/" + std::string(city);
  const json answer = cached(cache, key, 10min, [&] { return forecast(city); });
  std::cout << city << ": " << answer.at("celsius") << " degrees\n";
}

void run(const std::string& file) {
  // A cache can be rebuilt, so it need not wait for the disk at every write. The clock is given so
  // that this program shows ten minutes passing without taking them; leave it out in yours.
  kvstore::Time now{1'700'000'000'000ms};
  kvstore::KVStore cache(
      file, {.durability = kvstore::Durability::normal, .clock = [&now] { return now; }});

  ask(cache, "Oslo");
  ask(cache, "Oslo");
  ask(cache, "Lisbon");

  std::cout << "nine minutes later\n";
  now += 9min;
  ask(cache, "Oslo");
  cache.touch("forecast/Lisbon", 1h);  // this one is known to stay true for longer

  std::cout << "two more minutes later\n";
  now += 2min;
  ask(cache, "Oslo");
  ask(cache, "Lisbon");

  // When the way of computing changes, all of its results go at once.
  std::cout << "forgotten: " << cache.erase_range({.prefix = "forecast/"}) << '\n';
  ask(cache, "Lisbon");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: local_cache FILE\n";
    return 2;
  }
  try {
    run(argv[1]);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "local_cache: " << error.what() << '\n';
    return 1;
  }
}
