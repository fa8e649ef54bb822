#include "documents.hpp"

#include <cstdio>
#include <map>
#include <stdexcept>
#include <utility>

namespace bench {
namespace {

constexpr std::size_t distinct_documents = 997;

std::string key_of(std::size_t index) {
  std::string key(13, '\0');
  std::snprintf(key.data(), key.size() + 1, "user/%08zu", index);
  return key;
}

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

json document(std::size_t index, std::size_t bytes) {
  constexpr std::size_t person_bytes = 100;
  if (bytes < 2 * person_bytes) return padded(person(index), bytes);
  json people = json::array();
  for (std::size_t i = 0; i < bytes / person_bytes - 2; ++i) people.push_back(person(index + i));
  return padded({{"id", index}, {"people", std::move(people)}}, bytes);
}

}  // namespace

Documents::Documents(std::size_t bytes) : bytes_(bytes) {
  const std::size_t entries = bytes < 1000 ? 100'000 : 10'000;
  keys_.reserve(entries);
  for (std::size_t i = 0; i < entries; ++i) keys_.push_back(key_of(i));
  values_.reserve(distinct_documents);
  for (std::size_t i = 0; i < distinct_documents; ++i) values_.push_back(document(i, bytes));
}

const Documents& Documents::of(std::size_t bytes) {
  static std::map<std::size_t, Documents> made;
  const auto found = made.find(bytes);
  if (found != made.end()) return found->second;
  return made.emplace(bytes, Documents(bytes)).first->second;
}

}  // namespace bench
