#include "documents.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "picks.hpp"

namespace bench {
namespace {

constexpr std::size_t distinct_documents = 997;

/// A typical small object of some 100 bytes: strings, an integer, a real number, a boolean.
json person(std::size_t index) {
  const std::string number = std::to_string(index);
  return {{"id", index},
          {"name", "Person " + number},
          {"mail", "p" + number + "@example.org"},
          {"score", static_cast<double>(index) / 8.0},
          {"active", index % 3 == 0}};
}

/// Fills the member `note` until the text has exactly `bytes` bytes.
json padded(json document, std::size_t bytes) {
  document["note"] = "";
  const std::size_t length = document.dump().size();
  if (length > bytes) throw std::logic_error("the document is too large to be padded");
  document["note"] = std::string(bytes - length, '.');
  return document;
}

json people(std::size_t index, std::size_t bytes) {
  constexpr std::size_t person_bytes = 100;
  if (bytes < 2 * person_bytes) return padded(person(index), bytes);
  json people = json::array();
  for (std::size_t i = 0; i < bytes / person_bytes - 2; ++i) people.push_back(person(index + i));
  return padded({{"id", index}, {"people", std::move(people)}}, bytes);
}

json fields(std::size_t index, std::size_t bytes) {
  constexpr std::size_t count = 10;
  Random random(index);
  json record = json::object();
  for (std::size_t i = 0; i < count; ++i) {
    std::string text(bytes / count - std::string_view("'field0':'',").size(), ' ');
    for (char& letter : text) letter = static_cast<char>('a' + random.below(26));
    record["field" + std::to_string(i)] = std::move(text);
  }
  return record;
}

std::string name_of(const Data& data) {
  const char* shape = data.shape == Data::Shape::people ? "people-" : "fields-";
  return shape + std::to_string(data.bytes) + "-" + std::to_string(data.entries);
}

}  // namespace

Documents::Documents(const Data& data) : data_(data) {
  values_.reserve(distinct_documents);
  for (std::size_t i = 0; i < distinct_documents; ++i) {
    values_.push_back(data.shape == Data::Shape::people ? people(i, data.bytes)
                                                        : fields(i, data.bytes));
  }
}

const Documents& Documents::of(const Data& data) {
  static std::mutex mutex;
  static std::map<std::string, Documents> made;
  const std::lock_guard lock(mutex);
  const std::string name = name_of(data);
  const auto found = made.find(name);
  if (found != made.end()) return found->second;
  return made.emplace(name, Documents(data)).first->second;
}

std::string Documents::name() const {
  return name_of(data_);
}

std::string Documents::key(std::size_t index) {
  std::string key("user/00000000");
  for (std::size_t place = key.size(); index > 0; index /= 10) {
    key[--place] = static_cast<char>('0' + index % 10);
  }
  return key;
}

std::vector<std::string> Documents::first_keys(std::size_t count) {
  std::vector<std::string> keys(count);
  std::ranges::generate(keys, [index = std::size_t{0}]() mutable { return key(index++); });
  return keys;
}

Replacements::Replacements(const Documents& documents) noexcept : documents_(&documents) {
  static std::atomic<std::size_t> made{0};
  index_ = ++made;
}

}  // namespace bench
