#pragma once

#include <cstddef>
#include <istream>
#include <optional>
#include <string>
#include <string_view>

#include <kvstore/internal/rows.hpp>

/// Lines of JSON that each hold one entry; see archive.hpp.
namespace kvstore::internal {

/// Appends a record as one line, with the line break.
void append_line(std::string& out, const Record& record);

/// The entry of a line, fit to be stored.
struct LineEntry {
  std::string key{}, text{};
  std::optional<Time> expires_at{}, updated_at{};
  bool updated_some_time = false;  ///< It says that nobody knows when it was updated.
};

/// Throws: invalid_value, invalid_key, naming the byte of the line.
LineEntry parse_line(std::string_view line, const Options& options);

/// Takes a stream apart into lines, in bounded memory.
class LineReader {
 public:
  /// A line of more than `longest` bytes is not kept.
  LineReader(std::istream& in, std::size_t longest) : in_(in), longest_(longest) {}

  /// The next line that is not blank, without its end; of one that is too long, nothing.
  /// Absent: there is none. Valid until: the next call. Throws: io.
  std::optional<std::string_view> next();

  /// Of the line that was read last, from 1.
  [[nodiscard]] std::size_t number() const noexcept { return number_; }
  [[nodiscard]] bool too_long() const noexcept { return too_long_; }

  /// Units: bytes.
  [[nodiscard]] std::uint64_t bytes_read() const noexcept { return bytes_read_; }

 private:
  bool read_line(std::string_view& line);
  bool read_more();

  std::istream& in_;
  std::size_t longest_;
  std::string buffer_;
  std::size_t begin_ = 0;  ///< Of the line that comes next, in the buffer.
  std::size_t number_ = 0;
  std::uint64_t bytes_read_ = 0;
  bool too_long_ = false;
};

}  // namespace kvstore::internal
