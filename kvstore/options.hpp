#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>

#include <kvstore/entry.hpp>

namespace kvstore {

/// Told now and then how far a long call has come; false stops it with Error `cancelled`.
/// `total` is 0 where it cannot be known. Units: bytes. Threads: called on that of the call.
using Progress = std::function<bool(std::uint64_t done, std::uint64_t total)>;

/// What an acknowledged write survives.
enum class Durability : std::uint8_t {
  full,   ///< The death of the process and power loss.
  normal  ///< The death of the process. After power loss the newest writes may be gone; what is
          ///< left is a clean prefix of the history.
};

/// How a store is opened. Every field has the default that is right for most programs.
struct Options {
  /// What an acknowledged write survives. Default: full.
  /// Source: https://sqlite.org/pragma.html#pragma_synchronous (3.40), FULL and NORMAL in WAL mode.
  Durability durability = Durability::full;

  /// How long a call waits for other writers, in this process and in others, before it throws
  /// `busy`; more than a year is a year. Units: milliseconds. Default: 5000.
  Duration busy_timeout{5000};

  /// Upper bound of the memory in which documents are kept, those used last; 0 keeps none.
  /// No read gets one that any process has changed since. A store that writes keeps up to as many
  /// bytes again, at least 2 MB, of the pages of its file. Units: bytes. Default: 16 MiB.
  std::size_t cache_bytes = 16U << 20U;

  /// The longest key that is accepted. Units: bytes of UTF-8. Default: 1024.
  std::size_t max_key_bytes = 1024;

  /// The longest JSON text that is accepted as one value. Units: bytes. Default: 64 MiB.
  std::size_t max_value_bytes = 64U << 20U;

  /// Bound of the pages in use, for a cache: each write removes what has expired and then what was
  /// stored longest ago until the bound holds. Storing an entry again makes it young, reading it
  /// does not. An entry that is too large by itself is refused with `full`. A store that holds more
  /// comes within the bound with the next write. Who writes without the bound may exceed it, so
  /// give it to every process that writes. Units: bytes, at least 64 KiB. Default: 0, unbounded.
  std::uint64_t max_bytes = 0;

  /// Open for reading only: nothing is written, not even to bring an older file up to date, and a
  /// file in a directory without write permission can be read. Default: false.
  bool read_only = false;

  /// Create the file when it is missing. Default: true.
  bool create = true;

  /// Permissions of a new file, exactly, whatever the umask. An existing file keeps its own.
  /// Default: 0600.
  std::filesystem::perms file_mode{0600};

  /// The present moment, for tests that inject time. Default: the system clock. Called by any
  /// thread that uses the store, and by that of `KVStore::watch`.
  std::function<Time()> clock{};

  /// Told of failures that no caller could be told of, such as those of background checkpoints and
  /// of the callbacks of `KVStore::watch`. Where a disk failed to store what a checkpoint copied,
  /// the text asks for the store to be opened again: until then the log only grows.
  /// Called on a thread of the library, or on that of the call which it concerns; it must not use
  /// or close the store. What it throws is dropped. Default: nothing.
  std::function<void(std::exception_ptr)> on_background_error{};
};

}  // namespace kvstore
