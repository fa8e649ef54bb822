// The job of older_python.py in C++, as a whole process: older-python-job FILE COUNT

#include <cstddef>
#include <cstdint>
#include <exception>
#include <iostream>
#include <kvstore/kvstore.hpp>
#include <stdexcept>
#include <string>

namespace {

kvstore::json person(std::size_t index) {
  const std::string number = std::to_string(index);
  return {{"id", index},
          {"name", "Person " + number},
          {"mail", "p" + number + "@example.org"},
          {"score", static_cast<double>(index) / 8.0},
          {"active", index % 3 == 0}};
}

std::string key(std::size_t index) {
  return "user/" + std::to_string(index);
}

/// Stores the documents one by one and reads each back.
std::uint64_t job(const std::string& file, std::size_t count) {
  kvstore::KVStore store(file);
  for (std::size_t i = 0; i < count; ++i) store.set(key(i), person(i));
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < count; ++i) {
    sum += store.get(key(i)).value().at("id").get<std::uint64_t>();
  }
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 3) throw std::invalid_argument("usage: older-python-job FILE COUNT");
    std::cout << job(argv[1], std::stoul(argv[2])) << '\n';
    return 0;
  } catch (const std::exception& failure) {
    std::cerr << failure.what() << '\n';
    return 1;
  }
}
