#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <stdexcept>

#include "announcements.hpp"

namespace kvstore::test {

Announcements::Announcements(const std::string& path, std::size_t count) : count_(count) {
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  const auto bytes = static_cast<off_t>(count * sizeof(std::int64_t));
  if (ftruncate(file, bytes) != 0) throw std::runtime_error("cannot make " + path);
  map(file);
}

Announcements::Announcements(const std::string& path) {
  const int file = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (file < 0) throw std::runtime_error("cannot open " + path);
  count_ = static_cast<std::size_t>(lseek(file, 0, SEEK_END)) / sizeof(std::int64_t);
  map(file);
}

void Announcements::map(int file) {
  void* memory =
      mmap(nullptr, count_ * sizeof(std::int64_t), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED) throw std::runtime_error("cannot map announcements");
  numbers_ = static_cast<std::int64_t*>(memory);
}

Announcements::~Announcements() noexcept {
  munmap(numbers_, count_ * sizeof(std::int64_t));
}

std::int64_t Announcements::of(std::size_t key) const noexcept {
  return std::atomic_ref(numbers_[key]).load();
}

std::int64_t Announcements::largest() const noexcept {
  std::int64_t largest = 0;
  for (std::size_t key = 0; key < count_; ++key) largest = std::max(largest, of(key));
  return largest;
}

void Announcements::announce(std::size_t key, std::int64_t number) const noexcept {
  std::atomic_ref(numbers_[key]).store(number);
}

}  // namespace kvstore::test
