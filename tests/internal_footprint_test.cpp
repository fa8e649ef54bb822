#include <vector>

#include <kvstore/internal/footprint.hpp>

#include "heap.hpp"
#include "support.hpp"

namespace kvstore::test {
namespace {

/// What many copies of a document take of the heap, for one of them.
std::size_t measured(const json& document) {
  constexpr std::size_t copies = 1'000;
  std::vector<json> all;
  all.reserve(copies);
  const std::size_t before = heap_in_use();
  for (std::size_t i = 0; i < copies; ++i) all.push_back(document);
  return (heap_in_use() - before) / copies + sizeof(json);
}

TEST(Footprint, IsWhatTheAllocatorHandsOut) {
  if (heap_is_replaced) GTEST_SKIP() << "a sanitizer has its own allocator";
  json wide = json::object();
  for (int i = 0; i < 100; ++i) wide["name number " + std::to_string(i)] = i;
  json deep = 1;
  for (int i = 0; i < 50; ++i) deep = json::array({deep, {{"level", i}}});
  const json record = {{"name", "Ada Lovelace"},
                       {"tags", {"mathematics", "poetry"}},
                       {"address", {{"city", "London"}, {"zip", nullptr}}},
                       {"born", 1815.94},
                       {"about", std::string(1'000, 'x')}};
  for (const json& document : {json(1), json("short"), json(std::string(100, 'x')), json::object(),
                               json::array({1, 2, 3}), wide, deep, record}) {
    const auto real = static_cast<double>(measured(document));
    EXPECT_NEAR(static_cast<double>(internal::footprint(document)), real, real / 10 + 16)
        << document.dump().substr(0, 60);
  }
}

}  // namespace
}  // namespace kvstore::test
