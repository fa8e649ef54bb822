#include <algorithm>
#include <utility>

#include <kvstore/engine/text.hpp>
#include <kvstore/error.hpp>
#include <kvstore/internal/codec.hpp>
#include <kvstore/internal/json_line.hpp>
#include <kvstore/internal/key.hpp>
#include <kvstore/internal/timestamp.hpp>

namespace kvstore::internal {
namespace {

constexpr std::string_view blanks = " \t\r\n";

/// Whether a JSON string of these bytes needs no escapes.
bool is_plain(std::string_view text) noexcept {
  return std::ranges::none_of(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\'; });
}

void append_string(std::string& out, std::string_view text) {
  if (!is_plain(text)) {
    out += json(text).dump();
    return;
  }
  out += '"';
  out += text;
  out += '"';
}

void append_time(std::string& out, std::optional<Time> time) {
  if (time) {
    append_string(out, Timestamp(*time).text());
  } else {
    out += "null";
  }
}

[[noreturn]] void refuse(const std::string& why) {
  throw Error(ErrorCode::invalid_value, why);
}

/// Takes a line apart into the names and values of its object, as texts. It looks no deeper than it
/// must to find their ends: what stands in between is checked by whoever uses it.
class LineScanner {
 public:
  explicit LineScanner(std::string_view line) noexcept : line_(line) {}

  /// Where it is, from 0.
  [[nodiscard]] std::size_t position() const noexcept { return at_; }

  struct Member {
    std::string_view name{};   ///< With its quotes.
    std::size_t value_at = 0;  ///< Where the value begins.
    std::string_view value{};
  };

  /// The next member. Absent: the object has ended, and the line with it.
  std::optional<Member> next() {
    skip_blanks();
    if (std::exchange(first_, false)) {
      expect('{', "it is no JSON object");
      skip_blanks();
      if (take('}')) return end();
    } else {
      if (take('}')) return end();
      expect(',', "a comma or a closing brace is missing");
      skip_blanks();
    }
    Member member;
    member.name = string();
    skip_blanks();
    expect(':', "a colon is missing");
    skip_blanks();
    member.value_at = at_;
    member.value = value();
    return member;
  }

 private:
  std::optional<Member> end() {
    skip_blanks();
    if (at_ != line_.size()) refuse("something follows the object");
    return std::nullopt;
  }

  void skip_blanks() noexcept {
    at_ = std::min(line_.find_first_not_of(blanks, at_), line_.size());
  }

  bool take(char c) noexcept {
    const bool there = at_ < line_.size() && line_[at_] == c;
    if (there) ++at_;
    return there;
  }

  void expect(char c, const char* otherwise) {
    if (!take(c)) refuse(otherwise);
  }

  std::string_view string() {
    const std::size_t begin = at_;
    expect('"', "a name in quotes is missing");
    skip_rest_of_string();
    return line_.substr(begin, at_ - begin);
  }

  void skip_rest_of_string() {
    while (at_ < line_.size() && line_[at_] != '"') at_ += line_[at_] == '\\' ? 2 : 1;
    if (at_ >= line_.size()) {
      at_ = line_.size();
      refuse("a string has no end");
    }
    ++at_;
  }

  std::string_view value() {
    constexpr std::string_view ends_scalar = ",]} \t\r\n";
    const std::size_t begin = at_;
    std::size_t depth = 0;
    while (at_ < line_.size()) {
      const char c = line_[at_];
      if (depth == 0 && ends_scalar.find(c) != std::string_view::npos) break;
      ++at_;
      if (c == '"') skip_rest_of_string();
      if (c == '{' || c == '[') ++depth;
      if (c == '}' || c == ']') --depth;
      if (depth == 0 && (c == '"' || c == '}' || c == ']')) break;
    }
    if (at_ == begin) refuse("a value is missing");
    return line_.substr(begin, at_ - begin);
  }

  std::string_view line_;
  std::size_t at_ = 0;
  bool first_ = true;
};

/// The content of a JSON string.
std::string unquoted(std::string_view text, const char* otherwise) {
  if (text.size() < 2 || text.front() != '"' || text.back() != '"') refuse(otherwise);
  const std::string_view inner = text.substr(1, text.size() - 2);
  if (is_plain(inner)) return std::string(inner);
  try {
    return json::parse(text.begin(), text.end()).get<std::string>();
  } catch (const json::exception& error) {
    refuse(std::string(otherwise) + ": " + error.what());
  }
}

std::optional<Time> time_of(const LineScanner::Member& member) {
  if (member.value == "null") return std::nullopt;
  constexpr const char* form = "a time has the form \"2024-05-01 12:00:00.000\", or is null";
  const std::optional<Time> time = parse_timestamp(unquoted(member.value, form));
  if (!time) refuse(form);
  return time;
}

/// Where the text is no JSON at all, with the parser's own words.
void refuse_syntax(std::string_view line) {
  const auto drop = [](int, json::parse_event_t, json&) { return false; };
  try {
    const json nothing = json::parse(line.begin(), line.end(), drop);
  } catch (const json::parse_error& error) {
    refuse("byte " + std::to_string(error.byte) + ": it is not JSON: " + error.what());
  } catch (const json::exception&) {  // NOLINT(bugprone-empty-catch): the first complaint says more
  }
}

/// Puts the members of a line into an entry.
class LineParser {
 public:
  LineParser(std::string_view line, const Options& options) : scanner_(line), options_(options) {}

  LineEntry parse() {
    while (const std::optional<LineScanner::Member> member = scanner_.next()) take(*member);
    at_ = scanner_.position();
    if (!has_key_) refuse("it has no \"key\"");
    if (text_.empty()) refuse("it has no \"value\"");
    at_ = value_at_;
    check_text(text_, entry_.key, options_.max_value_bytes);
    entry_.text = text_;
    return std::move(entry_);
  }

  /// Where the complaint is about, from 1.
  [[nodiscard]] std::size_t byte() const noexcept { return at_.value_or(scanner_.position()) + 1; }

 private:
  void take(const LineScanner::Member& member) {
    at_ = member.value_at;
    const std::string name = unquoted(member.name, "a name is no JSON string");
    if (name == "key") {
      refuse_second(std::exchange(has_key_, true), name);
      entry_.key = unquoted(member.value, "\"key\" is no JSON string");
      check_key(entry_.key, options_);
    } else if (name == "value") {
      refuse_second(!text_.empty(), name);
      text_ = member.value;
      value_at_ = member.value_at;
    } else if (name == "expires_at") {
      refuse_second(std::exchange(has_expires_at_, true), name);
      entry_.expires_at = time_of(member);
    } else if (name == "updated_at") {
      refuse_second(std::exchange(has_updated_at_, true), name);
      entry_.updated_at = time_of(member);
      if (entry_.updated_at.value_or(Time()) < Time()) refuse("a time before 1970 cannot be kept");
      entry_.updated_some_time = !entry_.updated_at;
    } else {
      refuse("an entry has no " + engine::in_quotes(name) +
             ", but \"key\", \"value\", \"expires_at\" and \"updated_at\"");
    }
    at_.reset();
  }

  static void refuse_second(bool seen, const std::string& name) {
    if (seen) refuse("the name " + engine::in_quotes(name) + " stands twice");
  }

  LineScanner scanner_;
  const Options& options_;
  LineEntry entry_;
  std::string_view text_;
  std::size_t value_at_ = 0;
  bool has_key_ = false, has_expires_at_ = false, has_updated_at_ = false;
  std::optional<std::size_t> at_{};
};

}  // namespace

void append_line(std::string& out, const Record& record) {
  const std::string_view text = record.text();
  out += R"({"key":)";
  append_string(out, record.key);
  out += R"(,"value":)";
  const std::size_t begin = out.size();
  out += text;
  std::replace_if(
      out.begin() + static_cast<std::ptrdiff_t>(begin), out.end(),
      [](char c) { return c == '\n' || c == '\r'; }, ' ');
  out += R"(,"expires_at":)";
  append_time(out, record.expires_at());
  out += R"(,"updated_at":)";
  append_time(out, parse_timestamp(record.updated_text));
  out += "}\n";
}

LineEntry parse_line(std::string_view line, const Options& options) {
  LineParser parser(line, options);
  try {
    return parser.parse();
  } catch (const Error& error) {
    refuse_syntax(line);
    throw Error(error.code(), "byte " + std::to_string(parser.byte()) + ": " + error.what());
  }
}

std::optional<std::string_view> LineReader::next() {
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  std::string_view line;
  while (read_line(line)) {
    if (number_ == 1 && line.starts_with(byte_order_mark)) {
      line.remove_prefix(byte_order_mark.size());
    }
    if (too_long_ || line.find_first_not_of(blanks) != std::string_view::npos) return line;
  }
  return std::nullopt;
}

bool LineReader::read_line(std::string_view& line) {
  too_long_ = false;
  std::size_t looked_at = begin_;
  for (;;) {
    const std::size_t end = buffer_.find('\n', looked_at);
    const bool ended = end != std::string::npos;
    if (!ended && buffer_.size() - begin_ > longest_) {
      too_long_ = true;
      begin_ = buffer_.size();
    }
    if (!ended) {
      buffer_.erase(0, std::exchange(begin_, 0));
      looked_at = buffer_.size();
      if (read_more()) continue;
      if (buffer_.empty() && !too_long_) return false;
    }
    const std::size_t last = ended ? end : buffer_.size();
    line = std::string_view(buffer_).substr(begin_, too_long_ ? 0 : last - begin_);
    if (line.size() > longest_) {
      too_long_ = true;
      line = {};
    }
    begin_ = std::min(last + 1, buffer_.size());
    ++number_;
    return true;
  }
}

bool LineReader::read_more() {
  constexpr std::size_t chunk = 64U << 10U;
  const std::size_t held = buffer_.size();
  buffer_.resize(held + chunk);
  try {
    in_.read(buffer_.data() + held, static_cast<std::streamsize>(chunk));
  } catch (const std::ios_base::failure&) {  // NOLINT(bugprone-empty-catch): told by its state
  }
  const auto got = static_cast<std::size_t>(in_.gcount());
  buffer_.resize(held + got);
  bytes_read_ += got;
  if (in_.bad()) {
    throw Error(ErrorCode::io,
                "the stream of lines cannot be read after byte " + std::to_string(bytes_read_));
  }
  return got > 0;
}

}  // namespace kvstore::internal
