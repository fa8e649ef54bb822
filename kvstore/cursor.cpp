#include <array>
#include <utility>
#include <vector>

#include <kvstore/cursor.hpp>
#include <kvstore/error.hpp>
#include <kvstore/internal/key.hpp>
#include <kvstore/internal/session.hpp>

namespace kvstore {
namespace internal {

/// Reads a range page by page, each from behind the last key of the one before. A page holds texts,
/// one of which at a time becomes a document: many parsed documents would not stay in the
/// processor's cache until they are looked at.
class Scan {
 public:
  Scan(std::shared_ptr<Session> session, Range range)
      : session_(std::move(session)), range_(std::move(range)) {}

  void start() {
    if (!std::exchange(started_, true)) load(first_page);
  }

  [[nodiscard]] bool at_end() const noexcept { return next_ == rows_.size(); }
  Entry& current() noexcept { return entry_; }

  void step() {
    if (++next_ == rows_.size()) {
      load(full_page);
    } else {
      parse();
    }
  }

 private:
  static constexpr std::size_t first_page = 32, full_page = 256, page_bytes = 1U << 20U;

  /// A record whose four texts stand one behind the other in `texts_`.
  struct Row {
    std::array<std::size_t, 5> edges;
    Record record;
  };

  void load(std::size_t most) {
    const std::string last(rows_.empty() ? std::string_view() : restored(rows_.back()).key);
    const bool first = rows_.empty();
    clear();
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
    if (complete_) return;
    complete_ = true;  // also where reading throws
    session_->read(Span::statement, [&](Reading& reading) {
      Bounds span = bounds(range_, reading.dialect);
      if (!first) (range_.descending ? span.upper : span.lower) = behind(last);
      fill(reading, span, most);
    });
    if (!rows_.empty()) parse();
  }

  void clear() noexcept {
    rows_.clear();
    texts_.clear();
    next_ = 0;
  }

  [[nodiscard]] std::string behind(std::string key) const {
    if (!range_.descending) key += '\x01';  // no key holds a NUL byte
    return key;
  }

  /// A damaged entry must not hide those before it, so its error waits until they are taken.
  void fill(Reading& reading, const Bounds& span, std::size_t most) {
    try {
      each(reading, span.lower, span.upper, range_.descending, [&](const Record& record) {
        if (rows_.size() == most || texts_.size() > page_bytes) {
          complete_ = false;
          return false;
        }
        keep(record);
        return range_.limit == 0 || ++taken_ < range_.limit;
      });
    } catch (const Error&) {
      if (rows_.empty()) throw;
      failure_ = std::current_exception();
      complete_ = true;
    } catch (...) {
      clear();
      throw;
    }
  }

  void keep(const Record& record) {
    Row row{{texts_.size()}, record};
    std::size_t edge = 0;
    for (const std::string_view text :
         {record.key, record.value, record.updated_text, record.expires_text}) {
      texts_ += text;
      row.edges[++edge] = texts_.size();
    }
    rows_.push_back(row);
  }

  [[nodiscard]] Record restored(const Row& row) const noexcept {
    const auto text = [&](std::size_t part) {
      return std::string_view(texts_).substr(row.edges[part],
                                             row.edges[part + 1] - row.edges[part]);
    };
    Record record = row.record;
    record.key = text(0);
    record.value = text(1);
    record.updated_text = text(2);
    record.expires_text = text(3);
    return record;
  }

  void parse() {
    try {
      entry_ = restored(rows_[next_]).entry();
    } catch (...) {
      clear();
      complete_ = true;
      failure_ = nullptr;
      throw;
    }
  }

  std::shared_ptr<Session> session_;
  Range range_;
  std::string texts_;
  std::vector<Row> rows_;
  Entry entry_;
  std::size_t next_ = 0, taken_ = 0;
  bool started_ = false, complete_ = false;
  std::exception_ptr failure_{};
};

}  // namespace internal

Cursor::iterator::reference Cursor::iterator::operator*() const {
  return scan_->current();
}

Cursor::iterator& Cursor::iterator::operator++() {
  scan_->step();
  return *this;
}

bool operator==(const Cursor::iterator& a, const Cursor::iterator& b) noexcept {
  const bool a_ended = a.scan_ == nullptr || a.scan_->at_end();
  const bool b_ended = b.scan_ == nullptr || b.scan_->at_end();
  return a_ended || b_ended ? a_ended == b_ended : a.scan_ == b.scan_;
}

Cursor::Cursor(std::shared_ptr<internal::Session> session, Range range)
    : scan_(std::make_unique<internal::Scan>(std::move(session), std::move(range))) {}
Cursor::Cursor(Cursor&&) noexcept = default;
Cursor& Cursor::operator=(Cursor&&) noexcept = default;
Cursor::~Cursor() noexcept = default;

Cursor::iterator Cursor::begin() {
  if (scan_ == nullptr) throw Error(ErrorCode::misuse, "the cursor was moved from");
  scan_->start();
  return iterator(scan_.get());
}

}  // namespace kvstore
