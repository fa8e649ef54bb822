#include <kvstore/error.hpp>
#include <kvstore/internal/pages.hpp>

namespace kvstore::internal {

bool Pages::next(std::size_t most) {
  const bool first = rows_.empty();
  const std::string last(first ? std::string_view() : (*this)[rows_.size() - 1].key);
  clear();
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  if (complete_) return false;
  complete_ = true;  // also where reading throws
  session_->read(Span::statement, [&](Reading& reading) {
    Bounds span = bounds(range_, reading.dialect);
    if (!first) (range_.descending ? span.upper : span.lower) = behind(last);
    fill(reading, span, most);
  });
  return !rows_.empty();
}

void Pages::end() noexcept {
  clear();
  complete_ = true;
  failure_ = nullptr;
}

void Pages::clear() noexcept {
  rows_.clear();
  texts_.clear();
}

std::string Pages::behind(std::string key) const {
  if (!range_.descending) key += '\x01';  // no key holds a NUL byte
  return key;
}

/// A damaged entry must not hide those before it, so its error waits until they are taken. Any
/// other error may concern all that was read.
void Pages::fill(Reading& reading, const Bounds& span, std::size_t most) {
  constexpr std::size_t page_bytes = 1U << 20U;
  try {
    each(reading, span.lower, span.upper, range_.descending, [&](const Record& record) {
      if (rows_.size() == most || texts_.size() > page_bytes) {
        complete_ = false;
        return false;
      }
      keep(record);
      return range_.limit == 0 || ++taken_ < range_.limit;
    });
  } catch (const Error& error) {
    if (rows_.empty() || error.code() != ErrorCode::corrupt) {
      clear();
      throw;
    }
    failure_ = std::current_exception();
    complete_ = true;
  } catch (...) {
    clear();
    throw;
  }
}

void Pages::keep(const Record& record) {
  Row row{{texts_.size()}, record.revision, record.checked};
  std::size_t edge = 0;
  for (const std::string_view text :
       {record.key, record.value, record.updated_text, record.expires_text}) {
    texts_ += text;
    row.edges[++edge] = texts_.size();
  }
  rows_.push_back(row);
}

Record Pages::operator[](std::size_t index) const noexcept {
  const Row& row = rows_[index];
  const auto text = [&](std::size_t part) {
    return std::string_view(texts_).substr(row.edges[part], row.edges[part + 1] - row.edges[part]);
  };
  return {text(0), text(1), text(2), text(3), row.revision, row.checked};
}

}  // namespace kvstore::internal
