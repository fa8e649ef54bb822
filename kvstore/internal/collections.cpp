#include <algorithm>
#include <array>

#include <kvstore/engine/text.hpp>
#include <kvstore/error.hpp>
#include <kvstore/internal/collections.hpp>
#include <kvstore/internal/key.hpp>
#include <kvstore/internal/statements.hpp>
#include <kvstore/internal/timestamp.hpp>

namespace kvstore::internal {
namespace {

using engine::Row;
using engine::Value;

[[noreturn]] void refuse(std::string_view name, const std::string& why) {
  throw Error(ErrorCode::invalid_key, "the collection name " + engine::in_quotes(name) + ' ' + why);
}

/// The first key of a span that has a `/` behind its first `skip` bytes, up to and with that `/`.
std::string first_name(const Reading& reading, const Bounds& span, std::size_t skip) {
  std::string found;
  reading.connection.run(statements.keys_with_expired,
                         std::array{Value(span.lower), Value(span.upper)}, [&](Row row) {
                           const auto* key = std::get_if<std::string_view>(row.data());
                           if (key == nullptr) return true;
                           const std::size_t slash = key->find('/', skip);
                           if (slash == std::string_view::npos) return true;
                           found = key->substr(0, slash + 1);
                           return false;
                         });
  return found;
}

bool any_live(const Reading& reading, const Bounds& span) {
  const Timestamp now(reading.clock.now());
  bool any = false;
  reading.connection.run(statements.any_live,
                         std::array{Value(span.lower), Value(span.upper), Value(now.text())},
                         [&](Row) {
                           any = true;
                           return false;
                         });
  return any;
}

}  // namespace

void check_collection_name(std::string_view name) {
  if (name.empty()) refuse(name, "is empty; give it a name");
  if (name.find('\0') != std::string_view::npos) refuse(name, "holds a NUL byte; leave it out");
  if (!engine::valid_utf8(name)) refuse(name, "is not valid UTF-8; encode it first");
  if (name.front() == '/' || name.back() == '/') {
    refuse(name, "begins or ends with '/'; that is put between name and key by the library");
  }
  if (name.find("//") != std::string_view::npos) {
    refuse(name, "has nothing between two '/'; leave one out");
  }
}

std::vector<std::string> collections_below(Session& session, std::string_view prefix) {
  std::vector<std::string> names;
  session.read(Span::call, [&](Reading& reading) {
    names.clear();
    Bounds rest = bounds({.prefix = std::string(prefix)}, reading.dialect);
    for (;;) {
      const std::string found = first_name(reading, rest, prefix.size());
      if (found.empty()) break;
      const Bounds collection = bounds({.prefix = found}, reading.dialect);
      const std::string_view name =
          std::string_view(found).substr(prefix.size(), found.size() - prefix.size() - 1);
      if (!name.empty() && any_live(reading, collection)) names.emplace_back(name);
      rest.lower = collection.upper;
    }
  });
  // The keys came in order, but in them a name ends with a '/'.
  std::ranges::sort(names);
  return names;
}

}  // namespace kvstore::internal
