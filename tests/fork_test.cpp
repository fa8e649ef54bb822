#include "child.hpp"
#include "support.hpp"

namespace kvstore::test {
namespace {

/// "misuse" when the call is refused as it has to be, otherwise what happened instead.
template <class Call>
std::string refusal(Call call) {
  try {
    call();
    return "worked";
  } catch (const Error& error) {
    return std::string(to_string(error.code()));
  }
}

class Fork : public testing::Test {
 protected:
  Fork() : store_(file_) { store_.set("k", 1); }

  /// What a call answers in a forked child.
  template <class Call>
  std::string in_fork(Call call) {
    return in_child([&] { return refusal(call); });
  }

  TempDir dir_;
  std::string file_ = dir_.file("store.db");
  KVStore store_;
};

TEST_F(Fork, MakesEveryReadMisuseInTheChild) {
  EXPECT_EQ(in_fork([&] { static_cast<void>(store_.get("k")); }), "misuse");
  EXPECT_EQ(in_fork([&] { static_cast<void>(store_.get_shared("k")); }), "misuse");
  EXPECT_EQ(in_fork([&] { static_cast<void>(store_.get_text("k")); }), "misuse");
  EXPECT_EQ(in_fork([&] { static_cast<void>(store_.get_many({"k"})); }), "misuse");
  EXPECT_EQ(in_fork([&] { static_cast<void>(store_.entry("k")); }), "misuse");
  EXPECT_EQ(in_fork([&] { static_cast<void>(store_.contains("k")); }), "misuse");
  EXPECT_EQ(in_fork([&] { store_.scan().begin(); }), "misuse");
  EXPECT_EQ(in_fork([&] { static_cast<void>(store_.keys()); }), "misuse");
  EXPECT_EQ(in_fork([&] { static_cast<void>(store_.count()); }), "misuse");
  EXPECT_EQ(in_fork([&] { static_cast<void>(store_.check()); }), "misuse");
  EXPECT_EQ(in_fork([&] { static_cast<void>(store_.stats()); }), "misuse");
}

TEST_F(Fork, MakesEveryWriteMisuseInTheChild) {
  EXPECT_EQ(in_fork([&] { store_.set("k", 2); }), "misuse");
  EXPECT_EQ(in_fork([&] { store_.set("k", "/a"_json_pointer, 2); }), "misuse");
  EXPECT_EQ(in_fork([&] { store_.set_text("k", "2"); }), "misuse");
  EXPECT_EQ(in_fork([&] { store_.insert("n", 2); }), "misuse");
  EXPECT_EQ(in_fork([&] { static_cast<void>(store_.replace("k", 2, 1)); }), "misuse");
  EXPECT_EQ(in_fork([&] { store_.update("k", [](json&) {}); }), "misuse");
  EXPECT_EQ(in_fork([&] { store_.erase("k"); }), "misuse");
  EXPECT_EQ(in_fork([&] { store_.erase_range({}); }), "misuse");
  EXPECT_EQ(in_fork([&] { store_.touch("k", std::nullopt); }), "misuse");
  EXPECT_EQ(in_fork([&] { store_.set_many({{"k", 2}}); }), "misuse");
  EXPECT_EQ(in_fork([&] { store_.purge_expired(); }), "misuse");
}

TEST_F(Fork, MakesACursorOfTheParentMisuseInTheChild) {
  Cursor cursor = store_.scan();
  EXPECT_EQ(in_fork([&] { cursor.begin(); }), "misuse");
}

TEST_F(Fork, SaysWhatToDo) {
  const std::string outcome = in_child([&] {
    store_.set("k", 2);
    return "worked";
  });
  EXPECT_NE(outcome.find("fork()"), std::string::npos) << outcome;
  EXPECT_NE(outcome.find("exec()"), std::string::npos) << outcome;
}

TEST_F(Fork, HarmsNothingWhenTheChildDestroysTheStore) {
  store_.set("before", 1);
  EXPECT_EQ(in_child([&] {
              { const KVStore destroyed = std::move(store_); }
              return "destroyed";
            }),
            "destroyed");
  store_.set("after", 2);
  EXPECT_EQ(in_child([] { return "another process"; }), "another process");
  std::string output;
  EXPECT_EQ(run_program(worker({"get", file_, "after"}), &output), 0);
  EXPECT_EQ(output, "2\n");
  store_.set("later", 3);
  EXPECT_EQ(store_.count(), 4U);
  EXPECT_TRUE(store_.check().ok());
}

TEST_F(Fork, HarmsNothingWhenTheChildClosesTheStore) {
  in_child([&] {
    store_.close();
    return "closed";
  });
  store_.set("after", 2);
  std::string output;
  EXPECT_EQ(run_program(worker({"get", file_, "after"}), &output), 0);
  EXPECT_EQ(output, "2\n");
  EXPECT_EQ(store_.get("k"), json(1));
}

TEST_F(Fork, MakesOpeningTheSameFileMisuseInTheChild) {
  EXPECT_EQ(in_fork([&] { const KVStore again(file_); }), "misuse");
  store_.set("after", 2);
  EXPECT_EQ(store_.get("after"), json(2));
}

TEST_F(Fork, MakesOpeningTheSameFileByAnotherNameMisuseInTheChild) {
  const std::string link = dir_.file("link.db");
  std::filesystem::create_symlink(file_, link);
  EXPECT_EQ(in_fork([&] { const KVStore again(link); }), "misuse");
}

TEST_F(Fork, MakesOpeningTheSameFileMisuseAlsoAfterTheChildDestroyedTheStore) {
  EXPECT_EQ(in_fork([&] {
              { const KVStore destroyed = std::move(store_); }
              const KVStore again(file_);
            }),
            "misuse");
}

TEST_F(Fork, MakesOpeningTheSameFileMisuseInAGrandchild) {
  EXPECT_EQ(in_child([&] { return in_fork([&] { const KVStore again(file_); }); }), "misuse");
}

TEST_F(Fork, LetsTheChildOpenAnotherFile) {
  EXPECT_EQ(in_fork([&] { KVStore(dir_.file("other.db")).set("k", 1); }), "worked");
  EXPECT_EQ(KVStore(dir_.file("other.db")).get("k"), json(1));
}

TEST_F(Fork, LetsTheChildOpenAFileThatTheParentHasClosed) {
  store_.close();
  EXPECT_EQ(in_fork([&] { KVStore(file_).set("k", 2); }), "worked");
  EXPECT_EQ(KVStore(file_).get("k"), json(2));
}

TEST_F(Fork, FollowedByExecWorks) {
  std::string output;
  EXPECT_EQ(run_program(worker({"increment", file_, "k", "5"}), &output), 0) << output;
  EXPECT_EQ(store_.get("k"), json(6));
}

TEST_F(Fork, LeavesAStoreInMemoryToTheParent) {
  KVStore memory(":memory:");
  memory.set("k", 1);
  EXPECT_EQ(in_fork([&] { static_cast<void>(memory.get("k")); }), "misuse");
  EXPECT_EQ(memory.get("k"), json(1));
}

}  // namespace
}  // namespace kvstore::test
