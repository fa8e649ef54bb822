#include <algorithm>
#include <istream>
#include <limits>
#include <memory>
#include <ostream>
#include <utility>
#include <vector>

#include <kvstore/archive.hpp>
#include <kvstore/engine/text.hpp>
#include <kvstore/error.hpp>
#include <kvstore/internal/json_line.hpp>
#include <kvstore/internal/pages.hpp>
#include <kvstore/internal/store.hpp>
#include <kvstore/internal/timestamp.hpp>

namespace kvstore {
namespace {

using internal::LineEntry;
using internal::Record;
using internal::Writing;

void refuse_cancelled(const Progress& progress, std::uint64_t done, const char* what) {
  if (progress && !progress(done, 0)) {
    throw Error(ErrorCode::cancelled, std::string(what) +
                                          " was stopped by its progress callback after " +
                                          std::to_string(done) + " bytes");
  }
}

/// The longest line whose entry can be within the limits of a store.
std::size_t longest_line(const Options& options) {
  constexpr std::size_t names_and_times = 1024;
  constexpr std::size_t bytes_per_escape = 6;
  constexpr std::size_t most = std::numeric_limits<std::size_t>::max() / 16;
  return std::min(options.max_value_bytes, most) +
         std::min(options.max_key_bytes, most) * bytes_per_escape + names_and_times;
}

/// Whether a stream is good after a call of it, also one that throws what is wrong.
template <class Call>
bool took(const std::ostream& stream, const Call& call) {
  try {
    call();
  } catch (const std::ios_base::failure&) {
    return false;
  }
  return stream.good();
}

class Import {
 public:
  Import(std::shared_ptr<internal::Session> to, std::istream& from, const ImportOptions& how,
         const Progress& progress)
      : session_(std::move(to)),
        store_(session_->store().shared_from_this()),
        options_(store_->options()),
        lines_(from, longest_line(options_)),
        how_(how),
        progress_(progress) {}

  ImportReport run() {
    if (how_.batch == 0) {
      session_->write([&](Writing& writing) {
        while (read()) store(writing);
      });
    } else {
      while (read()) {
        if (!items_.empty()) session_->write([&](Writing& writing) { store(writing); });
      }
    }
    return report_;
  }

 private:
  struct Item {
    LineEntry entry{};
    std::size_t line = 0;
  };

  /// Reads what is stored next, so that lines are checked before the lock is taken.
  bool read() {
    constexpr std::size_t most_bytes = 4U << 20U;
    constexpr std::size_t most_entries = 1000;
    items_.clear();
    // Lines that are left out count as well, or nobody could stop an import of nothing else.
    std::size_t left_out = 0;
    std::size_t bytes = 0;
    while (items_.size() < (how_.batch == 0 ? most_entries : how_.batch) &&
           left_out < most_entries && bytes < most_bytes) {
      const std::optional<std::string_view> line = lines_.next();
      if (!line) break;
      if (take(*line)) {
        bytes += items_.back().entry.text.size();
      } else {
        ++left_out;
        bytes += lines_.too_long() ? most_bytes : line->size();
      }
    }
    const bool any = !items_.empty() || left_out != 0;
    if (any) refuse_cancelled(progress_, lines_.bytes_read(), "the import");
    return any;
  }

  bool take(std::string_view line) {
    try {
      if (lines_.too_long()) {
        throw Error(ErrorCode::invalid_value,
                    "byte 1: it is longer than any entry within Options::max_key_bytes and "
                    "Options::max_value_bytes");
      }
      items_.push_back({internal::parse_line(line, options_), lines_.number()});
      return true;
    } catch (const Error& error) {
      if (!how_.skip_bad_lines) refuse(error.code(), lines_.number(), error.what());
      ++report_.skipped;
      return false;
    }
  }

  void store(Writing& writing) {
    ImportReport report = report_;
    for (const Item& item : items_) {
      const LineEntry& entry = item.entry;
      if (how_.on_conflict != OnConflict::replace && !admits(writing, item)) {
        ++report.kept;
        continue;
      }
      writing.put({entry.key, entry.text, entry.expires_at, entry.updated_at});
      ++report.stored;
    }
    report_ = report;
  }

  bool admits(Writing& writing, const Item& item) {
    bool admitted = true;
    internal::find(writing, item.entry.key, [&](const Record& record) {
      if (how_.on_conflict == OnConflict::error) {
        refuse(ErrorCode::conflict, item.line,
               "there is an entry " + engine::in_quotes(record.key) + " already");
      }
      const Time stored = internal::parse_timestamp(record.updated_text).value_or(Time());
      admitted = how_.on_conflict == OnConflict::newer && !item.entry.updated_some_time &&
                 item.entry.updated_at.value_or(writing.clock.now()) > stored;
    });
    return admitted;
  }

  [[noreturn]] void refuse(ErrorCode code, std::size_t line, const std::string& why) const {
    const std::string rest =
        how_.batch == 0 ? "nothing was stored"
                        : std::to_string(report_.stored) + " entries of earlier lines were stored";
    throw Error(code, "cannot import line " + std::to_string(line) + ": " + why + "; " + rest);
  }

  // The callback may drop the last handle of either.
  std::shared_ptr<internal::Session> session_;
  std::shared_ptr<internal::Store> store_;
  const Options& options_;
  internal::LineReader lines_;
  const ImportOptions& how_;
  const Progress& progress_;
  ImportReport report_;
  std::vector<Item> items_;
};

}  // namespace

std::size_t export_jsonl(const Reader& from, std::ostream& to, Range range,
                         const Progress& progress) {
  constexpr std::size_t page = 256;
  static_cast<void>(from.session());
  if (to.fail()) {
    throw Error(ErrorCode::io, "the stream of the export cannot be written; was its file opened?");
  }
  internal::Pages pages(from.session_, std::move(range));
  std::size_t entries = 0;
  std::uint64_t written = 0;
  std::string lines;
  while (pages.next(page)) {
    lines.clear();
    for (std::size_t i = 0; i < pages.size(); ++i) internal::append_line(lines, pages[i]);
    if (!took(to, [&] { to.write(lines.data(), static_cast<std::streamsize>(lines.size())); })) {
      break;
    }
    entries += pages.size();
    written += lines.size();
    refuse_cancelled(progress, written, "the export");
  }
  if (!took(to, [&] { to.flush(); })) {
    throw Error(ErrorCode::io, "the stream of the export took no more than " +
                                   std::to_string(written) + " bytes; the disk may be full");
  }
  return entries;
}

ImportReport import_jsonl(Keyspace& to, std::istream& from, const ImportOptions& how,
                          const Progress& progress) {
  std::shared_ptr<internal::Session> session = to.shared_session();
  if (from.fail()) {
    throw Error(ErrorCode::io, "the stream of lines cannot be read; was its file opened?");
  }
  return Import(std::move(session), from, how, progress).run();
}

}  // namespace kvstore
