#pragma once

#include <cstdint>

#include <kvstore/engine/function_ref.hpp>
#include <kvstore/internal/rows.hpp>

namespace kvstore::internal {

class Cache;
class Store;

/// How much a read must see of one moment.
enum class Span : std::uint8_t {
  row,        ///< A row, which is all that each statement reads.
  statement,  ///< Each statement by itself.
  call        ///< All statements of the call.
};

/// Whether a write may share its transaction with other calls. It runs on any thread of theirs
/// then, so it must not run the caller's code.
enum class Grouping : std::uint8_t { alone, grouped };

/// Where the calls of a handle run: on the store itself, one transaction a call, or inside a
/// transaction or snapshot that lives longer.
class Session {
 public:
  Session() = default;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  Session(Session&&) = delete;
  Session& operator=(Session&&) = delete;
  virtual ~Session() = default;

  virtual void read(Span span, engine::FunctionRef<void(Reading&)> body) = 0;

  /// All of `body` is stored, or none of it when it throws. A grouped one may be repeated.
  virtual void write(Grouping grouping, engine::FunctionRef<void(Writing&)> body) = 0;

  void write(engine::FunctionRef<void(Writing&)> body) { write(Grouping::alone, body); }

  virtual Store& store() noexcept = 0;

  /// Where documents are kept that were read; null where a read must not take from it.
  /// Throws: misuse.
  virtual Cache* cache() { return nullptr; }
};

}  // namespace kvstore::internal
