#pragma once

#include <filesystem>
#include <string>

namespace kvstore::engine {

/// A file that is written beside the place where it is to be, and takes that place when it is
/// complete: a reader of the place finds the old file or the new one, never a part.
///
/// It is called as the target with ".kvstore-part" behind, so that what a killed process left is
/// found and overwritten by the next one. A lock that ends with the process tells the two apart.
class StagedFile {
 public:
  /// Creates the file, or empties the one that was left. `target`: absolute. `mode`: the
  /// permissions it has in its place; until then it is its owner's alone.
  /// Throws: busy, when another process or thread is writing it; read_only, full, io.
  StagedFile(std::string target, std::filesystem::perms mode);

  /// Removes the file, unless it has taken its place.
  ~StagedFile() noexcept;
  StagedFile(const StagedFile&) = delete;
  StagedFile& operator=(const StagedFile&) = delete;
  StagedFile(StagedFile&&) = delete;
  StagedFile& operator=(StagedFile&&) = delete;

  [[nodiscard]] const std::string& path() const noexcept { return path_; }

  /// For reading what was written under `path`.
  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

  /// Whether a file at the target may be replaced.
  enum class Existing : bool { kept, replaced };

  /// Makes the content durable, then the place. Nobody may have the file open any more.
  /// Throws: conflict, when a file is there that is to be kept; full, io.
  void take_place(Existing existing);

 private:
  void open();
  [[nodiscard]] bool is_at_path() const;
  void sync_directory() const;
  [[noreturn]] void fail(int cause) const;

  std::string target_, path_;
  std::filesystem::perms mode_;
  int descriptor_ = -1;
  bool in_place_ = false;
};

}  // namespace kvstore::engine
