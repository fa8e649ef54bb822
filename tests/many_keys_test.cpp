#include <fstream>
#include <iterator>

#include "behaviour.hpp"
#include "child.hpp"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KVSTORE_TEST_SANITIZED true
#elif defined(__has_feature)
#define KVSTORE_TEST_SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define KVSTORE_TEST_SANITIZED false
#endif

namespace kvstore::test {
namespace {

constexpr std::size_t many = 100'000;  // three times the variables that SQLite takes in a statement

std::string key(std::size_t number) {
  return "k/" + std::to_string(1'000'000 + number);
}

/// Items that are made when they are asked for: the numbers 0 to `count` - 1 under keys that come
/// again after `keys` of them, as documents of `bytes`.
struct Numbered {
  std::size_t count = 0, keys = 0, bytes = 0;

  struct iterator {
    using iterator_category = std::input_iterator_tag;
    using value_type = std::pair<std::string, json>;
    using difference_type = std::ptrdiff_t;
    using pointer = void;
    using reference = value_type;

    const Numbered* made = nullptr;
    std::size_t at = 0;

    value_type operator*() const {
      json value = at;
      if (made->bytes != 0) value = std::string(made->bytes, 'v');
      return {key(at % made->keys), std::move(value)};
    }
    iterator& operator++() {
      ++at;
      return *this;
    }
    bool operator==(const iterator& other) const { return at == other.at; }
  };

  [[nodiscard]] iterator begin() const { return {this, 0}; }
  [[nodiscard]] iterator end() const { return {this, count}; }
};

class ManyKeys : public OnEveryEngine {};
KVSTORE_TEST_ON_EVERY_ENGINE(ManyKeys);

TEST_P(ManyKeys, AreStoredReadAndErasedInOneCallEach) {
  EXPECT_EQ(store_.set_many(Numbered{many, many}), many);
  EXPECT_EQ(store_.count(), many);
  std::vector<std::string> wanted;
  for (std::size_t i = many; i > 0; --i) wanted.push_back(key(i));  // the first is absent
  const std::vector<std::optional<json>> values = store_.get_many(wanted);
  ASSERT_EQ(values.size(), many);
  EXPECT_EQ(values[0], std::nullopt);
  for (std::size_t i = 1; i < many; ++i) ASSERT_EQ(values[i], json(many - i));
  EXPECT_EQ(store_.erase_range({.from = key(10), .limit = many - 20}), many - 20);
  EXPECT_EQ(store_.keys({.limit = 1, .descending = true}), std::vector<std::string>{key(many - 1)});
  EXPECT_EQ(store_.erase_range({.prefix = "k/"}), 20U);
  EXPECT_EQ(store_.count(), 0U);
}

TEST_P(ManyKeys, ThatComeAgainKeepTheLastValue) {
  constexpr std::size_t rounds = 2;
  constexpr std::size_t keys = many / 10;
  EXPECT_EQ(store_.set_many(Numbered{rounds * keys, keys}), rounds * keys);
  EXPECT_EQ(store_.count(), keys);
  std::size_t next = (rounds - 1) * keys;
  for (const Entry& entry : store_.scan()) ASSERT_EQ(entry.value, json(next++));
}

TEST_P(ManyKeys, InATransactionAreStoredOrNot) {
  {
    Transaction tx = store_.begin();
    tx.set_many(Numbered{many / 10, many / 10});
    EXPECT_EQ(tx.count(), many / 10);
    tx.transaction([](Transaction& inner) {
      inner.erase_range({});
      inner.rollback();
    });
    EXPECT_EQ(tx.count(), many / 10);
  }
  EXPECT_EQ(store_.count(), 0U);
}

/// Units: KiB. One line of /proc/self/status.
std::size_t memory(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word != name + ":") continue;
    std::size_t kibibytes = 0;
    status >> kibibytes;
    return kibibytes;
  }
  return 0;
}

TEST(ManyKeysOfAFile, AreWrittenAndScannedInLittleMemory) {
  if (KVSTORE_TEST_SANITIZED) GTEST_SKIP() << "a sanitizer keeps what was freed";
  const TempDir directory;
  const std::string grown = in_child([&] {
    KVStore store(directory.file("store.db"), {.durability = Durability::normal});
    // What a few need as well, whose memory the process may have had before: code is memory, too.
    store.set_many(Numbered{10, 10, 64U << 10U});
    for (const Entry& entry : store.scan()) EXPECT_TRUE(store.contains(entry.key));
    const std::size_t before = memory("VmRSS");
    store.set_many(Numbered{800, 800, 64U << 10U});
    std::size_t read = 0;
    for (const Entry& entry : store.scan())
      read += entry.value.get_ref<const std::string&>().size();
    if (read != std::size_t{800} << 16U) return "wrong: " + std::to_string(read);
    return std::to_string(memory("VmHWM") - before);
  });
  // 50 MiB went through.
  EXPECT_GT(std::stoul(grown), 0U);
  EXPECT_LT(std::stoul(grown), 20U << 10U) << "KiB";
}

}  // namespace
}  // namespace kvstore::test
