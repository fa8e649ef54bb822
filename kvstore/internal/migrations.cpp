#include <array>
#include <cstdint>
#include <string>

#include <kvstore/error.hpp>
#include <kvstore/internal/migrations.hpp>
#include <kvstore/internal/statements.hpp>
#include <kvstore/internal/timestamp.hpp>

namespace kvstore::internal {
namespace {

using engine::Row;
using engine::Value;

}  // namespace

void each_applied(const Reading& reading, OnApplied on_applied) {
  if (!has_table(reading, "kv_migration")) return;
  int version = 0;
  reading.connection.run(statements.migrations, {}, [&](Row row) {
    ++version;
    if (row[0] != Value(std::int64_t{version})) {
      throw Error(ErrorCode::corrupt, "the table kv_migration lacks step " +
                                          std::to_string(version) +
                                          ", but has a later one; restore it from a backup");
    }
    on_applied(version, text_of(row[1]), parse_timestamp(text_of(row[2])).value_or(Time()));
    return true;
  });
}

void note_applied(Writing& writing, int version, std::string_view name) {
  const Timestamp now(writing.clock.now());
  writing.connection.run(statements.create_migration_table);
  writing.connection.run(statements.note_migration,
                         std::array{Value(std::int64_t{version}), Value(name), Value(now.text())});
}

void note_taken_back(Writing& writing, int version) {
  writing.connection.run(statements.forget_migration, std::array{Value(std::int64_t{version})});
}

}  // namespace kvstore::internal
