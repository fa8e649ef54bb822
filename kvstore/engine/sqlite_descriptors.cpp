#include <dirent.h>

#include <cerrno>
#include <charconv>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

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

bool each_descriptor(FunctionRef<void(int, const std::filesystem::path&)> take) {
  // Not directory_iterator: that of libstdc++ 12 ends the program when it finds no memory.
  const std::unique_ptr<DIR, CloseDirectory> directory(opendir("/proc/self/fd"));
  if (directory == nullptr) return false;
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(directory.get());
    if (entry == nullptr) return errno == 0;
    const int number = number_of(entry->d_name);
    if (number < 0) continue;
    std::error_code closed;
    const auto file =
        std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(number), closed);
    if (!closed) take(number, file);
  }
}

}  // namespace kvstore::engine
