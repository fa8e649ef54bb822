#pragma once

#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <kvstore/cursor.hpp>
#include <kvstore/entry.hpp>
#include <kvstore/typed.hpp>

namespace kvstore {

/// A key of a collection, without the name of the collection, with all that is stored of it.
template <class T>
struct TypedEntry {
  std::string key{};
  T value;  // no initialiser: a T need not have a default
  Revision revision = 0;
  Time updated_at{};
  std::optional<Time> expires_at{};
};

namespace detail {

/// Throws: type_mismatch, out_of_range.
template <class T>
TypedEntry<T> typed(const Entry& entry, std::size_t prefix_length) {
  return {entry.key.substr(prefix_length), as<T>(entry.value, entry.key, nullptr), entry.revision,
          entry.updated_at, entry.expires_at};
}

}  // namespace detail

/// The entries of a collection, in order, read in pages: an input range of `TypedEntry<T>&`. All
/// that is said of `Cursor` holds for it.
///
/// A document becomes a `T` when it is looked at. Where it is none, that throws, and the next step
/// goes on behind it. Throws, looking at an entry: type_mismatch, out_of_range.
template <class T>
class TypedCursor {
  struct Place {
    std::size_t prefix_length = 0;
    std::optional<TypedEntry<T>> entry{};
  };

 public:
  class iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using iterator_concept = std::input_iterator_tag;
    using value_type = TypedEntry<T>;
    using difference_type = std::ptrdiff_t;
    using pointer = TypedEntry<T>*;
    using reference = TypedEntry<T>&;

    iterator() = default;
    reference operator*() const {
      if (!place_->entry) place_->entry.emplace(detail::typed<T>(*at_, place_->prefix_length));
      return *place_->entry;
    }
    pointer operator->() const { return &**this; }
    iterator& operator++() {
      place_->entry.reset();
      ++at_;
      return *this;
    }
    void operator++(int) { ++*this; }

    friend bool operator==(const iterator& a, const iterator& b) noexcept { return a.at_ == b.at_; }

   private:
    friend class TypedCursor;
    iterator(Cursor::iterator at, Place* place) noexcept : at_(at), place_(place) {}

    Cursor::iterator at_{};
    Place* place_ = nullptr;
  };

  /// The entries of `rows`, whose keys are longer by a prefix.
  TypedCursor(Cursor rows, std::size_t prefix_length)
      : rows_(std::move(rows)), place_(std::make_unique<Place>(Place{prefix_length})) {}

  /// Reads the first page, once: a cursor can be walked one time.
  iterator begin() { return {rows_.begin(), place_.get()}; }
  static iterator end() noexcept { return {}; }

 private:
  Cursor rows_;
  std::unique_ptr<Place> place_;
};

}  // namespace kvstore
