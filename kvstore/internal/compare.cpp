#include <algorithm>
#include <bit>
#include <cstdint>
#include <utility>

#include <kvstore/internal/compare.hpp>

namespace kvstore::internal {
namespace {

bool same_integer(const json& a, const json& b) {
  const bool a_large = a.is_number_unsigned();
  const bool b_large = b.is_number_unsigned();
  if (a_large && b_large) return a.get<std::uint64_t>() == b.get<std::uint64_t>();
  if (a_large) return std::cmp_equal(a.get<std::uint64_t>(), b.get<std::int64_t>());
  if (b_large) return std::cmp_equal(a.get<std::int64_t>(), b.get<std::uint64_t>());
  return a.get<std::int64_t>() == b.get<std::int64_t>();
}

}  // namespace

bool identical(const json& a, const json& b) {
  if (a.is_number_integer() && b.is_number_integer()) return same_integer(a, b);
  if (a.type() != b.type()) return false;
  switch (a.type()) {
    case json::value_t::number_float:
      return std::bit_cast<std::uint64_t>(a.get<double>()) ==
             std::bit_cast<std::uint64_t>(b.get<double>());
    case json::value_t::array:
      return std::ranges::equal(a, b, identical);
    case json::value_t::object: {
      const auto& a_members = a.get_ref<const json::object_t&>();
      const auto& b_members = b.get_ref<const json::object_t&>();
      return std::ranges::equal(a_members, b_members, [](const auto& x, const auto& y) {
        return x.first == y.first && identical(x.second, y.second);
      });
    }
    default:
      return a == b;
  }
}

}  // namespace kvstore::internal
