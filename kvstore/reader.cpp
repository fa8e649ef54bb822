#include <utility>

#include <kvstore/engine/text.hpp>
#include <kvstore/error.hpp>
#include <kvstore/internal/cache.hpp>
#include <kvstore/internal/codec.hpp>
#include <kvstore/internal/collections.hpp>
#include <kvstore/internal/key.hpp>
#include <kvstore/internal/pointer.hpp>
#include <kvstore/internal/session.hpp>
#include <kvstore/internal/store.hpp>
#include <kvstore/reader.hpp>

namespace kvstore {

using internal::Reading;
using internal::Record;
using internal::Span;

namespace detail {

void refuse_type(ErrorCode code, std::string_view key, const std::string& pointer,
                 const std::string& why) {
  const std::string place = pointer.empty() ? "" : " at " + engine::in_quotes(pointer);
  throw Error(code, "the value of " + engine::in_quotes(key) + place +
                        " has another type than was asked for: " + why);
}

internal::Session& session_of(const Reader& reader) {
  return reader.session();
}

}  // namespace detail

namespace {

bool find(internal::Session& session, std::string_view key, internal::OnRecord on_record) {
  bool found = false;
  session.read(Span::row, [&](Reading& reading) {
    internal::check_key(key, reading.options);
    found = internal::find(reading, key, on_record);
  });
  return found;
}

using Use = internal::Cache::Use;
using Document = internal::Cache::Found;

/// `at`: the only place that is asked for. Of a long document that is not kept, `own` is what
/// stands there, and the rest is not read.
Document read(internal::Session& session, std::string_view key, Use use,
              const json::json_pointer* at = nullptr) {
  internal::Cache* cache = session.cache();
  Document document;
  if (cache != nullptr) document = cache->find(key, use, session.store().clock());
  if (document.kept != nullptr || document.own) return document;
  session.read(Span::row, [&](Reading& reading) {
    internal::check_key(key, reading.options);
    internal::find(reading, key, [&](const Record& record) {
      if (at != nullptr && record.value.size() >= internal::long_text) {
        document.own = record.parsed_at(*at);
        return;
      }
      json value = record.parsed();
      if (cache != nullptr)
        document.kept = cache->keep(key, value, use, record.expires_at(), reading.mark);
      if (document.kept != nullptr) return;
      if (at == nullptr) {
        document.own = std::move(value);
      } else if (const json* place = internal::resolve(value, *at)) {
        document.own = *place;
      }
    });
  });
  return document;
}

}  // namespace

Reader::Reader(std::shared_ptr<internal::Session> session) noexcept
    : session_(std::move(session)) {}
Reader::Reader(Reader&&) noexcept = default;
Reader& Reader::operator=(Reader&&) noexcept = default;
Reader::~Reader() noexcept = default;

internal::Session& Reader::session() const {
  if (session_ == nullptr) {
    throw Error(ErrorCode::misuse, "this handle was moved from; use the one it was moved to");
  }
  return *session_;
}

std::shared_ptr<internal::Session> Reader::shared_session() const {
  static_cast<void>(session());
  return session_;
}

std::optional<json> Reader::get(std::string_view key) const {
  Document document = read(session(), key, Use::copy);
  if (document.kept != nullptr) return *document.kept;
  return std::move(document.own);
}

std::optional<json> Reader::get(std::string_view key, const json::json_pointer& at) const {
  const Document document = read(session(), key, Use::share, &at);
  const json* place = document.kept != nullptr ? document.kept.get() : nullptr;
  if (place != nullptr) place = internal::resolve(*place, at);
  return place != nullptr ? *place : document.own;
}

std::shared_ptr<const json> Reader::get_shared(std::string_view key) const {
  Document document = read(session(), key, Use::share);
  if (document.own) return std::make_shared<const json>(*std::move(document.own));
  return std::move(document.kept);
}

std::optional<std::string> Reader::get_text(std::string_view key) const {
  std::optional<std::string> text;
  find(session(), key, [&](const Record& record) { text = record.text(); });
  return text;
}

template <class Keys>
std::vector<std::optional<json>> Reader::get_each(const Keys& keys) const {
  std::vector<std::optional<json>> values(keys.size());
  session().read(Span::call, [&](Reading& reading) {
    for (const auto& key : keys) internal::check_key(key, reading.options);
    auto value = values.begin();
    for (const auto& key : keys) {
      internal::find(reading, key, [&](const Record& record) { *value = record.parsed(); });
      ++value;
    }
  });
  return values;
}

std::vector<std::optional<json>> Reader::get_many(std::span<const std::string> keys) const {
  return get_each(keys);
}

std::vector<std::optional<json>> Reader::get_many(
    std::initializer_list<std::string_view> keys) const {
  return get_each(keys);
}

std::optional<Entry> Reader::entry(std::string_view key) const {
  std::optional<Entry> entry;
  find(session(), key, [&](const Record& record) { record.fill(entry.emplace()); });
  return entry;
}

bool Reader::contains(std::string_view key) const {
  return find(session(), key, [](const Record&) {});
}

Cursor Reader::scan(Range range) const {
  static_cast<void>(session());
  return {session_, std::move(range)};
}

std::vector<std::string> Reader::keys(Range range) const {
  std::vector<std::string> keys;
  session().read(Span::statement, [&](Reading& reading) {
    internal::each_key(reading, range, [&](std::string_view key) {
      keys.emplace_back(key);
      return true;
    });
  });
  return keys;
}

std::size_t Reader::count(Range range) const {
  std::size_t count = 0;
  session().read(Span::statement,
                 [&](Reading& reading) { count = internal::count(reading, range); });
  return count;
}

std::vector<std::string> Reader::collections() const {
  return internal::collections_below(session(), "");
}

}  // namespace kvstore
