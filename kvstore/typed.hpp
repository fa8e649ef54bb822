#pragma once

#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <kvstore/api.hpp>
#include <kvstore/entry.hpp>
#include <kvstore/error.hpp>
#include <kvstore/type_traits.hpp>

/// How a document becomes a value of a C++ type. `Reader::get<T>` is the way to use it.
namespace kvstore::detail {

/// Throws `type_mismatch` or `out_of_range`, naming the key and the place that was asked for.
[[noreturn]] KVSTORE_API void refuse_type(ErrorCode code, std::string_view key,
                                          const std::string& pointer, const std::string& why);

/// A place in a document that is being converted; the text of it is made when something is wrong.
struct At {
  std::string_view key;
  const json::json_pointer* asked = nullptr;

  [[noreturn]] void refuse(ErrorCode code, const std::string& why) const {
    refuse_type(code, key, asked == nullptr ? std::string() : asked->to_string(), why);
  }
};

/// The words of nlohmann::json for a value of the wrong type.
inline std::string wrong_type(std::string_view wanted, const json& value) {
  return "[json.exception.type_error.302] type must be " + std::string(wanted) + ", but is " +
         value.type_name();
}

/// Throws: type_mismatch, when `value` is not an array of this length.
inline void check_length(const json& value, std::size_t length, const At& at) {
  if (!value.is_array()) at.refuse(ErrorCode::type_mismatch, wrong_type("array", value));
  if (value.size() != length) {
    at.refuse(ErrorCode::type_mismatch, "the array must have " + std::to_string(length) +
                                            " elements, but has " + std::to_string(value.size()));
  }
}

template <class T>
struct Converter;

template <class T>
T convert(const json& value, const At& at) {
  return Converter<T>::convert(value, at);
}

/// Whatever nlohmann::json can convert: strings, and types with a `from_json`.
template <class T>
struct Converter {
  static T convert(const json& value, const At& at) {
    try {
      return value.template get<T>();
    } catch (const json::exception& error) {
      at.refuse(ErrorCode::type_mismatch, error.what());
    }
  }
};

template <>
struct Converter<json> {
  static json convert(const json& value, const At& /*at*/) { return value; }
};

/// Numbers are exact: neither a bool nor what does not fit becomes one. nlohmann::json would
/// convert silently.
template <class T>
requires(std::is_arithmetic_v<T> && !std::same_as<T, bool>) struct Converter<T> {
  static T convert(const json& value, const At& at) {
    if (value.is_number_unsigned()) return exact(value.template get<std::uint64_t>(), at);
    if (value.is_number_integer()) return exact(value.template get<std::int64_t>(), at);
    if (value.is_number_float()) return exact(value.template get<double>(), at);
    at.refuse(ErrorCode::type_mismatch, wrong_type("number", value));
  }

 private:
  template <std::integral Stored>
  static T exact(Stored stored, const At& at) {
    if constexpr (std::floating_point<T>) {
      const T result = static_cast<T>(stored);
      // What rounding took past the end of the integers must not be converted back.
      constexpr Stored half = std::numeric_limits<Stored>::max() / 2 + 1;  // a power of two
      constexpr T past_the_end = T{2} * static_cast<T>(half);
      if (result < past_the_end && static_cast<Stored>(result) == stored) return result;
    } else {
      const T result = static_cast<T>(stored);
      const bool same_sign = (result < T{}) == (stored < Stored{});
      if (same_sign && static_cast<Stored>(result) == stored) return result;
    }
    at.refuse(ErrorCode::out_of_range, "the number " + std::to_string(stored) +
                                           " does not fit into the type that was asked for");
  }

  static T exact(double stored, const At& at) {
    if constexpr (std::floating_point<T>) {
      const T result = static_cast<T>(stored);
      if (std::isfinite(result)) return result;
    } else {
      if (std::trunc(stored) != stored) {
        at.refuse(ErrorCode::type_mismatch,
                  "type must be integer, but is a number with a fraction");
      }
      constexpr T half = std::numeric_limits<T>::max() / 2 + 1;  // a power of two, so exact
      constexpr double past_the_end = 2.0 * static_cast<double>(half);
      if (stored >= static_cast<double>(std::numeric_limits<T>::min()) && stored < past_the_end) {
        return static_cast<T>(stored);
      }
    }
    at.refuse(ErrorCode::out_of_range, "the number does not fit into the type that was asked for");
  }
};

template <class T>
requires(is_sequence<T>::value) struct Converter<T> {
  static T convert(const json& value, const At& at) {
    if (!value.is_array()) at.refuse(ErrorCode::type_mismatch, wrong_type("array", value));
    T result;
    for (const json& element : value) {
      result.insert(result.end(), detail::convert<typename T::value_type>(element, at));
    }
    return result;
  }
};

template <class T>
requires(is_dictionary<T>::value) struct Converter<T> {
  static T convert(const json& value, const At& at) {
    if (!value.is_object()) at.refuse(ErrorCode::type_mismatch, wrong_type("object", value));
    T result;
    for (const auto& [name, member] : value.items()) {
      result.emplace(name, detail::convert<typename T::mapped_type>(member, at));
    }
    return result;
  }
};

template <class T, std::size_t N>
struct Converter<std::array<T, N>> {
  static std::array<T, N> convert(const json& value, const At& at) {
    check_length(value, N, at);
    std::array<T, N> result{};
    for (std::size_t i = 0; i < N; ++i) result[i] = detail::convert<T>(value[i], at);
    return result;
  }
};

template <class A, class B>
struct Converter<std::pair<A, B>> {
  static std::pair<A, B> convert(const json& value, const At& at) {
    check_length(value, 2, at);
    return {detail::convert<A>(value[0], at), detail::convert<B>(value[1], at)};
  }
};

template <class... T>
struct Converter<std::tuple<T...>> {
  static std::tuple<T...> convert(const json& value, const At& at) {
    check_length(value, sizeof...(T), at);
    return each(value, at, std::index_sequence_for<T...>());
  }

 private:
  template <std::size_t... I>
  static std::tuple<T...> each(const json& value, const At& at, std::index_sequence<I...> /*all*/) {
    return {detail::convert<T>(value[I], at)...};
  }
};

/// Null is the absent value.
template <class T>
struct Converter<std::optional<T>> {
  static std::optional<T> convert(const json& value, const At& at) {
    if (value.is_null()) return std::nullopt;
    return detail::convert<T>(value, at);
  }
};

/// The typed value of a document; `asked` is the place that it was read from, null for the root.
template <class T>
T as(const json& value, std::string_view key, const json::json_pointer* asked) {
  static_assert(owns_data<T>,
                "T must own its data: a view, pointer or reference would dangle as soon as the "
                "call returns; ask for std::string or a container");
  return convert<T>(value, At{key, asked});
}

}  // namespace kvstore::detail
