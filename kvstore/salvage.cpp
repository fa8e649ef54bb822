#include <array>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include <kvstore/engine/sqlite.hpp>
#include <kvstore/engine/sqlite_open.hpp>
#include <kvstore/engine/sqlite_salvage.hpp>
#include <kvstore/engine/text.hpp>
#include <kvstore/error.hpp>
#include <kvstore/internal/statements.hpp>
#include <kvstore/internal/store.hpp>
#include <kvstore/salvage.hpp>

namespace kvstore {
namespace {

using engine::DamagedStore;
using internal::Writing;

/// Moves what is sound from a damaged store into a new one.
class Rescue {
 public:
  Rescue(DamagedStore& from, Writing& to) : from_(from), to_(to) {}

  SalvageReport run() {
    from_.each_row([&](engine::Row row, DamagedStore::Place place) { take(row, place); });
    const bool all_keys = from_.each_key([&](std::string_view key) {
      if (!to_.has_row(key)) note_lost(key, "its row is damaged or gone");
    });
    if (!all_keys) {
      note("", "the index of the keys is damaged too: keys that are not named here may be lost");
      for (const auto& [key, problem] : damaged_) {
        if (!to_.has_row(key)) note_lost(key, problem);
      }
    }
    to_.raise_floor(from_.floor());
    restore_migrations();
    for (const std::string& remark : from_.remarks()) note("", remark);
    report_.saved = to_.count_rows();
    report_.unreadable_pages = from_.unreadable_pages();
    return std::move(report_);
  }

 private:
  static constexpr std::size_t most_problems = 1000;

  void take(engine::Row row, DamagedStore::Place place) {
    if (place == DamagedStore::Place::astray && !internal::has_checksum(row)) return;
    std::string problem = internal::problem_of(row);
    if (problem.empty()) return to_.restore(row);
    const auto* key = std::get_if<std::string_view>(row.data());
    if (key != nullptr && damaged_.size() < most_problems) {
      damaged_.emplace(*key, std::move(problem));
    }
  }

  /// Without them the next `migrate` would take every step again, on documents that have been
  /// through it.
  void restore_migrations() {
    from_.each_migration([&](std::int64_t version, engine::Row name_and_time) {
      to_.connection.run(internal::statements.create_migration_table);
      to_.connection.run(internal::statements.note_migration,
                         std::array{engine::Value(version), name_and_time[0], name_and_time[1]});
    });
  }

  void note_lost(std::string_view key, const std::string& what) {
    if (!lost_.emplace(key).second) return;
    ++report_.lost;
    note(key, what);
  }

  void note(std::string_view key, const std::string& what) {
    if (report_.problems.size() < most_problems) {
      report_.problems.push_back({std::string(key), what});
    }
  }

  DamagedStore& from_;
  Writing& to_;
  SalvageReport report_;
  std::map<std::string, std::string, std::less<>> damaged_;  ///< Keys as damaged rows have them.
  std::set<std::string, std::less<>> lost_;
};

void refuse_existing(const engine::DatabaseFile& to) {
  if (!to.known() && !to.has_log()) return;
  throw Error(ErrorCode::conflict, "cannot salvage into " + to.name() +
                                       ": there is a file already, or the log of one; remove it, "
                                       "or choose another path");
}

/// Closing a store moves its log into the file, and cannot tell when that fails.
void refuse_unfinished(const engine::StagedFile& result) {
  if (!engine::DatabaseFile(result.path(), {}).has_log()) return;
  throw Error(ErrorCode::full, "cannot finish " + engine::in_quotes(result.path()) +
                                   ": its log does not go into the file; make room");
}

}  // namespace

SalvageReport salvage(const std::filesystem::path& from, const std::filesystem::path& to,
                      const Options& how, const Progress& progress) {
  const engine::DatabaseFile place(to.native(), {});
  refuse_existing(place);
  engine::StagedFile result(place.path(), how.file_mode);
  SalvageReport report;
  {
    const engine::StagedFile pages(place.path() + ".pages", how.file_mode);
    DamagedStore damaged(from.native(), pages, progress);
    Options options = how;
    options.read_only = false;
    options.max_bytes = 0;                    // or what was saved would be evicted
    options.durability = Durability::normal;  // it is made durable before it takes its place
    const auto store = std::make_shared<internal::Store>(
        engine::open_sqlite_file(result.path(), options), options);
    store->write([&](Writing& writing) { report = Rescue(damaged, writing).run(); });
    store->close();
    refuse_unfinished(result);
    if (report.saved == 0 && damaged.is_doubtful()) {
      throw Error(ErrorCode::not_a_store, "there is nothing to salvage: no page of " +
                                              engine::in_quotes(from.native()) +
                                              " holds an entry of a store");
    }
  }
  result.take_place(engine::StagedFile::Existing::kept);
  return report;
}

}  // namespace kvstore
