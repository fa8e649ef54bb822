#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#include <kvstore/internal/footprint.hpp>
#include <kvstore/internal/packed_document.hpp>

namespace kvstore::internal {
namespace {

using Type = json::value_t;

/// The type that `decode` gives it: an integer is signed only below zero.
Type decoded_type(const json& value) {
  const Type type = value.type();
  if (type == Type::number_integer && value.get<std::int64_t>() >= 0) return Type::number_unsigned;
  return type;
}

/// Each byte holds 7 bits, the lowest first, and whether another follows.
constexpr unsigned digit_bits = 7;
constexpr unsigned char more = 1U << digit_bits;

}  // namespace

/// Each value is its type and what belongs to it: numbers and lengths in as many bytes as they
/// need, other numbers as they are in memory, a string after its length, an array's items after
/// their number, an object's values after the number of its shape.
class PackedDocument::Packer {
 public:
  explicit Packer(PackedDocument& packed) : shapes_(packed.shapes_), values_(packed.values_) {}

  // NOLINTNEXTLINE(misc-no-recursion): as deep as documents are
  void pack(const json& value) {
    const Type type = decoded_type(value);
    values_ += static_cast<char>(type);
    switch (type) {
      case Type::object: {
        const auto& members = value.get_ref<const json::object_t&>();
        put_number(shape_of(members));
        for (const auto& [name, child] : members) pack(child);
        return;
      }
      case Type::array:
        put_number(value.size());
        for (const json& item : value) pack(item);
        return;
      case Type::string: {
        const auto& text = value.get_ref<const std::string&>();
        put_number(text.size());
        values_ += text;
        return;
      }
      case Type::boolean:
        return put_number(value.get<bool>() ? 1 : 0);
      case Type::number_unsigned:
        return put_number(value.get<std::uint64_t>());
      case Type::number_integer:
        return put_memory(value.get<std::int64_t>());
      case Type::number_float:
        return put_memory(value.get<double>());
      default:
        return;
    }
  }

 private:
  void put_number(std::uint64_t number) {
    for (; number >= more; number >>= digit_bits) values_ += static_cast<char>(number | more);
    values_ += static_cast<char>(number);
  }

  template <class Number>
  void put_memory(Number number) {
    char memory[sizeof number];
    std::memcpy(memory, &number, sizeof number);
    values_.append(memory, sizeof number);
  }

  std::size_t shape_of(const json::object_t& members) {
    constexpr std::size_t most_looked_at = 4;
    constexpr auto name = &json::object_t::value_type::first;
    const std::size_t count = shapes_.size();
    for (std::size_t back = 1; back <= std::min(count, most_looked_at); ++back) {
      const auto& shape = shapes_[count - back].get_ref<const json::object_t&>();
      if (std::ranges::equal(members, shape, {}, name, name)) return count - back;
    }
    json::object_t shape;
    for (const auto& member : members) shape.emplace_hint(shape.end(), member.first, nullptr);
    shapes_.emplace_back(std::move(shape));
    return count;
  }

  std::vector<json>& shapes_;
  std::string& values_;
};

class PackedDocument::Unpacker {
 public:
  explicit Unpacker(const PackedDocument& packed)
      : shapes_(packed.shapes_), next_(packed.values_.data()) {}

  /// Fills `value`, which is null.
  // NOLINTNEXTLINE(misc-no-recursion): as deep as documents are
  void unpack(json& value) {
    switch (static_cast<Type>(*next_++)) {
      case Type::object:
        value = json(shapes_[take_number()]);
        for (auto& [name, child] : value.get_ref<json::object_t&>()) unpack(child);
        return;
      case Type::array:
        value = json::array_t(take_number());
        for (json& item : value.get_ref<json::array_t&>()) unpack(item);
        return;
      case Type::string: {
        const std::size_t length = take_number();
        value = std::string_view(next_, length);
        next_ += length;
        return;
      }
      case Type::boolean:
        value = take_number() == 1;
        return;
      case Type::number_unsigned:
        value = take_number();
        return;
      case Type::number_integer:
        value = take_memory<std::int64_t>();
        return;
      case Type::number_float:
        value = take_memory<double>();
        return;
      default:
        return;
    }
  }

 private:
  std::uint64_t take_number() {
    std::uint64_t number = 0;
    for (unsigned shift = 0;; shift += digit_bits) {
      const auto digit = static_cast<unsigned char>(*next_++);
      number |= static_cast<std::uint64_t>(digit & (more - 1U)) << shift;
      if (digit < more) return number;
    }
  }

  template <class Number>
  Number take_memory() {
    Number number;
    std::memcpy(&number, next_, sizeof number);
    next_ += sizeof number;
    return number;
  }

  const std::vector<json>& shapes_;
  const char* next_;
};

PackedDocument::PackedDocument(const json& document) {
  Packer(*this).pack(document);
  shapes_.shrink_to_fit();
  values_.shrink_to_fit();
}

json PackedDocument::unpack() const {
  json document;
  Unpacker(*this).unpack(document);
  return document;
}

std::size_t PackedDocument::bytes() const {
  std::size_t bytes = sizeof(*this) + heap_bytes(values_);
  if (!shapes_.empty()) bytes += heap_bytes(shapes_.capacity() * sizeof(json));
  for (const json& shape : shapes_) bytes += footprint(shape) - sizeof(json);
  return bytes;
}

}  // namespace kvstore::internal
