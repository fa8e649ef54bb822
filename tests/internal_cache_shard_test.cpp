#include <functional>
#include <string>
#include <vector>

#include <kvstore/internal/cache_shard.hpp>

#include "heap.hpp"
#include "support.hpp"

namespace kvstore::test {
namespace {

using internal::CacheShard;
using internal::HashedKey;

CacheShard::Document document_of(std::size_t bytes) {
  return {std::make_shared<const json>(bytes), nullptr, std::nullopt, bytes};
}

TEST(CacheShard, FindsWhatWasAdded) {
  CacheShard shard;
  shard.add(HashedKey("a"), document_of(1));
  shard.add(HashedKey("b"), document_of(2));
  const CacheShard::Kept* kept = shard.find(HashedKey("b"));
  ASSERT_NE(kept, nullptr);
  EXPECT_EQ(*kept->document.value, json(2));
  EXPECT_EQ(shard.find(HashedKey("c")), nullptr);
}

TEST(CacheShard, DropsFirstWhatWasUsedLongestAgo) {
  CacheShard shard;
  for (const char* key : {"a", "b", "c"}) shard.add(HashedKey(key), document_of(1));
  shard.use(*shard.find(HashedKey("a")));
  std::string dropped;
  for (int drops = 0; drops < 3; ++drops) {
    shard.drop_oldest();
    for (const char* key : {"a", "b", "c"}) {
      const bool gone = shard.find(HashedKey(key)) == nullptr;
      if (gone && dropped.find(key) == std::string::npos) dropped += key;
    }
  }
  EXPECT_EQ(dropped, "bca");
}

TEST(CacheShard, KeepsItsOrderWhenOneInTheMiddleIsDropped) {
  CacheShard shard;
  for (const char* key : {"a", "b", "c"}) shard.add(HashedKey(key), document_of(1));
  shard.drop(*shard.find(HashedKey("b")));
  shard.drop_oldest();
  EXPECT_EQ(shard.find(HashedKey("a")), nullptr);
  EXPECT_NE(shard.find(HashedKey("c")), nullptr);
}

TEST(CacheShard, CountsTheBytesOfWhatItHolds) {
  CacheShard shard;
  shard.add(HashedKey("a"), document_of(100));
  shard.add(HashedKey("b"), document_of(20));
  shard.resize(shard.find(HashedKey("b"))->document, 30);
  EXPECT_EQ(shard.bytes(), 130U);
  shard.drop(*shard.find(HashedKey("a")));
  EXPECT_EQ(shard.bytes(), 30U);
  shard.drop_all();
  EXPECT_EQ(shard.bytes(), 0U);
  EXPECT_EQ(shard.find(HashedKey("b")), nullptr);
}

/// Adds many documents. Returns what the shard says that they take, as a share of what they take.
double estimate_of(const std::function<CacheShard::Document(const HashedKey&)>& document) {
  constexpr int documents = 20'000;
  const std::size_t before = heap_in_use();
  CacheShard shard;
  for (int i = 0; i < documents; ++i) {
    const std::string name = "the key of document " + std::to_string(i);
    const HashedKey key(name);
    shard.missed_before(key);
    shard.add(key, document(key));
  }
  const auto taken = static_cast<double>(heap_in_use() - before);
  return static_cast<double>(shard.bytes()) / taken;
}

TEST(CacheShard, CountsWhatParsedDocumentsTakeOfTheHeap) {
  if (heap_is_replaced) GTEST_SKIP() << "a sanitizer has its own allocator";
  EXPECT_NEAR(estimate_of([](const HashedKey& key) {
                const json value = {{"name", "Ada Lovelace"}, {"born", 1815}};
                return CacheShard::Document{std::make_shared<const json>(value), nullptr,
                                            std::nullopt, CacheShard::bytes_parsed(key, value)};
              }),
              1, 0.05);
}

TEST(CacheShard, CountsWhatTextsTakeOfTheHeap) {
  if (heap_is_replaced) GTEST_SKIP() << "a sanitizer has its own allocator";
  EXPECT_NEAR(estimate_of([](const HashedKey& key) {
                const std::string text = R"({"born":1815,"name":"Ada Lovelace"})";
                return CacheShard::Document{nullptr, std::make_shared<const std::string>(text),
                                            std::nullopt, CacheShard::bytes_as_text(key, text)};
              }),
              1, 0.05);
}

TEST(CacheShard, FindsKeysOfAPlaceThatHasMoreThanCanBeCounted) {
  constexpr std::size_t places = 4096;
  std::vector<std::string> keys;
  for (int i = 0; keys.size() < 300; ++i) {
    std::string key = std::to_string(i);
    if (HashedKey(key).hash % places == 0) keys.push_back(std::move(key));
  }
  CacheShard shard;
  for (const std::string& key : keys) shard.add(HashedKey(key), document_of(1));
  while (keys.size() > 1) {
    shard.drop(*shard.find(HashedKey(keys.back())));
    keys.pop_back();
  }
  EXPECT_NE(shard.find(HashedKey(keys.front())), nullptr);
}

TEST(CacheShard, RemembersAMissAsLongAsTheDocumentWouldHaveStayed) {
  CacheShard shard;
  const std::string kept = "kept";
  for (int i = 0; i < 64; ++i) shard.add(HashedKey(kept + std::to_string(i)), document_of(1));
  const HashedKey key("missed");
  int number = 0;
  const auto miss_others = [&](int count) {
    while (count > 0) {
      const std::string other = std::to_string(++number);
      if (HashedKey(other).hash % 512 == key.hash % 512) continue;  // would take its place
      static_cast<void>(shard.missed_before(HashedKey(other)));
      --count;
    }
  };
  EXPECT_FALSE(shard.missed_before(key));
  miss_others(63);
  EXPECT_TRUE(shard.missed_before(key));
  miss_others(64);
  EXPECT_FALSE(shard.missed_before(key));
}

TEST(CacheShard, RemembersMostOfAsManyMissesAsThereAreDocuments) {
  constexpr int documents = 20'000;
  CacheShard shard;
  for (int i = 0; i < documents; ++i) {
    shard.add(HashedKey("kept" + std::to_string(i)), document_of(1));
  }
  int remembered = 0;
  for (const bool again : {false, true}) {
    for (int i = 0; i < documents * 3 / 4; ++i) {
      const bool before = shard.missed_before(HashedKey(std::to_string(i)));
      if (again && before) ++remembered;
    }
  }
  EXPECT_GT(remembered, documents * 3 / 4 / 2);
}

TEST(CacheShard, RemembersMissesOfFewKeysThatComeInTurns) {
  CacheShard shard;
  for (const char* key : {"a", "b", "c", "d"}) shard.add(HashedKey(key), document_of(1));
  // As many places as there are documents would not tell these apart.
  std::vector<std::string> keys;
  for (int i = 0; keys.size() < 3; ++i) {
    std::string key = std::to_string(i);
    if (HashedKey(key).hash % 512 == 4 * keys.size()) keys.push_back(std::move(key));
  }
  for (const std::string& key : keys) EXPECT_FALSE(shard.missed_before(HashedKey(key)));
  for (const std::string& key : keys) EXPECT_TRUE(shard.missed_before(HashedKey(key)));
}

}  // namespace
}  // namespace kvstore::test
