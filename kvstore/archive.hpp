#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>

#include <kvstore/api.hpp>
#include <kvstore/entry.hpp>
#include <kvstore/keyspace.hpp>
#include <kvstore/options.hpp>
#include <kvstore/reader.hpp>

/// Entries as JSON lines, for other programs and other stores.
///
/// Shape of a line: {"key":"a","value":…,"expires_at":null,"updated_at":"2024-05-01 12:00:00.000"}
/// The names are those of the columns; times are UTC, in the form of the columns. A value is the
/// text that is stored, so that 1, 1.0 and -0 stay what they are; a line break in it, which can
/// only stand between its tokens, becomes a space.
namespace kvstore {

/// What an import does with a key that has an entry already; one that stands on two lines of the
/// import has one the second time.
enum class OnConflict : std::uint8_t {
  replace,  ///< The line is stored.
  keep,     ///< The entry stays.
  newer,    ///< The line is stored if its `updated_at` is later than that of the entry.
  error     ///< The import stops with `conflict`.
};

/// How lines are imported.
struct ImportOptions {
  OnConflict on_conflict = OnConflict::replace;

  /// At most so many entries a transaction; 0 stores all lines or none, and holds the write lock
  /// while it reads them. Inside a Transaction all of them belong to that. Default: 0.
  std::size_t batch = 0;

  /// Whether a line that cannot be stored is left out and counted. Default: it stops the import.
  bool skip_bad_lines = false;
};

/// What became of the lines of an import.
struct ImportReport {
  std::size_t stored = 0;   ///< Entries stored, those included that have expired already.
  std::size_t kept = 0;     ///< Lines that gave way to the entry that was there.
  std::size_t skipped = 0;  ///< Lines that could not be stored.
};

/// Writes the live entries of a range, one a line, in their order. Returns how many there were.
/// Reads page by page, in bounded memory; for one moment of a store, export its `snapshot`.
/// Progress: what was written; the total is not known.
/// Throws: what a read throws; io, when the stream takes no more; cancelled. What was written until
/// then are whole lines.
KVSTORE_API std::size_t export_jsonl(const Reader& from, std::ostream& to, Range range = {},
                                     const Progress& progress = {});

/// Stores lines as `export_jsonl` writes them, in bounded memory. `key` and `value` must be there;
/// without `expires_at` an entry lives for ever, without `updated_at` it was updated now; null is
/// the same as absence, except that `newer` takes it for a time that nobody knows. Any other name
/// is refused, for it may be one of these, mistyped. Revisions are new. White space around a value
/// is not stored.
///
/// Empty lines are passed over; CRLF ends a line as LF does, and so does the end of the input. A
/// byte order mark at the beginning is accepted. With `batch` 0 the stream and the callback run
/// under the write lock and must not use the store.
/// Progress: what was read; the total is not known.
/// Throws: what a write throws. invalid_value, invalid_key: the text names line and byte, counted
/// from 1. conflict: see OnConflict. io: the stream cannot be read. cancelled. The transactions of
/// a `batch` that were complete before stay.
KVSTORE_API ImportReport import_jsonl(Keyspace& to, std::istream& from,
                                      const ImportOptions& how = {}, const Progress& progress = {});

}  // namespace kvstore
