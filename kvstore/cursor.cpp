#include <utility>

#include <kvstore/cursor.hpp>
#include <kvstore/error.hpp>
#include <kvstore/internal/pages.hpp>

namespace kvstore {
namespace internal {

/// The entries of a range, one of which at a time becomes a document: many parsed documents would
/// not stay in the processor's cache until they are looked at. The next one takes its place, and
/// as much of its memory as it can: to allocate a document's parts takes longer than to parse it.
class Scan {
 public:
  Scan(std::shared_ptr<Session> session, Range range)
      : pages_(std::move(session), std::move(range)) {}

  void start() {
    if (!std::exchange(started_, true)) load(first_page);
  }

  [[nodiscard]] bool at_end() const noexcept { return next_ == pages_.size(); }
  Entry& current() noexcept { return entry_; }

  void step() {
    if (++next_ == pages_.size()) {
      load(full_page);
    } else {
      parse();
    }
  }

 private:
  static constexpr std::size_t first_page = 32, full_page = 256;

  void load(std::size_t most) {
    next_ = 0;
    entry_.value = nullptr;  // its parts may each be as large as they ever were
    if (pages_.next(most)) parse();
  }

  void parse() {
    try {
      pages_[next_].fill(entry_);
    } catch (...) {
      pages_.end();
      next_ = 0;
      throw;
    }
  }

  Pages pages_;
  Entry entry_;
  std::size_t next_ = 0;
  bool started_ = false;
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
