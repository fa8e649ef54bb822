#pragma once

#include <optional>

#include <kvstore/entry.hpp>

namespace kvstore::detail {

/// Calls `sink(key, value, expires_at)` with the parts of what `set_many` is given: an `Entry`,
/// something with `key()` and `value()`, or a pair.
template <class Item, class Sink>
void take_apart(const Item& item, Sink&& sink) {
  if constexpr (requires {
                  item.expires_at;
                  item.value;
                }) {
    sink(item.key, item.value, item.expires_at);
  } else if constexpr (requires {
                         item.key();
                         item.value();
                       }) {
    sink(item.key(), item.value(), std::optional<Time>());
  } else {
    const auto& [key, value] = item;
    sink(key, value, std::optional<Time>());
  }
}

}  // namespace kvstore::detail
