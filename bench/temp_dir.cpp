#include "temp_dir.hpp"

#include <cerrno>
#include <cstdlib>
#include <system_error>

namespace bench {

TempDir::TempDir() {
  std::string pattern = (std::filesystem::temp_directory_path() / "kvstore-bench-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) {
    throw std::system_error(errno, std::generic_category(), "cannot create " + pattern);
  }
  path_ = pattern;
}

TempDir::~TempDir() noexcept {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace bench
