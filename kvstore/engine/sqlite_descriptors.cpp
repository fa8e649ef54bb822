#include <charconv>
#include <string>
#include <system_error>

#include <kvstore/engine/sqlite_descriptors.hpp>

namespace kvstore::engine {
namespace {

namespace fs = std::filesystem;

int number_of(const std::string& descriptor) noexcept {
  int number = -1;
  std::from_chars(descriptor.data(), descriptor.data() + descriptor.size(), number);
  return number;
}

}  // namespace

bool each_descriptor(FunctionRef<void(int, const fs::path&)> take) {
  std::error_code failure;
  for (fs::directory_iterator each("/proc/self/fd", failure), end; !failure && each != end;
       each.increment(failure)) {
    std::error_code closed;
    const fs::path file = fs::read_symlink(each->path(), closed);
    if (!closed) take(number_of(each->path().filename().native()), file);
  }
  return !failure;
}

}  // namespace kvstore::engine
