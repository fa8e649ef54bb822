#include <limits>
#include <utility>

#include <kvstore/engine/text.hpp>
#include <kvstore/error.hpp>
#include <kvstore/internal/codec.hpp>
#include <kvstore/internal/json_patch.hpp>
#include <kvstore/internal/key.hpp>
#include <kvstore/internal/pointer.hpp>
#include <kvstore/internal/session.hpp>
#include <kvstore/internal/store.hpp>
#include <kvstore/keyspace.hpp>

namespace kvstore {

using internal::Grouping;
using internal::Record;
using internal::Session;
using internal::Writing;

namespace {

/// What is known of an entry that is about to be changed.
struct Existing {
  json value{};
  Revision revision = 0;
  std::optional<Time> expires_at{};
};

std::optional<Revision> stored_revision(Writing& writing, std::string_view key) {
  std::optional<Revision> revision;
  internal::find(writing, key, [&](const Record& record) { revision = record.revision; });
  return revision;
}

std::optional<Existing> existing(Writing& writing, std::string_view key) {
  std::optional<Existing> found;
  internal::find(writing, key, [&](const Record& record) {
    found = Existing{record.parsed(), record.revision, record.expires_at()};
  });
  return found;
}

/// Checks and encodes outside the write lock, then stores if `admit` says so.
std::optional<Revision> store_if(Session& session, std::string_view key, const json& value,
                                 const SetOptions& how, engine::FunctionRef<bool(Writing&)> admit) {
  const Options& options = session.store().options();
  internal::check_key(key, options);
  const std::string text = internal::encode(value, key, options.max_value_bytes);
  std::optional<Revision> revision;
  session.write(Grouping::grouped, [&](Writing& writing) {
    revision.reset();  // it may run again
    if (admit(writing)) revision = writing.put({key, text, writing.expiry(how)}, &value);
  });
  return revision;
}

/// Changes a value under the write lock; the expiry stays. `initial` serves an absent entry; null
/// leaves it absent.
std::optional<json> change_in_place(Session& session, std::string_view key, const json* initial,
                                    engine::FunctionRef<void(json&)> change, Revision& revision,
                                    Grouping grouping = Grouping::grouped) {
  const Options& options = session.store().options();
  internal::check_key(key, options);
  std::optional<json> result;
  session.write(grouping, [&](Writing& writing) {
    result.reset();  // it may run again
    std::optional<Existing> entry = existing(writing, key);
    if (!entry && initial == nullptr) return;
    if (!entry) entry.emplace(Existing{*initial});
    change(entry->value);
    const std::string text = internal::encode(entry->value, key, options.max_value_bytes);
    result = std::move(entry->value);
    revision = writing.put({key, text, entry->expires_at}, &*result);
  });
  return result;
}

/// Throws: type_mismatch, out_of_range.
std::int64_t sum(const json& number, std::int64_t by, std::string_view key) {
  if (!number.is_number_integer()) {
    throw Error(ErrorCode::type_mismatch,
                "cannot increment the value of " + engine::in_quotes(key) +
                    ": type must be integer, but is " + number.type_name());
  }
  std::int64_t result = 0;
  const bool too_large =
      number.is_number_unsigned() && !std::in_range<std::int64_t>(number.get<std::uint64_t>());
  if (too_large || __builtin_add_overflow(number.get<std::int64_t>(), by, &result)) {
    throw Error(ErrorCode::out_of_range, "cannot add " + std::to_string(by) + " to the value of " +
                                             engine::in_quotes(key) + ", which is " +
                                             number.dump() + ": the sum is no 64-bit integer");
  }
  return result;
}

}  // namespace

Keyspace::Keyspace(std::shared_ptr<internal::Session> session) noexcept
    : Reader(std::move(session)) {}

Revision Keyspace::set(std::string_view key, const json& value, SetOptions how) {
  return *store_if(session(), key, value, how, [](Writing&) { return true; });
}

Revision Keyspace::set(std::string_view key, const json::json_pointer& at, const json& value) {
  internal::check_value(value, key, at);
  Revision revision = 0;
  const json initial = json::object();
  change_in_place(
      session(), key, &initial, [&](json& document) { internal::assign(document, at, value, key); },
      revision);
  return revision;
}

Revision Keyspace::set_text(std::string_view key, std::string_view json_text, SetOptions how) {
  const Options& options = session().store().options();
  internal::check_key(key, options);
  internal::check_text(json_text, key, options.max_value_bytes);
  Revision revision = 0;
  session().write(Grouping::grouped, [&](Writing& writing) {
    revision = writing.put({key, json_text, writing.expiry(how)});
  });
  return revision;
}

std::optional<Revision> Keyspace::insert(std::string_view key, const json& value, SetOptions how) {
  return store_if(session(), key, value, how,
                  [&](Writing& writing) { return !stored_revision(writing, key); });
}

std::optional<Revision> Keyspace::replace(std::string_view key, const json& value,
                                          Revision expected, SetOptions how) {
  return store_if(session(), key, value, how,
                  [&](Writing& writing) { return stored_revision(writing, key) == expected; });
}

std::optional<json> Keyspace::update(std::string_view key,
                                     const std::function<void(json&)>& change) {
  Revision revision = 0;
  return change_in_place(session(), key, nullptr, change, revision, Grouping::alone);
}

// NOLINTNEXTLINE(performance-unnecessary-value-param): the face takes it by value
json Keyspace::update(std::string_view key, json initial,
                      const std::function<void(json&)>& change) {
  internal::check_value(initial, key);
  Revision revision = 0;
  return *change_in_place(session(), key, &initial, change, revision, Grouping::alone);
}

json Keyspace::merge(std::string_view key, const json& patch) {
  internal::check_value(patch, key);
  const json initial = json::object();
  Revision revision = 0;
  return *change_in_place(
      session(), key, &initial, [&](json& document) { document.merge_patch(patch); }, revision);
}

json Keyspace::patch(std::string_view key, const json& operations) {
  internal::check_value(operations, key);
  Revision revision = 0;
  std::optional<json> result = change_in_place(
      session(), key, nullptr,
      [&](json& document) { internal::apply_patch(document, operations, key); }, revision);
  if (!result) {
    throw Error(ErrorCode::conflict, "cannot patch the value of " + engine::in_quotes(key) +
                                         ": there is none; set it first");
  }
  return *std::move(result);
}

std::int64_t Keyspace::increment(std::string_view key, std::int64_t by) {
  return increment(key, json::json_pointer(), by);
}

std::int64_t Keyspace::increment(std::string_view key, const json::json_pointer& at,
                                 std::int64_t by) {
  const json initial = at.empty() ? json(0) : json::object();
  std::int64_t result = 0;
  Revision revision = 0;
  change_in_place(
      session(), key, &initial,
      [&](json& document) {
        const json* number = internal::resolve(std::as_const(document), at);
        result = number == nullptr ? by : sum(*number, by, key);
        internal::assign(document, at, result, key);
      },
      revision);
  return result;
}

bool Keyspace::erase(std::string_view key) {
  internal::check_key(key, session().store().options());
  bool erased = false;
  session().write(Grouping::grouped, [&](Writing& writing) {
    const std::optional<Revision> revision = stored_revision(writing, key);
    if (revision) writing.erase(key, *revision);
    erased = revision.has_value();
  });
  return erased;
}

bool Keyspace::erase(std::string_view key, Revision expected) {
  internal::check_key(key, session().store().options());
  bool erased = false;
  session().write(Grouping::grouped, [&](Writing& writing) {
    erased = stored_revision(writing, key) == expected;
    if (erased) writing.erase(key, expected);
  });
  return erased;
}

std::size_t Keyspace::erase_range(const Range& range) {
  std::size_t erased = 0;
  session().write([&](Writing& writing) {
    internal::Bounds span = internal::bounds(range, writing.dialect);
    std::optional<std::string> last;
    if (range.limit != 0) last = internal::key_at(writing, range, range.limit - 1);
    if (last) {
      erased = range.limit;
      (range.descending ? span.lower : span.upper) = *last + (range.descending ? "" : "\x01");
    } else {
      erased = internal::count(writing, range);
    }
    writing.erase_span(span.lower, span.upper);
  });
  return erased;
}

bool Keyspace::touch(std::string_view key, std::optional<Duration> ttl) {
  internal::check_key(key, session().store().options());
  bool touched = false;
  session().write(Grouping::grouped, [&](Writing& writing) {
    touched = stored_revision(writing, key).has_value();
    if (touched) writing.touch(key, writing.expiry({.ttl = ttl}));
  });
  return touched;
}

std::size_t Keyspace::set_each(const NextItem& next, const SetOptions& how) {
  const Options& options = session().store().options();
  std::size_t items = 0;
  session().write([&](Writing& writing) {
    const std::optional<Time> expires_at = writing.expiry(how);
    std::string key;
    std::string text;
    std::optional<Time> item_expiry;
    const ItemSink sink = [&](std::string_view item_key, const json& value,
                              const std::optional<Time>& own_expiry) {
      internal::check_key(item_key, options);
      key = item_key;
      text = internal::encode(value, key, options.max_value_bytes, std::move(text));
      item_expiry = how.ttl ? expires_at : own_expiry;
    };
    items = writing.put_many([&](Writing::Item& item) {
      if (!next(sink)) return false;
      item = {key, text, item_expiry};
      return true;
    });
  });
  return items;
}

}  // namespace kvstore
