#include <kvstore/internal/footprint.hpp>

namespace kvstore::internal {

namespace {

/// What a value keeps outside of its own 16 bytes.
// NOLINTNEXTLINE(misc-no-recursion): as deep as documents are
std::size_t held(const json& value) {
  switch (value.type()) {
    case json::value_t::object: {
      // A node of std::map: three pointers and a colour before the member.
      constexpr std::size_t node = 4 * sizeof(void*) + sizeof(json::object_t::value_type);
      const auto& members = value.get_ref<const json::object_t&>();
      std::size_t bytes = heap_bytes(sizeof(json::object_t));
      for (const auto& [name, child] : members)
        bytes += heap_bytes(node) + heap_bytes(name) + held(child);
      return bytes;
    }
    case json::value_t::array: {
      const auto& items = value.get_ref<const json::array_t&>();
      std::size_t bytes = heap_bytes(sizeof(json::array_t));
      if (items.capacity() > 0) bytes += heap_bytes(items.capacity() * sizeof(json));
      for (const json& child : items) bytes += held(child);
      return bytes;
    }
    case json::value_t::string: {
      const auto& text = value.get_ref<const std::string&>();
      return heap_bytes(sizeof(std::string)) + heap_bytes(text);
    }
    default:
      return 0;
  }
}

}  // namespace

std::size_t footprint(const json& document) {
  return sizeof(json) + held(document);
}

std::size_t heap_bytes(const std::string& text) {
  static const std::size_t inside = std::string().capacity();
  return text.capacity() > inside ? heap_bytes(text.capacity() + 1) : 0;
}

}  // namespace kvstore::internal
