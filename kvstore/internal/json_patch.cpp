#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include <kvstore/engine/text.hpp>
#include <kvstore/error.hpp>
#include <kvstore/internal/compare.hpp>
#include <kvstore/internal/json_patch.hpp>
#include <kvstore/internal/pointer.hpp>

namespace kvstore::internal {
namespace {

using Pointer = json::json_pointer;

/// One operation of a patch, and what its errors call it.
class Operation {
 public:
  Operation(const json& operation, std::size_t index, std::string_view key)
      : operation_(operation), index_(index), key_(key) {}

  void apply(json& document) const {
    if (!operation_.is_object()) refuse(ErrorCode::invalid_value, "it is not an object");
    const std::string& verb = text("op");
    const Pointer at = pointer("path");
    if (verb == "add") {
      add(document, at, member("value"));
    } else if (verb == "remove") {
      static_cast<void>(remove(document, at));
    } else if (verb == "replace") {
      const json& value = member("value");
      there(document, at) = value;
    } else if (verb == "move") {
      move(document, pointer("from"), at);
    } else if (verb == "copy") {
      add(document, at, json(there(document, pointer("from"))));
    } else if (verb == "test") {
      const json& value = member("value");
      if (!identical(there(document, at), value)) fail("the value there is another one");
    } else {
      refuse(ErrorCode::invalid_value, "there is no operation " + engine::in_quotes(verb));
    }
  }

 private:
  [[noreturn]] void refuse(ErrorCode code, const std::string& why) const {
    std::string what = "cannot patch the value of " + engine::in_quotes(key_) + ": operation " +
                       std::to_string(index_);
    for (const char* name : {"op", "path"}) {
      const auto found = operation_.is_object() ? operation_.find(name) : operation_.end();
      if (found != operation_.end() && found->is_string()) {
        what += " " + engine::in_quotes(found->get_ref<const std::string&>());
      }
    }
    throw Error(code, what + ": " + why);
  }

  [[noreturn]] void fail(const std::string& why) const { refuse(ErrorCode::conflict, why); }

  [[nodiscard]] const json& member(const char* name) const {
    const auto found = operation_.find(name);
    if (found == operation_.end()) {
      refuse(ErrorCode::invalid_value, std::string("it has no member \"") + name + "\"");
    }
    return *found;
  }

  [[nodiscard]] const std::string& text(const char* name) const {
    const json& value = member(name);
    if (!value.is_string()) {
      refuse(ErrorCode::invalid_value, std::string("its member \"") + name + "\" is not a string");
    }
    return value.get_ref<const std::string&>();
  }

  [[nodiscard]] Pointer pointer(const char* name) const {
    try {
      return Pointer(text(name));
    } catch (const json::exception& error) {
      refuse(ErrorCode::invalid_value, error.what());
    }
  }

  [[nodiscard]] json& there(json& document, const Pointer& at) const {
    json* place = resolve(document, at);
    if (place == nullptr) fail("there is nothing at " + engine::in_quotes(at.to_string()));
    return *place;
  }

  /// An index below `end`.
  [[nodiscard]] std::size_t index(const std::string& token, std::size_t end) const {
    const std::optional<std::size_t> found = array_index(token);
    if (!found)
      fail(engine::in_quotes(token) + " is not an index, and the value there is an array");
    if (*found >= end) fail("the index " + token + " is past the end of the array");
    return *found;
  }

  void add(json& document, const Pointer& at, json value) const {
    if (at.empty()) {
      document = std::move(value);
      return;
    }
    json& parent = there(document, at.parent_pointer());
    const std::string& token = at.back();
    if (parent.is_object()) {
      parent[token] = std::move(value);
    } else if (parent.is_array() && token == "-") {
      parent.push_back(std::move(value));
    } else if (parent.is_array()) {
      const auto before = static_cast<std::ptrdiff_t>(index(token, parent.size() + 1));
      parent.insert(parent.begin() + before, std::move(value));
    } else {
      fail(std::string("the way leads through a ") + parent.type_name());
    }
  }

  json remove(json& document, const Pointer& at) const {
    if (at.empty()) fail("the whole document cannot be removed; erase the entry");
    json& place = there(document, at);
    json removed = std::move(place);
    json& parent = there(document, at.parent_pointer());
    if (parent.is_object()) {
      parent.erase(at.back());
    } else {
      parent.erase(index(at.back(), parent.size()));
    }
    return removed;
  }

  void move(json& document, const Pointer& from, const Pointer& to) const {
    static_cast<void>(there(document, from));
    if (from == to) return;
    if (to.to_string().starts_with(from.to_string() + "/")) {
      fail("a value cannot move into itself");
    }
    add(document, to, remove(document, from));
  }

  const json& operation_;
  std::size_t index_;
  std::string_view key_;
};

}  // namespace

void apply_patch(json& document, const json& operations, std::string_view key) {
  if (!operations.is_array()) {
    throw Error(ErrorCode::invalid_value, "cannot patch the value of " + engine::in_quotes(key) +
                                              ": a patch is an array of operations, not a value "
                                              "of type " +
                                              operations.type_name());
  }
  std::size_t index = 0;
  for (const json& operation : operations) Operation(operation, index++, key).apply(document);
}

}  // namespace kvstore::internal
