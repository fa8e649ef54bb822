#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include <kvstore/engine/text.hpp>
#include <kvstore/error.hpp>
#include <kvstore/internal/codec.hpp>
#include <kvstore/internal/fast_parse.hpp>
#include <kvstore/internal/pointer.hpp>

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

constexpr std::uint64_t each_byte = 0x0101010101010101U;
constexpr std::uint64_t top_bits = each_byte * 0x80;

/// Whether a byte of `word` must be escaped in a JSON string: below 0x20, `"` or `\\`.
/// Source: https://graphics.stanford.edu/~seander/bithacks.html#HasLessInWord.
bool holds_escape(std::uint64_t word) noexcept {
  const auto holds_below = [](std::uint64_t bytes, std::uint64_t limit) {
    return (bytes - each_byte * limit) & ~bytes & top_bits;
  };
  return (holds_below(word, 0x20) | holds_below(word ^ (each_byte * '"'), 1) |
          holds_below(word ^ (each_byte * '\\'), 1)) != 0;
}

/// How many bytes at the start of `text` stand in a JSON string as they are. `not_bits`: and have
/// none of these bits, which are given eight times.
std::size_t plain_length(std::string_view text, std::uint64_t not_bits = 0) noexcept {
  std::size_t length = 0;
  std::uint64_t word = 0;
  for (; length + sizeof word <= text.size(); length += sizeof word) {
    std::memcpy(&word, text.data() + length, sizeof word);
    if (holds_escape(word) || (word & not_bits) != 0) break;
  }
  const auto plain = [&](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 && byte != '"' && byte != '\\' && (byte & not_bits & 0xFFU) == 0;
  };
  while (length < text.size() && plain(text[length])) ++length;
  return length;
}

/// A text that grows at its end. std::string looks after its capacity and its NUL byte with every
/// byte that is appended, and not inline.
class Output {
 public:
  /// `room`: a string whose memory is used again.
  explicit Output(std::string room) : text_(std::move(room)) {
    // Not all of it: to be resized it is filled with zeros, and a long text may have left it.
    constexpr std::size_t most = 4096;
    text_.resize(std::min(text_.capacity(), most));
  }

  Output& operator<<(char c) {
    if (length_ == text_.size()) grow(1);
    text_[length_++] = c;
    return *this;
  }

  Output& operator<<(std::string_view part) {
    if (text_.size() - length_ < part.size()) grow(part.size());
    part.copy(text_.data() + length_, part.size());
    length_ += part.size();
    return *this;
  }

  [[nodiscard]] std::string take() {
    text_.resize(length_);
    return std::move(text_);
  }

 private:
  void grow(std::size_t bytes) {
    constexpr std::size_t least = 512;
    text_.resize(std::max({least, 2 * text_.size(), length_ + bytes}));
  }

  std::string text_;
  std::size_t length_ = 0;
};

void write_escape(Output& out, char c) {
  constexpr std::string_view short_forms = "b\bf\fn\nr\rt\t\"\"\\\\";
  for (std::size_t i = 0; i < short_forms.size(); i += 2) {
    if (short_forms[i + 1] == c) {
      out << '\\' << short_forms[i];
      return;
    }
  }
  constexpr std::string_view digits = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(c);
  out << "\\u00" << digits[byte >> 4U] << digits[byte & 0x0FU];
}

/// Writes the text that `json::dump` writes, and refuses on the way what that would turn into
/// something else. One walk instead of two, in a third of the time: `dump` decodes every byte.
class Writer {
 public:
  /// `room`: see Output.
  Writer(std::string_view key, const json::json_pointer& at, std::string room = {})
      : key_(key), at_(at), out_(std::move(room)) {}

  // NOLINTNEXTLINE(misc-no-recursion): as deep as max_depth
  void write(const json& value, const Place& place, std::size_t depth) {
    switch (value.type()) {
      case json::value_t::object:
        return write_object(value.get_ref<const json::object_t&>(), place, depth);
      case json::value_t::array:
        return write_array(value.get_ref<const json::array_t&>(), place, depth);
      case json::value_t::string:
        return write_string(value.get_ref<const std::string&>(), place, "the string");
      case json::value_t::number_integer:
        return write_integer(value.get_ref<const std::int64_t&>());
      case json::value_t::number_unsigned:
        return write_integer(value.get_ref<const std::uint64_t&>());
      case json::value_t::number_float:
        return write_float(value.get_ref<const double&>(), place);
      case json::value_t::boolean:
        out_ << std::string_view(value.get_ref<const bool&>() ? "true" : "false");
        return;
      case json::value_t::null:
        out_ << "null";
        return;
      case json::value_t::binary:
        refuse(place, "JSON has no binary values; encode them as a string");
      case json::value_t::discarded:
        refuse(place, "it is the result of a failed parse");
    }
  }

  [[nodiscard]] std::string take() { return out_.take(); }

 private:
  // NOLINTNEXTLINE(misc-no-recursion): as deep as max_depth
  void write_object(const json::object_t& members, const Place& place, std::size_t depth) {
    check_depth(place, depth);
    char before = '{';
    for (const auto& [name, child] : members) {
      out_ << std::exchange(before, ',');
      write_string(name, place, "a name");
      out_ << ':';
      write(child, Place{&place, &name}, depth + 1);
    }
    out_ << std::string_view(members.empty() ? "{}" : "}");
  }

  // NOLINTNEXTLINE(misc-no-recursion): as deep as max_depth
  void write_array(const json::array_t& items, const Place& place, std::size_t depth) {
    check_depth(place, depth);
    char before = '[';
    std::size_t index = 0;
    for (const json& child : items) {
      out_ << std::exchange(before, ',');
      write(child, Place{&place, nullptr, index++}, depth + 1);
    }
    out_ << std::string_view(items.empty() ? "[]" : "]");
  }

  /// `what` is for the error.
  void write_string(std::string_view text, const Place& place, std::string_view what) {
    const std::size_t ascii = plain_length(text, top_bits);
    out_ << '"' << text.substr(0, ascii);
    if (ascii < text.size()) write_rest(text.substr(ascii), place, what);
    out_ << '"';
  }

  void write_rest(std::string_view text, const Place& place, std::string_view what) {
    if (!engine::valid_utf8(text)) refuse(place, std::string(what) + " is not valid UTF-8");
    for (;;) {
      const std::size_t plain = plain_length(text);
      out_ << text.substr(0, plain);
      if (plain == text.size()) return;
      write_escape(out_, text[plain]);
      text.remove_prefix(plain + 1);
    }
  }

  template <class Integer>
  void write_integer(Integer number) {
    std::array<char, 24> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
    out_ << std::string_view(digits.data(), end);
  }

  void write_float(double number, const Place& place) {
    if (!std::isfinite(number)) {
      refuse(place, "JSON has no NaN and no infinity; store null or a string");
    }
    // What `dump` calls: so that both write the same digits.
    std::array<char, 64> digits{};
    char* end = nlohmann::detail::to_chars(digits.data(), digits.data() + digits.size(), number);
    out_ << std::string_view(digits.data(), end);
  }

  void check_depth(const Place& place, std::size_t depth) const {
    if (depth < max_depth) return;
    refuse(place, "it nests deeper than " + std::to_string(max_depth) + " levels");
  }

  [[noreturn]] void refuse(const Place& place, const std::string& why) const {
    kvstore::internal::refuse(key_, at_.to_string() + place.pointer(), why);
  }

  std::string_view key_;
  const json::json_pointer& at_;
  Output out_;
};

void check_size(std::size_t bytes, std::size_t max_bytes, std::string_view key) {
  if (bytes <= max_bytes) return;
  refuse(key, "",
         "its text has " + std::to_string(bytes) +
             " bytes, more than Options::max_value_bytes = " + std::to_string(max_bytes));
}

/// Gives all integers the type that `decode` gives them: they are signed only below zero.
// NOLINTNEXTLINE(misc-no-recursion): as deep as max_depth
void type_as_decoded(json& value) {
  if (value.is_object()) {
    for (auto& [name, child] : value.get_ref<json::object_t&>()) type_as_decoded(child);
  } else if (value.is_array()) {
    for (json& child : value.get_ref<json::array_t&>()) type_as_decoded(child);
  } else if (value.type() == json::value_t::number_integer && value.get<std::int64_t>() >= 0) {
    value = value.get<std::uint64_t>();
  }
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
  Writer(key, at).write(value, Place{}, 0);
}

std::string encode(const json& value, std::string_view key, std::size_t max_bytes,
                   std::string room) {
  const json::json_pointer root;
  Writer writer(key, root, std::move(room));
  writer.write(value, Place{}, 0);
  std::string text = writer.take();
  check_size(text.size(), max_bytes, key);
  return text;
}

void check_text(std::string_view text, std::string_view key, std::size_t max_bytes) {
  check_size(text.size(), max_bytes, key);
  if (text.find('\0') != std::string_view::npos) refuse(key, "", "its text holds a NUL byte");
  if (text.starts_with("\xEF\xBB\xBF")) refuse(key, "", "its text begins with a byte order mark");
  TextChecker checker(key);
  json::sax_parse(text.begin(), text.end(), &checker);
}

json decode(std::string_view text, std::string_view key) {
  json value;
  decode(text, key, value);
  return value;
}

void decode(std::string_view text, std::string_view key, json& out) {
  if (fast_parse(text, out)) return;
  try {
    out = json::parse(text.begin(), text.end());
  } catch (const json::exception& error) {
    throw Error(ErrorCode::corrupt, "the value of " + engine::in_quotes(key) +
                                        " is damaged: " + error.what() + "; restore a backup");
  }
}

json as_decoded(const json& value) {
  json copy = value;
  type_as_decoded(copy);
  return copy;
}

std::optional<json> decode_at(std::string_view text, std::string_view key,
                              const json::json_pointer& at) {
  if (std::optional<Part> part = fast_parse_at(text, at)) return std::move(part->value);
  json document = decode(text, key);
  const json* place = resolve(document, at);
  return place == nullptr ? std::nullopt : std::optional(*place);
}

}  // namespace kvstore::internal
