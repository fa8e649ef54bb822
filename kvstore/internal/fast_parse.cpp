#include <kvstore/internal/fast_parse.hpp>

// With JSON_DIAGNOSTICS every value knows its parent, which only nlohmann's own code keeps up.
#if defined(KVSTORE_SIMDJSON) && !JSON_DIAGNOSTICS

#include <simdjson.h>

#include <cctype>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include <kvstore/engine/function_ref.hpp>
#include <kvstore/internal/pointer.hpp>

namespace kvstore::internal {
namespace {

namespace dom = simdjson::dom;

/// Whether a text may hold the integer -0. nlohmann reads it as a signed 0, simdjson as any other.
bool may_hold_minus_zero(std::string_view text) {
  const auto is = [&](std::size_t place, int (*kind)(int)) {
    return place < text.size() && kind(static_cast<unsigned char>(text[place])) != 0;
  };
  for (std::size_t at = text.find("-0"); at != std::string_view::npos;
       at = text.find("-0", at + 2)) {
    const bool in_a_word = is(at - 1, std::isalnum);
    const bool goes_on = is(at + 2, std::isdigit) || (at + 2 < text.size() && text[at + 2] == '.');
    if (!in_a_word && !goes_on) return true;
  }
  return false;
}

/// The text that is parsed, searched at most once however many zeros it holds.
struct Source {
  std::string_view text;
  std::optional<bool> minus_zero{};

  bool holds_minus_zero() {
    if (!minus_zero) minus_zero = may_hold_minus_zero(text);
    return *minus_zero;
  }
};

bool build(const dom::element& element, Source& source, json& out);

/// Makes `out` an empty container, unless it is one already: its parts are to be used again.
template <typename Container>
Container& contained(json& out) {
  if (out.get_ptr<Container*>() == nullptr) out = Container();
  return out.get_ref<Container&>();
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as the parser goes, which has a limit
bool build_object(const dom::object& object, Source& source, json::object_t& members) {
  auto next = members.begin();
  // Names mostly come sorted, as `dump` wrote them. Of equal ones the last counts.
  for (const auto [name, value] : object) {
    auto member = next;
    if (next != members.end() && next->first == name) {
      ++next;
    } else {
      next = members.erase(next, members.end());
      member = members.emplace_hint(next, std::string(name), nullptr);
    }
    if (!build(value, source, member->second)) return false;
  }
  members.erase(next, members.end());
  return true;
}

// NOLINTNEXTLINE(misc-no-recursion): as above
bool build_array(const dom::array& array, Source& source, json::array_t& items) {
  items.reserve(array.size());
  std::size_t count = 0;
  for (const dom::element item : array) {
    if (count == items.size()) items.emplace_back();
    if (!build(item, source, items[count++])) return false;
  }
  items.resize(count);
  return true;
}

/// Fills `out`; false: a number that the two parsers may type differently.
// NOLINTNEXTLINE(misc-no-recursion): as deep as the parser goes, which has a limit
bool build(const dom::element& element, Source& source, json& out) {
  switch (element.type()) {
    case dom::element_type::OBJECT:
      return build_object(element, source, contained<json::object_t>(out));
    case dom::element_type::ARRAY:
      return build_array(element, source, contained<json::array_t>(out));
    case dom::element_type::INT64: {
      const auto number = std::int64_t(element);
      if (number == 0 && source.holds_minus_zero()) return false;
      // As nlohmann does it: signed only below zero.
      if (number < 0) {
        out = number;
      } else {
        out = static_cast<std::uint64_t>(number);
      }
      return true;
    }
    case dom::element_type::UINT64:
      out = std::uint64_t(element);
      return true;
    case dom::element_type::DOUBLE:
      out = double(element);
      return true;
    case dom::element_type::STRING:
      contained<json::string_t>(out) = std::string_view(element);
      return true;
    case dom::element_type::BOOL:
      out = bool(element);
      return true;
    case dom::element_type::NULL_VALUE:
      out = nullptr;
      return true;
  }
  return false;
}

/// Follows a pointer; nullopt when nothing stands there.
std::optional<dom::element> step_to(dom::element place, const json::json_pointer& at) {
  for (const std::string& token : tokens(at)) {
    dom::element next;
    simdjson::error_code missing = simdjson::NO_SUCH_FIELD;
    if (place.is_object()) {
      missing = place.get_object().value_unsafe().at_key(token).get(next);
    } else if (place.is_array()) {
      if (const auto index = array_index(token)) {
        missing = place.get_array().value_unsafe().at(*index).get(next);
      }
    }
    if (missing != simdjson::SUCCESS) return std::nullopt;
    place = next;
  }
  return place;
}

/// Hands the root of a text to `use`. Returns what that returns, or false for what is no text.
bool with_root(std::string_view text, engine::FunctionRef<bool(const dom::element&)> use) {
  const auto parse = [&](dom::parser& parser) {
    dom::element root;
    return parser.parse(text.data(), text.size()).get(root) == simdjson::SUCCESS && use(root);
  };
  // A parser keeps the memory that its largest text needed, some ten times as much.
  constexpr std::size_t largest_kept = 64U << 10U;
  if (text.size() > largest_kept) {
    dom::parser once;
    return parse(once);
  }
  thread_local dom::parser kept;
  return parse(kept);
}

}  // namespace

bool fast_parse(std::string_view text, json& out) {
  Source source{text};
  return with_root(text, [&](const dom::element& root) { return build(root, source, out); });
}

std::optional<Part> fast_parse_at(std::string_view text, const json::json_pointer& at) {
  Part part;
  Source source{text};
  const bool known = with_root(text, [&](const dom::element& root) {
    const std::optional<dom::element> place = step_to(root, at);
    return !place || build(*place, source, part.value.emplace());
  });
  return known ? std::optional(std::move(part)) : std::nullopt;
}

}  // namespace kvstore::internal

#else

namespace kvstore::internal {

bool fast_parse(std::string_view /*text*/, json& /*out*/) {
  return false;
}

std::optional<Part> fast_parse_at(std::string_view /*text*/, const json::json_pointer& /*at*/) {
  return std::nullopt;
}

}  // namespace kvstore::internal

#endif
