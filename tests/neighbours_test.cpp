#include <kvstore/engine/sqlite.hpp>
#include <kvstore/engine/sqlite_neighbours.hpp>

#include "child.hpp"
#include "outside.hpp"
#include "support.hpp"

namespace kvstore::test {
namespace {

/// A file with one connection in this process, which is its own.
class Neighbours : public testing::Test {
 protected:
  static constexpr std::size_t own_connections = 1;

  Neighbours() {
    own_.run("PRAGMA journal_mode = WAL");
    own_.run("CREATE TABLE t(x)");
  }

  /// Looks for the first time: later the connections are counted five times a second only.
  [[nodiscard]] bool any() const { return engine::Neighbours(file_).any(own_connections); }

  TempDir dir_;
  std::string file_ = dir_.file("store.db");
  Outside own_{file_};
};

TEST_F(Neighbours, AreNoneWhileNobodyElseHasTheFileOpen) {
  EXPECT_FALSE(any());
}

TEST_F(Neighbours, AreAnyOtherProcessAsLongAsItHasTheFileOpen) {
  engine::Neighbours neighbours(file_);
  ASSERT_FALSE(neighbours.any(own_connections));
  Process other({"python3", "-c", R"(
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute("SELECT * FROM t").fetchall()
print("open", flush=True)
sys.stdin.read()
)",
                 file_});
  ASSERT_EQ(other.line(), "open");
  EXPECT_TRUE(neighbours.any(own_connections));
  other.close_input();
  ASSERT_EQ(other.wait(), 0);
  EXPECT_FALSE(neighbours.any(own_connections));
}

TEST_F(Neighbours, AreAnyOtherConnectionOfThisProcess) {
  {
    Outside other(file_);
    other.run("SELECT * FROM t");
    EXPECT_TRUE(any());
  }
  EXPECT_FALSE(any());
}

TEST_F(Neighbours, AreAssumedWhereTheirLocksCannotBeSeen) {
  EXPECT_TRUE(engine::Neighbours(dir_.file("no-wal.db")).any(own_connections));
}

TEST_F(Neighbours, AreNotTheConnectionsOfAStoreItself) {
  const std::string file = dir_.file("own.db");
  const auto store = engine::open_sqlite_file(file, Options{});
  const auto writer = store->connect(engine::Access::write);
  const auto reader = store->connect(engine::Access::read);
  writer->run("UPDATE kv_floor SET revision = 1");
  reader->run("SELECT * FROM kv");
  EXPECT_FALSE(store->has_neighbours());
}

TEST_F(Neighbours, AreSeenAlsoAfterAStoreClosedConnectionsOfItsOwn) {
  const std::string file = dir_.file("own.db");
  const auto store = engine::open_sqlite_file(file, Options{});
  const auto writer = store->connect(engine::Access::write);
  for (int i = 0; i < 3; ++i) store->connect(engine::Access::read)->run("SELECT * FROM kv");
  Outside other(file);
  other.run("SELECT * FROM kv");
  EXPECT_TRUE(store->has_neighbours());
}

TEST_F(Neighbours, AreNoneAlsoWhereThePathIsThatOfALink) {
  std::filesystem::create_directory_symlink(dir_.path(), dir_.path() / "link");
  EXPECT_FALSE(engine::Neighbours(dir_.path() / "link" / "store.db").any(own_connections));
}

TEST_F(Neighbours, OfAStoreAreTheConnectionsOfAnother) {
  const std::string file = dir_.file("own.db");
  KVStore other(file);
  other.set("k", 1);
  const auto store = engine::open_sqlite_file(file, Options{});
  const auto writer = store->connect(engine::Access::write);
  EXPECT_TRUE(store->has_neighbours());
}

}  // namespace
}  // namespace kvstore::test
