#include <functional>
#include <string>
#include <vector>

#include <kvstore/internal/document_lru.hpp>

#include "heap.hpp"
#include "support.hpp"

namespace kvstore::test {
namespace {

using internal::DocumentLru;
using internal::HashedKey;

DocumentLru::Document document_of(std::size_t bytes) {
  return {std::make_shared<const json>(bytes), std::nullopt, bytes};
}

TEST(DocumentLru, FindsWhatWasAdded) {
  DocumentLru lru;
  lru.add(HashedKey("a"), document_of(1));
  lru.add(HashedKey("b"), document_of(2));
  const DocumentLru::Kept* kept = lru.find(HashedKey("b"));
  ASSERT_NE(kept, nullptr);
  EXPECT_EQ(*std::get<DocumentLru::Value>(kept->document.form), json(2));
  EXPECT_EQ(lru.find(HashedKey("c")), nullptr);
}

TEST(DocumentLru, DropsFirstWhatWasUsedLongestAgo) {
  DocumentLru lru;
  for (const char* key : {"a", "b", "c"}) lru.add(HashedKey(key), document_of(1));
  lru.use(*lru.find(HashedKey("a")));
  std::string dropped;
  for (int drops = 0; drops < 3; ++drops) {
    lru.drop_oldest();
    for (const char* key : {"a", "b", "c"}) {
      const bool gone = lru.find(HashedKey(key)) == nullptr;
      if (gone && dropped.find(key) == std::string::npos) dropped += key;
    }
  }
  EXPECT_EQ(dropped, "bca");
}

TEST(DocumentLru, KeepsItsOrderWhenOneInTheMiddleIsDropped) {
  DocumentLru lru;
  for (const char* key : {"a", "b", "c"}) lru.add(HashedKey(key), document_of(1));
  lru.drop(*lru.find(HashedKey("b")));
  lru.drop_oldest();
  EXPECT_EQ(lru.find(HashedKey("a")), nullptr);
  EXPECT_NE(lru.find(HashedKey("c")), nullptr);
}

TEST(DocumentLru, CountsTheBytesOfWhatItHolds) {
  DocumentLru lru;
  lru.add(HashedKey("a"), document_of(100));
  lru.add(HashedKey("b"), document_of(20));
  EXPECT_EQ(lru.bytes(), 120U);
  lru.drop(*lru.find(HashedKey("a")));
  EXPECT_EQ(lru.bytes(), 20U);
  lru.drop_all();
  EXPECT_EQ(lru.bytes(), 0U);
  EXPECT_EQ(lru.find(HashedKey("b")), nullptr);
}

/// Adds many documents. Returns what it says that they take, as a share of what they take.
double estimate_of(const std::function<DocumentLru::Document(const HashedKey&)>& document) {
  constexpr int documents = 20'000;
  const std::size_t before = heap_in_use();
  DocumentLru lru;
  for (int i = 0; i < documents; ++i) {
    const std::string name = "the key of document " + std::to_string(i);
    const HashedKey key(name);
    lru.missed_before(key);
    lru.add(key, document(key));
  }
  const auto taken = static_cast<double>(heap_in_use() - before);
  return static_cast<double>(lru.bytes()) / taken;
}

TEST(DocumentLru, CountsWhatParsedDocumentsTakeOfTheHeap) {
  if (heap_is_replaced) GTEST_SKIP() << "a sanitizer has its own allocator";
  EXPECT_NEAR(estimate_of([](const HashedKey& key) {
                const json value = {{"name", "Ada Lovelace"}, {"born", 1815}};
                return DocumentLru::Document{std::make_shared<const json>(value), std::nullopt,
                                             DocumentLru::bytes_parsed(key, value)};
              }),
              1, 0.05);
}

TEST(DocumentLru, CountsWhatPackedDocumentsTakeOfTheHeap) {
  if (heap_is_replaced) GTEST_SKIP() << "a sanitizer has its own allocator";
  EXPECT_NEAR(estimate_of([](const HashedKey& key) {
                const internal::PackedDocument packed({{"name", "Ada Lovelace"}, {"born", 1815}});
                return DocumentLru::Document{
                    std::make_shared<const internal::PackedDocument>(packed), std::nullopt,
                    DocumentLru::bytes_packed(key, packed)};
              }),
              1, 0.05);
}

TEST(DocumentLru, CountsWhatTextsTakeOfTheHeap) {
  if (heap_is_replaced) GTEST_SKIP() << "a sanitizer has its own allocator";
  EXPECT_NEAR(estimate_of([](const HashedKey& key) {
                const std::string text = R"({"born":1815,"name":"Ada Lovelace"})";
                return DocumentLru::Document{std::make_shared<const std::string>(text),
                                             std::nullopt, DocumentLru::bytes_as_text(key, text)};
              }),
              1, 0.05);
}

TEST(DocumentLru, FindsKeysOfAPlaceThatHasMoreThanCanBeCounted) {
  constexpr std::size_t places = 4096;
  std::vector<std::string> keys;
  for (int i = 0; keys.size() < 300; ++i) {
    std::string key = std::to_string(i);
    if (HashedKey(key).hash % places == 0) keys.push_back(std::move(key));
  }
  DocumentLru lru;
  for (const std::string& key : keys) lru.add(HashedKey(key), document_of(1));
  while (keys.size() > 1) {
    lru.drop(*lru.find(HashedKey(keys.back())));
    keys.pop_back();
  }
  EXPECT_NE(lru.find(HashedKey(keys.front())), nullptr);
}

TEST(DocumentLru, RemembersAMissAsLongAsTheDocumentWouldHaveStayed) {
  DocumentLru lru;
  const std::string kept = "kept";
  for (int i = 0; i < 64; ++i) lru.add(HashedKey(kept + std::to_string(i)), document_of(1));
  const HashedKey key("missed");
  int number = 0;
  const auto miss_others = [&](int count) {
    while (count > 0) {
      const std::string other = std::to_string(++number);
      if (HashedKey(other).hash % 512 == key.hash % 512) continue;  // would take its place
      static_cast<void>(lru.missed_before(HashedKey(other)));
      --count;
    }
  };
  EXPECT_FALSE(lru.missed_before(key));
  miss_others(63);
  EXPECT_TRUE(lru.missed_before(key));
  miss_others(64);
  EXPECT_FALSE(lru.missed_before(key));
}

TEST(DocumentLru, RemembersMostOfAsManyMissesAsThereAreDocuments) {
  constexpr int documents = 20'000;
  DocumentLru lru;
  for (int i = 0; i < documents; ++i) {
    lru.add(HashedKey("kept" + std::to_string(i)), document_of(1));
  }
  int remembered = 0;
  for (const bool again : {false, true}) {
    for (int i = 0; i < documents * 3 / 4; ++i) {
      const bool before = lru.missed_before(HashedKey(std::to_string(i)));
      if (again && before) ++remembered;
    }
  }
  EXPECT_GT(remembered, documents * 3 / 4 / 2);
}

TEST(DocumentLru, RemembersMissesOfFewKeysThatComeInTurns) {
  DocumentLru lru;
  for (const char* key : {"a", "b", "c", "d"}) lru.add(HashedKey(key), document_of(1));
  // As many places as there are documents would not tell these apart.
  std::vector<std::string> keys;
  for (int i = 0; keys.size() < 3; ++i) {
    std::string key = std::to_string(i);
    if (HashedKey(key).hash % 512 == 4 * keys.size()) keys.push_back(std::move(key));
  }
  for (const std::string& key : keys) EXPECT_FALSE(lru.missed_before(HashedKey(key)));
  for (const std::string& key : keys) EXPECT_TRUE(lru.missed_before(HashedKey(key)));
}

}  // namespace
}  // namespace kvstore::test
