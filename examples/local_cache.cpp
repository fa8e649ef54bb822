// Results that take long to get, kept for a while in a small file that all processes share.
//
//   local_cache FILE
#include <chrono>
#include <exception>
#include <iostream>
#include <string>

#include <kvstore/kvstore.hpp>

namespace {

using namespace std::chrono_literals;

struct Forecast {
  std::string city{};
  int celsius = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Forecast, city, celsius)

/// Stands for the slow part: a query, a download, a long calculation.
Forecast forecast(const std::string& city) {
  std::cout << "  (computing the forecast for " << city << ")\n";
  return {.city = city, .celsius = static_cast<int>(city.size()) * 3};
}

/// However many threads and processes ask at once, one of them computes.
void ask(kvstore::KVStore& cache, const std::string& city) {
  const auto answer =
      cache.get_or_compute<Forecast>("forecast/" + city, 10min, [&] { return forecast(city); });
  std::cout << answer.city << ": " << answer.celsius << " degrees\n";
}

void run(const std::string& file) {
  // A cache can be rebuilt, so it need not wait for the disk at every write, and it may forget what
  // was stored longest ago. The clock is given so that this program shows ten minutes passing
  // without taking them; leave it out in yours.
  kvstore::Time now{1'700'000'000'000ms};
  kvstore::KVStore cache(file, {.durability = kvstore::Durability::normal,
                                .max_bytes = 1U << 20U,
                                .clock = [&now] { return now; }});
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

  std::cout << "after 200 maps of 10 kB each\n";
  for (int i = 0; i < 200; ++i) cache.set("map/" + std::to_string(i), std::string(10'000, '#'));
  std::cout << "the first map: " << (cache.contains("map/0") ? "there" : "gone") << '\n'
            << "the last map: " << (cache.contains("map/199") ? "there" : "gone") << '\n';
  ask(cache, "Lisbon");

  // When the way of computing changes, all of its results go at once.
  std::cout << "forgotten: " << cache.erase_range({.prefix = "forecast/"}) << '\n';
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
