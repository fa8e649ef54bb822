#pragma once

#include <array>
#include <cstddef>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <kvstore/internal/key.hpp>
#include <kvstore/internal/session.hpp>

namespace kvstore::internal {

/// Reads the live records of a range page by page, each from behind the last key of the one before,
/// so that neither a lock nor a snapshot is held between them.
class Pages {
 public:
  Pages(std::shared_ptr<Session> session, Range range)
      : session_(std::move(session)), range_(std::move(range)) {}

  /// Reads the next page, of at most so many records. False: there is nothing more, and the page
  /// is empty; so it is when this throws.
  bool next(std::size_t most);

  [[nodiscard]] std::size_t size() const noexcept { return rows_.size(); }

  /// Valid until: the next page.
  [[nodiscard]] Record operator[](std::size_t index) const noexcept;

  /// Leaves this page and all that follow.
  void end() noexcept;

 private:
  /// A record whose four texts stand one behind the other in `texts_`.
  struct Row {
    std::array<std::size_t, 5> edges{};
    Revision revision = 0;
    bool checked = true;
  };

  void clear() noexcept;
  [[nodiscard]] std::string behind(std::string key) const;
  void fill(Reading& reading, const Bounds& span, std::size_t most);
  void keep(const Record& record);

  std::shared_ptr<Session> session_;
  Range range_;
  std::string texts_;
  std::vector<Row> rows_;
  std::size_t taken_ = 0;
  bool complete_ = false;
  std::exception_ptr failure_{};
};

}  // namespace kvstore::internal
