#include <array>
#include <functional>

#include <kvstore/internal/statements.hpp>
#include <kvstore/internal/version.hpp>

namespace kvstore::internal {
namespace {

using engine::Row;
using engine::Value;

Version version(Revision revision, std::string_view value, std::string_view updated_text,
                std::string_view expires_text) noexcept {
  if (revision != 0) return {revision, 0, expires_text};
  constexpr std::hash<std::string_view> hash;
  constexpr std::size_t odd = 0x9E3779B97F4A7C15;
  return {revision, hash(updated_text) * odd + hash(value), expires_text};
}

void report(Row row, OnVersion on_version) {
  const auto text = [&](std::size_t column) {
    const auto* found = std::get_if<std::string_view>(&row[column]);
    return found == nullptr ? std::string_view() : *found;
  };
  if (!std::holds_alternative<std::string_view>(row[0])) return;  // no key of ours
  const auto* revision = std::get_if<std::int64_t>(&row[4]);
  on_version(text(0), version(revision == nullptr ? 0 : *revision, text(1), text(2), text(3)));
}

}  // namespace

Version version_of(const Record& record) noexcept {
  return version(record.revision, record.value, record.updated_text, record.expires_text);
}

void each_version(const Reading& reading, std::string_view lower, std::string_view upper,
                  OnVersion on_version) {
  reading.connection.run(statements.versions, std::array{Value(lower), Value(upper)}, [&](Row row) {
    report(row, on_version);
    return true;
  });
}

void every_version(const Reading& reading, OnVersion on_version) {
  reading.connection.run(statements.every_version, {}, [&](Row row) {
    report(row, on_version);
    return true;
  });
}

}  // namespace kvstore::internal
