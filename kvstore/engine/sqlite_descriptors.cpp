#include <dirent.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstddef>
#include <memory>
#include <string_view>

#include <kvstore/engine/sqlite_descriptors.hpp>

namespace kvstore::engine {
namespace {

struct CloseDirectory {
  void operator()(DIR* directory) const noexcept { closedir(directory); }
};

/// Negative: it is not the name of a descriptor.
int number_of(std::string_view name) noexcept {
  int number = -1;
  std::from_chars(name.data(), name.data() + name.size(), number);
  return number;
}

}  // namespace

bool each_descriptor(FunctionRef<void(int, std::string_view)> take) {
  // Not directory_iterator: that of libstdc++ 12 ends the program when it finds no memory.
  const std::unique_ptr<DIR, CloseDirectory> directory(opendir("/proc/self/fd"));
  if (directory == nullptr) return false;
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(directory.get());
    if (entry == nullptr) return errno == 0;
    const int number = number_of(entry->d_name);
    if (number < 0) continue;
    std::array<char, PATH_MAX> file{};
    const ssize_t length =
        readlinkat(dirfd(directory.get()), entry->d_name, file.data(), file.size());
    // Negative: it was closed.
    if (length >= 0) take(number, {file.data(), static_cast<std::size_t>(length)});
  }
}

}  // namespace kvstore::engine
