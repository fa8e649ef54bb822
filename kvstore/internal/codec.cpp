#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include <kvstore/engine/text.hpp>
#include <kvstore/error.hpp>
#include <kvstore/internal/codec.hpp>
#include <kvstore/internal/fast_parse.hpp>

namespace kvstore::internal {
namespace {

std::string escaped(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

[[noreturn]] void refuse(std::string_view key, const std::string& pointer, const std::string& why) {
  const std::string place = pointer.empty() ? "" : " at " + engine::in_quotes(pointer);
  throw Error(ErrorCode::invalid_value,
              "the value of " + engine::in_quotes(key) + place + " cannot be stored: " + why);
}

/// A step on the way from the root to the place that is looked at; costs nothing until it is named.
struct Place {
  const Place* parent = nullptr;
  const std::string* name = nullptr;
  std::size_t index = 0;

  [[nodiscard]] std::string pointer() const {
    if (parent == nullptr) return "";
    return parent->pointer() + '/' + (name != nullptr ? escaped(*name) : std::to_string(index));
  }
};

/// Whether strings are looked at too; `dump` refuses those that are not UTF-8 by itself.
enum class Strings : std::uint8_t { checked, unchecked };

/// Refuses what `dump` would turn into something else.
class Checker {
 public:
  Checker(std::string_view key, const json::json_pointer& at, Strings strings) noexcept
      : key_(key), at_(at), strings_(strings) {}

  // NOLINTNEXTLINE(misc-no-recursion): as deep as max_depth
  void check(const json& value, const Place& place, std::size_t depth) const {
    switch (value.type()) {
      case json::value_t::object:
        check_depth(place, depth);
        for (const auto& [name, child] : value.get_ref<const json::object_t&>()) {
          if (!valid(name)) refuse(place, "a name is not valid UTF-8");
          check(child, Place{&place, &name}, depth + 1);
        }
        break;
      case json::value_t::array: {
        check_depth(place, depth);
        std::size_t index = 0;
        for (const json& child : value.get_ref<const json::array_t&>()) {
          check(child, Place{&place, nullptr, index++}, depth + 1);
        }
        break;
      }
      case json::value_t::string:
        if (!valid(value.get_ref<const std::string&>())) {
          refuse(place, "the string is not valid UTF-8");
        }
        break;
      case json::value_t::number_float:
        if (!std::isfinite(value.get_ref<const double&>())) {
          refuse(place, "JSON has no NaN and no infinity; store null or a string");
        }
        break;
      case json::value_t::binary:
        refuse(place, "JSON has no binary values; encode them as a string");
      case json::value_t::discarded:
        refuse(place, "it is the result of a failed parse");
      default:
        break;
    }
  }

 private:
  void check_depth(const Place& place, std::size_t depth) const {
    if (depth < max_depth) return;
    refuse(place, "it nests deeper than " + std::to_string(max_depth) + " levels");
  }

  [[nodiscard]] bool valid(const std::string& text) const noexcept {
    return strings_ == Strings::unchecked || engine::valid_utf8(text);
  }

  [[noreturn]] void refuse(const Place& place, const std::string& why) const {
    kvstore::internal::refuse(key_, at_.to_string() + place.pointer(), why);
  }

  std::string_view key_;
  const json::json_pointer& at_;
  Strings strings_;
};

void check_size(std::size_t bytes, std::size_t max_bytes, std::string_view key) {
  if (bytes <= max_bytes) return;
  refuse(key, "",
         "its text has " + std::to_string(bytes) +
             " bytes, more than Options::max_value_bytes = " + std::to_string(max_bytes));
}

/// Follows a text through the parser and keeps the place, to refuse what the parser lets pass.
class TextChecker final : public nlohmann::json_sax<json> {
 public:
  explicit TextChecker(std::string_view key) : key_(key) {}

  bool null() override { return value(); }
  bool boolean(bool /*value*/) override { return value(); }
  bool number_integer(number_integer_t /*value*/) override { return value(); }
  bool number_unsigned(number_unsigned_t /*value*/) override { return value(); }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override { return value(); }
  bool string(string_t& /*value*/) override { return value(); }
  bool binary(binary_t& /*value*/) override { return value(); }

  bool start_object(std::size_t /*elements*/) override { return open(true); }
  bool start_array(std::size_t /*elements*/) override { return open(false); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    Level& level = levels_.back();
    level.name = name;
    if (!level.names.insert(name).second) {
      refuse(key_, pointer(), "the name stands twice in one object");
    }
    return true;
  }

  bool parse_error(std::size_t /*position*/, const std::string& /*token*/,
                   const json::exception& error) override {
    refuse(key_, pointer(), std::string("it is not JSON: ") + error.what());
  }

 private:
  struct Level {
    bool object = false;
    std::size_t index = 0;
    std::optional<std::string> name{};  ///< Absent between two members.
    std::set<std::string> names{};
  };

  /// A value has ended.
  bool value() {
    if (!levels_.empty()) {
      ++levels_.back().index;
      levels_.back().name.reset();
    }
    return true;
  }

  bool open(bool object) {
    if (levels_.size() == max_depth) {
      refuse(key_, pointer(), "it nests deeper than " + std::to_string(max_depth) + " levels");
    }
    levels_.push_back({object});
    return true;
  }

  bool close() {
    levels_.pop_back();
    return value();
  }

  [[nodiscard]] std::string pointer() const {
    std::string out;
    for (const Level& level : levels_) {
      if (level.object && !level.name) break;
      out += '/';
      out += level.object ? escaped(*level.name) : std::to_string(level.index);
    }
    return out;
  }

  std::string_view key_;
  std::vector<Level> levels_;
};

}  // namespace

void check_value(const json& value, std::string_view key, const json::json_pointer& at) {
  Checker(key, at, Strings::checked).check(value, Place{}, 0);
}

std::string encode(const json& value, std::string_view key, std::size_t max_bytes) {
  const json::json_pointer root;
  Checker(key, root, Strings::unchecked).check(value, Place{}, 0);
  try {
    std::string text = value.dump();
    check_size(text.size(), max_bytes, key);
    return text;
  } catch (const json::exception&) {
    check_value(value, key);  // names the string that `dump` refused
    throw;
  }
}

void check_text(std::string_view text, std::string_view key, std::size_t max_bytes) {
  check_size(text.size(), max_bytes, key);
  if (text.find('\0') != std::string_view::npos) refuse(key, "", "its text holds a NUL byte");
  if (text.starts_with("\xEF\xBB\xBF")) refuse(key, "", "its text begins with a byte order mark");
  TextChecker checker(key);
  json::sax_parse(text.begin(), text.end(), &checker);
}

json decode(std::string_view text, std::string_view key) {
  if (std::optional<json> value = fast_parse(text)) return *std::move(value);
  try {
    return json::parse(text.begin(), text.end());
  } catch (const json::exception& error) {
    throw Error(ErrorCode::corrupt, "the value of " + engine::in_quotes(key) +
                                        " is damaged: " + error.what() + "; restore a backup");
  }
}

}  // namespace kvstore::internal
