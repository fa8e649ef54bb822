#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <kvstore/engine/text.hpp>
#include <kvstore/error.hpp>
#include <kvstore/internal/pointer.hpp>

namespace kvstore::internal {
namespace {

[[noreturn]] void refuse(ErrorCode code, std::string_view key, const json::json_pointer& at,
                         const std::string& why) {
  throw Error(code, "cannot set " + engine::in_quotes(at.to_string()) + " in the value of " +
                        engine::in_quotes(key) + ": " + why);
}

json& element(json& array, const std::string& token, std::string_view key,
              const json::json_pointer& at) {
  const std::size_t size = array.size();
  const auto index = token == "-" ? size : array_index(token);
  if (!index) {
    refuse(ErrorCode::type_mismatch, key, at,
           engine::in_quotes(token) + " is not an index, and the value there is an array");
  }
  if (*index > size) {
    refuse(ErrorCode::out_of_range, key, at,
           "the array has " + std::to_string(size) + " elements; append with /-");
  }
  if (*index == size) array.push_back(nullptr);
  return array[*index];
}

}  // namespace

std::vector<std::string> tokens(json::json_pointer at) {
  std::vector<std::string> result;
  for (; !at.empty(); at.pop_back()) result.push_back(at.back());
  std::ranges::reverse(result);
  return result;
}

std::optional<std::size_t> array_index(const std::string& token) {
  if (token.empty() || (token.size() > 1 && token[0] == '0')) return std::nullopt;
  std::size_t index = 0;
  const char* end = token.data() + token.size();
  const auto [stop, error] = std::from_chars(token.data(), end, index);
  if (stop != end || token[0] == '-') return std::nullopt;
  // An index that no array reaches is still an index.
  return error == std::errc() ? index : std::numeric_limits<std::size_t>::max();
}

const json* resolve(const json& document, const json::json_pointer& at) {
  const json* place = &document;
  for (const std::string& token : tokens(at)) {
    if (place->is_object()) {
      const auto found = place->find(token);
      if (found == place->end()) return nullptr;
      place = &*found;
    } else if (place->is_array()) {
      const auto index = array_index(token);
      if (!index || *index >= place->size()) return nullptr;
      place = &(*place)[*index];
    } else {
      return nullptr;
    }
  }
  return place;
}

json* resolve(json& document, const json::json_pointer& at) {
  return const_cast<json*>(resolve(std::as_const(document), at));
}

void assign(json& document, const json::json_pointer& at, const json& value, std::string_view key) {
  json* place = &document;
  bool made = false;  // what was made on the way is an object until proven otherwise
  for (const std::string& token : tokens(at)) {
    if (made) *place = json::object();
    if (place->is_object()) {
      const auto [found, inserted] = place->emplace(token, nullptr);
      made = inserted;
      place = &*found;
    } else if (place->is_array()) {
      const std::size_t before = place->size();
      json& array = *place;
      place = &element(array, token, key, at);
      made = array.size() > before;
    } else {
      refuse(ErrorCode::type_mismatch, key, at,
             std::string("the way leads through a ") + place->type_name());
    }
  }
  *place = value;
}

}  // namespace kvstore::internal
