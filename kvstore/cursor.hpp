#pragma once

#include <cstddef>
#include <iterator>
#include <memory>

#include <kvstore/api.hpp>
#include <kvstore/entry.hpp>

namespace kvstore {

namespace internal {
class Scan;
class Session;
}  // namespace internal

/// The entries of a range, in order, read in pages: an input range of `Entry&`.
///
/// Between pages it holds neither locks nor a snapshot, so a scan of any length disturbs nobody,
/// and sees what is written ahead of it. Each step may throw; afterwards the scan is at its end.
///
/// Valid until: the store is closed. Entries: until the next step.
/// Threads: one at a time.
class KVSTORE_API Cursor {
 public:
  class iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using iterator_concept = std::input_iterator_tag;
    using value_type = Entry;
    using difference_type = std::ptrdiff_t;
    using pointer = Entry*;
    using reference = Entry&;

    iterator() = default;
    KVSTORE_API reference operator*() const;
    pointer operator->() const { return &**this; }
    KVSTORE_API iterator& operator++();
    void operator++(int) { ++*this; }

    /// Equal when both are at their end, or both belong to the same scan.
    KVSTORE_API friend bool operator==(const iterator& a, const iterator& b) noexcept;

   private:
    friend class Cursor;
    explicit iterator(internal::Scan* scan) noexcept : scan_(scan) {}
    internal::Scan* scan_ = nullptr;
  };

  Cursor(Cursor&&) noexcept;
  Cursor& operator=(Cursor&&) noexcept;
  ~Cursor() noexcept;

  /// Reads the first page, once: a cursor can be walked one time.
  iterator begin();
  static iterator end() noexcept { return {}; }

 private:
  friend class Reader;
  Cursor(std::shared_ptr<internal::Session> session, Range range);

  std::unique_ptr<internal::Scan> scan_;
};

}  // namespace kvstore
