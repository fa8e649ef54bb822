#pragma once

#include <array>
#include <cstddef>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

/// Which C++ types a document can become.
namespace kvstore::detail {

template <class T>
struct is_view : std::false_type {};
template <class C, class Traits>
struct is_view<std::basic_string_view<C, Traits>> : std::true_type {};
template <class T, std::size_t N>
struct is_view<std::span<T, N>> : std::true_type {};

/// The standard containers whose elements are converted one by one.
template <class T>
struct is_sequence : std::false_type {};
template <class T, class A>
struct is_sequence<std::vector<T, A>> : std::true_type {};
template <class T, class A>
struct is_sequence<std::deque<T, A>> : std::true_type {};
template <class T, class A>
struct is_sequence<std::list<T, A>> : std::true_type {};
template <class T, class C, class A>
struct is_sequence<std::set<T, C, A>> : std::true_type {};
template <class T, class H, class E, class A>
struct is_sequence<std::unordered_set<T, H, E, A>> : std::true_type {};

/// The standard containers that an object becomes.
template <class T>
struct is_dictionary : std::false_type {};
template <class T, class C, class A>
struct is_dictionary<std::map<std::string, T, C, A>> : std::true_type {};
template <class T, class H, class E, class A>
struct is_dictionary<std::unordered_map<std::string, T, H, E, A>> : std::true_type {};

/// Whether a T owns all it shows: it may outlive the document that it was read from.
template <class T>
inline constexpr bool owns_data =
    !std::is_pointer_v<T> && !std::is_reference_v<T> && !std::is_array_v<T> && !is_view<T>::value;
template <class T>
requires(is_sequence<T>::value) inline constexpr bool owns_data<T> =
    owns_data<typename T::value_type>;
template <class K, class T, class C, class A>
inline constexpr bool owns_data<std::map<K, T, C, A>> = owns_data<K>&& owns_data<T>;
template <class K, class T, class H, class E, class A>
inline constexpr bool owns_data<std::unordered_map<K, T, H, E, A>> = owns_data<K>&& owns_data<T>;
template <class T, std::size_t N>
inline constexpr bool owns_data<std::array<T, N>> = owns_data<T>;
template <class T>
inline constexpr bool owns_data<std::optional<T>> = owns_data<T>;
template <class A, class B>
inline constexpr bool owns_data<std::pair<A, B>> = owns_data<A>&& owns_data<B>;
template <class... T>
inline constexpr bool owns_data<std::tuple<T...>> = (owns_data<T> && ...);

}  // namespace kvstore::detail
