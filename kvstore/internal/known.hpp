#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <kvstore/change.hpp>
#include <kvstore/internal/version.hpp>

namespace kvstore::internal {

/// One key as the store holds it at a moment.
struct Look {
  struct Row {
    Revision revision = 0;
    std::size_t print = 0;
    std::string expires{};
    bool live = false;  ///< False: its expiry has passed.
  };
  std::optional<Row> row{};
  std::optional<json> value{};  ///< Absent also where the version is known.
  std::exception_ptr damage{};  ///< Why the value cannot be read; null also where that is known.
  bool readable = true;
};

/// What a watch knows of the entries under its prefix: the state that its callback was told last,
/// without the values.
class Known {
 public:
  /// Takes note of an entry without telling anybody.
  void note(std::string_view key, const Version& version, bool readable = true);

  /// Reads a key. Throws: what a read throws, except where the row itself is the cause.
  [[nodiscard]] Look look_at(const Reading& reading, std::string_view key) const;

  /// Takes note of what was seen. Absent: nothing that the callback has to be told.
  std::optional<Change> settle(const std::string& key, Look look, std::string_view now);

  /// A comparison with all rows under the prefix: `begin`, `agrees` for each of them, and then
  /// `missing`, which calls back for every entry that did not come.
  void begin_comparison() noexcept { ++comparison_; }
  bool agrees(std::string_view key, const Version& version, std::string_view now);
  void missing(engine::FunctionRef<void(const std::string& key)> on_key) const;

  /// Whether any entry has an expiry.
  [[nodiscard]] bool any_expires() const noexcept { return !expiries_.empty(); }

  /// Calls back for every entry whose expiry has passed.
  void expired(std::string_view now, engine::FunctionRef<void(std::string_view key)> on_key) const;

  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

 private:
  struct State {
    Revision revision = 0;
    std::size_t print = 0;
    std::string expires{};
    std::uint64_t comparison = 0;  ///< The last one in which it came.
    bool readable = true;

    [[nodiscard]] bool has(const Version& version) const noexcept {
      return revision == version.revision && print == version.print;
    }
  };
  struct HashText {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>()(text);
    }
  };

  [[nodiscard]] const State* state_of(std::string_view key) const;
  std::optional<State> take(const std::string& key);

  std::unordered_map<std::string, State, HashText, std::equal_to<>> entries_;
  std::set<std::pair<std::string_view, std::string_view>> expiries_;  ///< Views of `entries_`.
  std::uint64_t comparison_ = 0;
};

}  // namespace kvstore::internal
