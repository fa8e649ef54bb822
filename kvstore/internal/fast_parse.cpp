#include <kvstore/internal/fast_parse.hpp>

// With JSON_DIAGNOSTICS every value knows its parent, which only nlohmann's own code keeps up.
#if defined(KVSTORE_SIMDJSON) && !JSON_DIAGNOSTICS

#include <simdjson.h>

#include <cctype>
#include <cstddef>
#include <cstdint>
#include <string>

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

/// Fills `out`; false: a number that the two parsers may type differently.
// NOLINTNEXTLINE(misc-no-recursion): as deep as the parser goes, which has a limit
bool build(const dom::element& element, Source& source, json& out) {
  switch (element.type()) {
    case dom::element_type::OBJECT: {
      out = json::object();
      auto& members = out.get_ref<json::object_t&>();
      // Names mostly come sorted, as `dump` wrote them. Of equal ones the last counts.
      for (const auto [name, value] : dom::object(element)) {
        const auto member = members.emplace_hint(members.end(), std::string(name), nullptr);
        if (!build(value, source, member->second)) return false;
      }
      return true;
    }
    case dom::element_type::ARRAY: {
      out = json::array();
      auto& items = out.get_ref<json::array_t&>();
      const dom::array array(element);
      items.reserve(array.size());
      for (const dom::element item : array) {
        if (!build(item, source, items.emplace_back())) return false;
      }
      return true;
    }
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
      out = std::string(std::string_view(element));
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

/// Parses a text and builds what stands at a place of it; of the root where `at` is null.
std::optional<Part> parse(dom::parser& parser, std::string_view text,
                          const json::json_pointer* at) {
  dom::element root;
  if (parser.parse(text.data(), text.size()).get(root) != simdjson::SUCCESS) return std::nullopt;
  const std::optional<dom::element> place = at == nullptr ? root : step_to(root, *at);
  Part part;
  Source source{text};
  if (place && !build(*place, source, part.value.emplace())) return std::nullopt;
  return part;
}

std::optional<Part> parse(std::string_view text, const json::json_pointer* at) {
  // A parser keeps the memory that its largest text needed, some ten times as much.
  constexpr std::size_t largest_kept = 64U << 10U;
  if (text.size() > largest_kept) {
    dom::parser once;
    return parse(once, text, at);
  }
  thread_local dom::parser kept;
  return parse(kept, text, at);
}

}  // namespace

std::optional<json> fast_parse(std::string_view text) {
  std::optional<Part> whole = parse(text, nullptr);
  return whole ? std::move(whole->value) : std::nullopt;
}

std::optional<Part> fast_parse_at(std::string_view text, const json::json_pointer& at) {
  return parse(text, &at);
}

}  // namespace kvstore::internal

#else

namespace kvstore::internal {

std::optional<json> fast_parse(std::string_view /*text*/) {
  return std::nullopt;
}

std::optional<Part> fast_parse_at(std::string_view /*text*/, const json::json_pointer& /*at*/) {
  return std::nullopt;
}

}  // namespace kvstore::internal

#endif
