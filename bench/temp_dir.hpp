#pragma once

#include <filesystem>
#include <string>

namespace bench {

/// A directory of its own below $TMPDIR, removed with all it holds.
class TempDir {
 public:
  TempDir();
  ~TempDir() noexcept;
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  TempDir(TempDir&&) = delete;
  TempDir& operator=(TempDir&&) = delete;

  [[nodiscard]] std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace bench
