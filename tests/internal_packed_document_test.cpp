#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <kvstore/internal/codec.hpp>
#include <kvstore/internal/footprint.hpp>
#include <kvstore/internal/packed_document.hpp>

#include "heap.hpp"
#include "support.hpp"

namespace kvstore::test {
namespace {

using internal::PackedDocument;

json through(const json& document) {
  return PackedDocument(document).unpack();
}

void expect_same(const json& unpacked, const json& document) {
  EXPECT_TRUE(identical_in_bits(unpacked, internal::as_decoded(document)))
      << document << " became " << unpacked;
}

TEST(PackedDocument, GivesBackEveryKindOfValue) {
  constexpr auto most = std::numeric_limits<std::uint64_t>::max();
  constexpr auto least = std::numeric_limits<std::int64_t>::min();
  for (const json& document :
       {json(nullptr),
        json(true),
        json(false),
        json(0U),
        json(127U),
        json(128U),
        json(most),
        json(-1),
        json(least),
        json(0.5),
        json(-0.0),
        json(1.0),
        json(5e-324),
        json(""),
        json("short"),
        json(std::string(127, 'x')),
        json(std::string(128, 'x')),
        json(std::string(100'000, 'x')),
        json(std::string("a\0b", 3)),
        json("\u00e4\u20ac"),
        json::object(),
        json::array(),
        json{{"", ""}},
        json::array({nullptr}),
        json::array({json::array(), json::object(), json::array({1, -1, 1.5})})}) {
    expect_same(through(document), document);
  }
}

TEST(PackedDocument, GivesIntegersTheTypesThatParsingTheTextGives) {
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  const json document = {std::int64_t{0}, std::int64_t{1}, std::int64_t{-1}, most};
  expect_same(through(document), json::parse(document.dump()));
}

TEST(PackedDocument, GivesBackObjectsOfManyShapesInTurns) {
  json document = json::array();
  for (int i = 0; i < 1'000; ++i) {
    json object = {{"id", i}};
    for (int names = 0; names < i % 7; ++names) object["name" + std::to_string(names)] = names;
    if (i % 3 == 0) object["other"] = {{"id", i}, {"text", std::to_string(i)}};
    document.push_back(std::move(object));
  }
  expect_same(through(document), document);
}

TEST(PackedDocument, TellsObjectsApartThatHaveAsManyNames) {
  const json document = {{{"a", 1}, {"b", 2}}, {{"a", 3}, {"c", 4}}, {{"b", 5}, {"c", 6}}};
  expect_same(through(document), document);
}

TEST(PackedDocument, GivesBackTheDeepestNestingThatIsStored) {
  json document = 1;
  for (std::size_t level = 0; level < internal::max_depth; ++level) {
    document = level % 2 == 0 ? json::array({std::move(document)}) : json{{"in", document}};
  }
  expect_same(through(document), document);
}

TEST(PackedDocument, CanBeUnpackedAgainAndAgain) {
  const PackedDocument packed(json{{"list", {1, 2, 3}}, {"text", "some text"}});
  json first = packed.unpack();
  first["list"].clear();
  EXPECT_EQ(packed.unpack().at("list"), json({1, 2, 3}));
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as it is told to be
json random_document(std::mt19937& random, int depth) {
  const auto below = [&](std::uint32_t bound) { return random() % bound; };
  switch (below(depth > 0 ? 9 : 7)) {
    case 0:
      return nullptr;
    case 1:
      return below(2) == 0;
    case 2:
      return std::uint64_t{random()} << below(33);
    case 3:
      return -static_cast<std::int64_t>(std::uint64_t{random()} << below(32)) - 1;
    case 4:
      return std::ldexp(static_cast<double>(random()), static_cast<int>(below(100)) - 50);
    case 5:
    case 6:
      return std::string(below(40), static_cast<char>('a' + below(26)));
    case 7: {
      json items = json::array();
      for (std::uint32_t count = below(8); count > 0; --count) {
        items.push_back(random_document(random, depth - 1));
      }
      return items;
    }
    default: {
      json members = json::object();
      for (std::uint32_t count = below(6); count > 0; --count) {
        members[std::string(1, static_cast<char>('a' + below(8)))] =
            random_document(random, depth - 1);
      }
      return members;
    }
  }
}

TEST(PackedDocument, GivesBackRandomDocuments) {
  const auto seed = std::random_device()();
  RecordProperty("seed", std::to_string(seed));
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int i = 0; i < 20'000 && !HasFailure(); ++i) {
    const json document = random_document(random, 5);
    expect_same(through(document), document);
  }
}

json people(int count) {
  json people = json::array();
  for (int i = 0; i < count; ++i) {
    people.push_back(
        {{"id", i}, {"name", "Person " + std::to_string(i)}, {"score", i / 8.0}, {"active", true}});
  }
  return people;
}

TEST(PackedDocument, TakesAFractionOfADocumentWhoseObjectsAreAlike) {
  const json document = people(100);
  EXPECT_LT(PackedDocument(document).bytes(), internal::footprint(document) / 8);
}

TEST(PackedDocument, CountsWhatItTakesOfTheHeap) {
  if (heap_is_replaced) GTEST_SKIP() << "a sanitizer has its own allocator";
  constexpr std::size_t copies = 200;
  for (const json& document :
       {people(20), json{{"text", std::string(5'000, 'x')}}, json{{std::string(4'000, 'x'), 1}}}) {
    std::vector<PackedDocument> all;
    all.reserve(copies);
    const std::size_t before = heap_in_use();
    for (std::size_t i = 0; i < copies; ++i) all.emplace_back(document);
    const std::size_t real = (heap_in_use() - before) / copies + sizeof(PackedDocument);
    EXPECT_NEAR(static_cast<double>(all.front().bytes()), static_cast<double>(real),
                static_cast<double>(real) / 20);
  }
}

}  // namespace
}  // namespace kvstore::test
